"""Grid: a persona for each combination of values, but for those that a rule leaves out.

The combinations come in the order of the axes, the values of the last one changing first. Limitations: a million
combinations before the rule; a value that the rule names and no axis has is not noticed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import compress, product
from typing import Any, Literal

import polars as pl
from pydantic import Field, ValidationInfo, field_validator

from factory.methods.sources import SourceParams
from factory.methods.sources.attributes import (
    Fact,
    Value,
    are_of_one_kind,
    check_rule,
    fact_fault,
    facts_of,
    name_fault,
    rule_of,
    unknown,
    value_fault,
)

Axes = dict[str, tuple[Value, ...]]

_MOST = 1_000_000
"""Combinations: a rule is evaluated over all of them at once, and a larger grid is a slip more often than a wish."""


class GridParams(SourceParams):
    """Parameters of `grid`."""

    make: Literal["grid"] = Field("grid", description="The source.")
    axes: Axes = Field(
        min_length=1,
        description="The values of each attribute, by its name: text, numbers, or true and false. The product of them "
        "all is at most 1,000,000.",
    )
    only: str | None = Field(
        None,
        description="Which combinations are personas: a condition over the axes in SQL's words, as in `select`. All "
        "are, unless set.",
    )
    facts: dict[str, Fact] | None = Field(
        None,
        min_length=1,
        description='By axis, the fact that its values become: text with {value} in it, such as "I am {value}.", or '
        'the text of each value that says something. Unless set, every axis says "My AXIS is {value}."',
    )

    @field_validator("axes", mode="before")
    @classmethod
    def _of_values(cls, axes: Any) -> Any:
        if isinstance(axes, dict):
            for name, values in axes.items():
                if fault := _fault(name, values):
                    raise ValueError(f"{name}: {fault}")
        return axes

    @field_validator("axes")
    @classmethod
    def _not_too_many(cls, axes: Axes) -> Axes:
        if (count := _count(axes)) > _MOST:
            sizes = " x ".join(str(len(values)) for values in axes.values())
            raise ValueError(f"{sizes} are {count:,} combinations; {_MOST:,} are allowed: give fewer values or axes")
        return axes

    @field_validator("only")
    @classmethod
    def _over_axes(cls, only: str | None, info: ValidationInfo) -> str | None:
        if only is not None and (axes := info.data.get("axes")):
            check_rule(only, _frame(axes), "axis")
        return only

    @field_validator("facts")
    @classmethod
    def _of_axes(cls, facts: dict[str, Fact] | None, info: ValidationInfo) -> Any:
        axes: Axes = info.data.get("axes", {})
        for name, fact in (facts or {}).items() if axes else ():
            if name not in axes:
                raise ValueError(unknown(name, axes, "axis"))
            if fault := fact_fault(fact):
                raise ValueError(f"{name}: {fault}")
            if isinstance(fact, dict) and (others := [one for one in fact if one not in axes[name]]):
                raise ValueError(f"{name} has no value {others[0]!r}; it has {', '.join(map(repr, axes[name]))}")
        return facts


class Grid:
    """Makes a persona of each combination of the values of some axes that a rule allows.

    The values are attributes of the persona, under the axes' names, and facts that it says of itself. PatientSim
    (arXiv 2505.17818) makes its 37 patients so, of 72 combinations of personality, language, recall and confusion.

    >>> axes = {"mood": ["calm", "anxious"], "age": [20, 40, 80]}
    >>> source = Grid(GridParams(axes=axes, only="NOT (mood = 'calm' AND age > 60)", facts={"mood": "I am {value}."}))
    >>> [(row["mood"], row["age"]) for row in source.rows()]
    [('calm', 20), ('calm', 40), ('anxious', 20), ('anxious', 40), ('anxious', 80)]
    >>> next(source.rows())
    {'facts': ['I am calm.'], 'mood': 'calm', 'age': 20}
    """

    name = "grid"
    version = 1
    Params = GridParams

    def __init__(self, params: GridParams) -> None:
        self.params = params

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each combination that is allowed. Raises ValueError if none is."""
        axes, only = self.params.axes, self.params.only
        combinations: Iterable[tuple[Value, ...]] = product(*axes.values())
        if only is not None:
            allowed = _product(axes).select(allowed=rule_of(only).expression)["allowed"]
            if not allowed.any():
                raise ValueError(f"`only` allows none of the {_count(axes):,} combinations: {only}")
            combinations = compress(combinations, allowed)
        for values in combinations:
            given = dict(zip(axes, values, strict=True))
            yield {"facts": facts_of(self.params.facts, given), **given}


def _fault(name: object, values: object) -> str | None:
    """What is wrong with an axis."""
    if fault := name_fault(name, "an axis"):
        return fault
    if not isinstance(values, list | tuple) or not values:
        return "give a list of values, such as [calm, anxious]"
    seen: set[object] = set()
    for value in values:
        if fault := value_fault(value):
            return fault
        if value in seen:
            return f"{value!r} is given twice"
        seen.add(value)
    return (
        None
        if are_of_one_kind(values)
        else "its values are not all text, all numbers, or all true and false: put quotes"
    )


def _count(axes: Axes) -> int:
    return math.prod(map(len, axes.values()))


def _frame(axes: Axes) -> pl.DataFrame:
    """The columns that a rule reads, without rows."""
    return pl.DataFrame([pl.Series(name, values, strict=False).clear() for name, values in axes.items()])


def _product(axes: Axes) -> pl.DataFrame:
    """All combinations, in the order of `itertools.product`."""
    frame = pl.DataFrame({"": [0]})
    for name, values in axes.items():
        axis = pl.DataFrame([pl.Series(name, values, strict=False)])
        frame = frame.join(axis, how="cross", maintain_order="left_right")
    return frame
