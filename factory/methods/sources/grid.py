"""Grid: a persona for each combination of values, but for those that a rule leaves out.

The combinations come in the order of the axes, the values of the last one changing first. Limitations: a million
combinations before the rule; a value that the rule names and no axis has is not noticed.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator
from itertools import compress, product
from typing import Any, Literal

import polars as pl
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import to_json

from factory.base.rowwise import check_boolean, row_expression
from factory.methods.sources import SourceParams

Value = bool | int | float | str
Axes = dict[str, tuple[Value, ...]]

_MOST = 1_000_000
"""Combinations: a rule is evaluated over all of them at once, and a larger grid is a slip more often than a wish."""
_OTHERS = frozenset({"id", "facts", "persona", "turns", "personas", "speakers"})
"""What a seed has besides attributes."""
_EXAMPLE = "NOT (mood = 'plain' AND age > 60)"


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
    facts: dict[str, str | dict[Value, str]] | None = Field(
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
            rule = row_expression(only, _EXAMPLE)
            for path, _ in rule.reads:
                if len(path) > 1 or path[0] not in axes:
                    raise ValueError(f"{only!r} reads {_unknown('.'.join(path), axes)}. Text stands in single quotes")
            check_boolean(only, rule.expression, _frame(axes).schema)
        return only

    @field_validator("facts")
    @classmethod
    def _of_axes(cls, facts: dict[str, str | dict[Value, str]] | None, info: ValidationInfo) -> Any:
        axes: Axes = info.data.get("axes", {})
        for name, fact in (facts or {}).items() if axes else ():
            if name not in axes:
                raise ValueError(_unknown(name, axes))
            if isinstance(fact, str) and "{value}" not in fact:
                raise ValueError(f"{name}: {fact!r} says the same of every value: write {{value}} where the value goes")
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
        self._facts = params.facts or {name: f"My {name.replace('_', ' ')} is {{value}}." for name in params.axes}

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each combination that is allowed. Raises ValueError if none is."""
        axes, only = self.params.axes, self.params.only
        combinations: Iterable[tuple[Value, ...]] = product(*axes.values())
        if only is not None:
            allowed = _product(axes).select(allowed=row_expression(only, _EXAMPLE).expression)["allowed"]
            if not allowed.any():
                raise ValueError(f"`only` allows none of the {_count(axes):,} combinations: {only}")
            combinations = compress(combinations, allowed)
        for values in combinations:
            given = dict(zip(axes, values, strict=True))
            yield {"facts": list(self._said(given)), **given}

    def _said(self, given: dict[str, Value]) -> Iterator[str]:
        for name, fact in self._facts.items():
            value = given[name]
            if isinstance(fact, str):
                yield fact.replace("{value}", value if isinstance(value, str) else to_json(value).decode())
            elif value in fact:
                yield fact[value]


def _fault(name: object, values: object) -> str | None:
    """What is wrong with an axis."""
    if not isinstance(name, str) or not name.isidentifier():
        return "the name of an axis has letters, digits and _, and no digit first"
    if name in _OTHERS:
        return f"no attribute can have this name, nor {', '.join(sorted(_OTHERS - {name}))}"
    if not isinstance(values, list | tuple) or not values:
        return "give a list of values, such as [calm, anxious]"
    seen: set[object] = set()
    for value in values:
        if not isinstance(value, Value) or (isinstance(value, float) and not math.isfinite(value)) or value == "":
            return f"{value!r} is not a value: write text, a number, true or false"
        if value in seen:
            return f"{value!r} is given twice"
        seen.add(value)
    kinds = {"text" if isinstance(one, str) else "bool" if isinstance(one, bool) else "number" for one in values}
    return None if len(kinds) == 1 else "its values are not all text, all numbers, or all true and false: put quotes"


def _unknown(name: str, axes: Axes) -> str:
    near = difflib.get_close_matches(name, axes, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else "."
    return f"{name}, which is no axis{hint} There are: {', '.join(axes)}"


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
