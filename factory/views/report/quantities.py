"""The quantities whose distributions the report shows: how they are counted and what they are called, in their order.

Limitations: histograms alone; a figure of another kind has a function of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from factory.views.measures import Measure
from factory.views.pairs import of_pairs, worst
from factory.views.report.frames import TEXTS

_STEPS = 100
"""About how many steps of a number whose range is not declared lie where most of its values do."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What the report shows the distribution of: values `of` a dialogue, turn or pair, as an expression over rows that
    gives one value or a list a row, counted in steps. A share lies between 0 and 1. `column` is the one whose
    thresholds in `select` hold for it."""

    name: str
    title: str
    axis: str
    of: Literal["dialogue", "turn", "pair"]
    kind: Literal["whole", "share", "number"]
    step: float
    values: pl.Expr
    about: str = ""
    column: str = ""


_WORDS = TEXTS.list.eval(pl.element().str.count_matches(r"\S+"))
_TOKENS = pl.col("stages").list.eval(pl.element().struct.field("completion_tokens")).list.sum()

ALWAYS = (
    Quantity("turns", "Turns of a dialogue", "turns", "dialogue", "whole", 1, pl.col("turns").list.len()),
    Quantity("words", "Words of a turn", "words", "turn", "whole", 1, _WORDS),
    Quantity(
        "tokens", "Tokens written for a dialogue", "completion tokens, all stages and candidates", "dialogue", "whole",
        1, pl.when(_TOKENS > 0).then(_TOKENS),
    ),
)  # fmt: skip
"""Those that any corpus may have."""


def quantities(
    pairs: Sequence[str], declared: Sequence[Measure], values: Sequence[Mapping[str, Any]]
) -> tuple[Quantity, ...]:
    """All of a corpus, given the scores that store `pairs`, the numbers that scores declare, and their quantiles
    (`factory.views.scores.quantiles`)."""
    return (*ALWAYS, *_of_scored_pairs(pairs), *_of_measures(declared, values))


def _of_measures(measures: Sequence[Measure], values: Sequence[Mapping[str, Any]]) -> Iterator[Quantity]:
    """The numbers that scores declare."""
    told = {f"{one['score']}.{one['column']}": one for one in values}
    for one in measures:
        if one.column.type == "bool":
            continue
        kind: Literal["whole", "share", "number"] = "share" if one.share else "number"
        step = 0.01 if one.share else _step(told[one.name])
        if one.column.type == "int":
            kind, step = "whole", 1
        better = f" {one.column.better.capitalize()} is better." if one.column.better else ""
        better += f" It is a check for {one.column.category}." if one.column.category else ""
        yield Quantity(
            one.name, one.name, f"{one.column.name} of a dialogue", "dialogue", kind, step, one.value,
            one.column.description + better, one.name,
        )  # fmt: skip


def _step(told: Mapping[str, Any]) -> float:
    """A power of ten of which most values, without the extremes, span about _STEPS or more."""
    span = (told["p95"] or 0) - (told["p5"] or 0) or abs(told["median"] or 0) or 1
    return float(10.0 ** math.floor(math.log10(span / _STEPS)))


def _of_scored_pairs(scores: Sequence[str]) -> Iterator[Quantity]:
    """What the NLI model of each of these scores said of a turn and a fact of its speaker."""
    for score in scores:
        for field, does, column in (("entailment", "entails", ""), ("contradiction", "contradicts", worst(score))):
            yield Quantity(
                f"{score}.pairs.{field}", f"{score}: fact {does} turn", f"P({field}) of a scored pair", "pair",
                "share", 0.01, of_pairs(score, field), column=column,
            )  # fmt: skip
