"""Personas for benchmarks: facts of the pairs of `persona_pairs/`, drawn by a number."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import polars as pl

PAIRS = Path(__file__).with_name("persona_pairs")
_FACT = re.compile(r"(?:I|My) [^.?!]+\.")


@cache
def sentences(label: str) -> list[str]:
    """The hypotheses of pairs with this label that are one sentence."""
    pairs = pl.read_parquet(PAIRS / "train.parquet").filter(pl.col("label") == label)
    return sorted({text for text in pairs["hypothesis"] if len(re.findall(r"[.?!]", text)) == 1})


@cache
def _facts() -> list[str]:
    return sorted({text for text in pl.read_parquet(PAIRS / "train.parquet")["premise"] if _FACT.fullmatch(text)})


def facts_of(number: int, count: int = 5) -> list[str]:
    """The facts of persona `number`."""
    return random.Random(number).sample(_facts(), count)


def write_personas(path: Path, numbers: Iterable[int]) -> None:
    """The personas of these numbers, as seeds."""
    lines = (json.dumps({"id": f"p{number}", "facts": facts_of(number)}) for number in numbers)
    path.write_text("\n".join(lines), encoding="utf-8")
