"""People's answers to a questionnaire as scores of its scales.

The score of a scale is the mean of its items, where an item that is keyed the other way counts as the lowest and the
highest possible answer together, less the answer (arXiv 2307.00184, as its code does). Limitations: an answer outside
the range counts as none; no norms by age or sex.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from factory.methods.sources.tables import Table
from factory.seeds.files import BadRow, SourceError
from factory.seeds.lines import FileRow
from factory.seeds.values import missing

_REVERSED = frozenset({"-1", "-", "minus", "reversed"})


class Key(BaseModel):
    """Which scale each item of a questionnaire belongs to, and which way round."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    of: Table = Field(
        description="The items in the order of the answers: a path, the fields of an entry of `seeds`, or rows."
    )
    scale: str = Field("scale", min_length=1, description="Its column of the scale.")
    keyed: str = Field(
        "keyed",
        min_length=1,
        description="Its column of how an item is keyed; `-1`, `-`, `minus` or `reversed` turn it round.",
    )


@dataclass(frozen=True, slots=True)
class Item:
    """The scale of an item, and whether its answers are turned round."""

    scale: str
    turned: bool


def items_of(key: Key) -> list[Item]:
    """The items of a key, in its order. Raises SourceError."""
    found = []
    for place, row in key.of.whole_rows():
        for column in (key.scale, key.keyed):
            if missing(row.get(column)):
                raise SourceError(f"{place}: no {column!r}: name the columns of the key in its `scale` and `keyed`")
        found.append(Item(str(row[key.scale]).strip(), str(row[key.keyed]).strip().lower() in _REVERSED))
    return found


def answer_columns(answers: str, count: int) -> list[str]:
    """The columns of the answers to so many items: one, or one for each."""
    if "{number}" not in answers:
        return [answers]
    return [answers.replace("{number}", str(number)) for number in range(1, count + 1)]


def scores_of(
    row: FileRow,
    columns: Sequence[str],
    items: Sequence[Item],
    ends: tuple[float, float],
    counted: Sequence[int] | None,
) -> dict[str, float | None]:
    """The score of each scale over the items that count (numbers from 1) and were answered. Raises BadRow."""
    given = row.get(columns[0]) if len(columns) == 1 else [row.get(name) for name in columns]
    if not isinstance(given, list) or len(given) != len(items):
        raise BadRow(
            "wrong_type", f"{columns[0]!r} should be a list of {len(items)} answers, one for each item of the key"
        )
    found: dict[str, list[float]] = {}
    for number, (answer, item) in enumerate(zip(given, items, strict=True), 1):
        value = number_of(answer, f"answer {number}")
        if value is not None and ends[0] <= value <= ends[1] and (counted is None or number in counted):
            found.setdefault(item.scale, []).append(sum(ends) - value if item.turned else value)
    return {scale: fmean(values) for scale, values in found.items()}


def number_of(value: Any, what: str) -> float | None:
    """A number, also one in text as CSV has it; none for a missing one. Raises BadRow."""
    if missing(value):
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise BadRow("wrong_type", f"{what} should be a number, not {str(value)[:40]!r}")
    return number
