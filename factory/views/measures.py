"""Decisions and scores of a corpus, in the order and the words in which views show them.

What a view shows of a score follows from the columns that its method declares. Limitations: of a method that is not
installed here, a column has its name and type alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from factory.methods import Column
from factory.planning.recipes import method_of
from factory.store.corpus import Corpus
from factory.store.records import score_columns

DECISIONS = {"accept": "accepted", "flag": "flagged", "reject": "rejected", "undecided": "undecided"}
"""Decisions, and what their rows are called."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that a score gives to each row: the score's name, and the column as its method declares it."""

    score: str
    column: Column

    @property
    def name(self) -> str:
        """As conditions of `select` write it."""
        return f"{self.score}.{self.column.name}"

    @property
    def share(self) -> bool:
        """Whether it lies between 0 and 1."""
        return self.column.type == "double" and (self.column.low, self.column.high) == (0, 1)

    @property
    def value(self) -> pl.Expr:
        """The value of a row; of what is true or false 1 or 0."""
        return pl.col(self.score).struct.field(self.column.name).cast(pl.Float64)


def methods_of(corpus: Corpus, rows: pl.LazyFrame) -> dict[str, Any]:
    """The method of each entry that rows passed, by the entry's name, made as in the recipe that most rows have; none
    of one that is not installed here."""
    records = rows.select("stages").explode("stages").drop_nulls().unnest("stages")
    counted = records.group_by("stage", "recipe").len().sort("len", "recipe").collect(engine="streaming")
    named: list[tuple[str, dict[str, Any]]] = [
        (stage, corpus.recipe(recipe) or {}) for stage, recipe in counted.select("stage", "recipe").iter_rows()
    ]
    return {stage: method_of(str(content.get("method", stage)), content.get("params")) for stage, content in named}


def measures(layout: pa.Schema, methods: Mapping[str, Any]) -> list[Measure]:
    """The numbers of the scores of these methods, by the scores' names, in the order they are stored in. What passes
    write is none."""
    told = []
    for score, kind in score_columns(layout).items():
        if score in methods:
            declared = {one.name: one for one in getattr(methods[score], "columns", ())}
            told += [Measure(score, declared.get(one.name) or _undeclared(one)) for one in kind]
    return [one for one in told if one.column.type != "string"]


def _undeclared(field: pa.Field) -> Column:
    if pa.types.is_integer(field.type):
        return Column(field.name, "int", "")
    if pa.types.is_floating(field.type):
        return Column(field.name, "double", "")
    return Column(field.name, "bool" if pa.types.is_boolean(field.type) else "string", "")
