"""Marginals: personas drawn from tables of one's own that say how frequent values are, as a census has them.

Columns of one table are drawn together, all others independently, each by a hash of the persona's number; so a changed
weight or a new value moves only the personas that it must. What a rule forbids is drawn anew, in the columns that the
rule reads. Limitations: columns that share no table are independent, but for the rule; time grows with personas times
rows of the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import Field, ValidationInfo, field_validator

from factory.base.fingerprint import Indices
from factory.methods.sources import SourceParams
from factory.methods.sources.attributes import Fact, Value, check_rule, fact_fault, facts_of, read_by, rule_of, unknown
from factory.methods.sources.census import CensusTable, Group, group_of, groups_of

_ATTEMPTS, _HOPELESS = 1_000, 100_000
"""Draws of a persona that a rule forbids, and draws of which it allowed none, after which it is given up."""


class MarginalsParams(SourceParams):
    """Parameters of `marginals`."""

    make: Literal["marginals"] = Field("marginals", description="The source.")
    n: int = Field(ge=1, le=10_000_000, description="Personas.")
    seed: int = Field(0, description="Another one gives other personas.")
    columns: dict[str, dict[Value, float]] = Field(
        {}, description="By column, how frequent each of its values is; drawn independently of all others."
    )
    tables: tuple[CensusTable, ...] = Field((), validate_default=True, description="Tables of frequencies.")
    only: str | None = Field(
        None,
        description="Which draws are personas: a condition over the columns in SQL's words, as in `select`; what it "
        "forbids is drawn again.",
    )
    facts: dict[str, Fact] | None = Field(
        None,
        min_length=1,
        description="By column, the fact that its values become: text with {value} in it, or the text of each value "
        'that says something. Unless set, every column says "My COLUMN is {value}."',
    )
    prefix: str = Field(
        "person", min_length=1, max_length=100, description="How ids begin; the number of the persona follows."
    )

    @field_validator("columns")
    @classmethod
    def _frequencies(cls, columns: dict[str, dict[Value, float]]) -> Any:
        _independent(columns)
        return columns

    @field_validator("tables")
    @classmethod
    def _or_columns(cls, tables: tuple[CensusTable, ...], info: ValidationInfo) -> Any:
        if not tables and info.data.get("columns") == {}:
            raise ValueError("there is nothing to draw from: give `columns` or `tables`")
        return tables

    @field_validator("only")
    @classmethod
    def _a_rule(cls, only: str | None) -> str | None:
        if only is not None:
            rule_of(only)
        return only

    @field_validator("facts")
    @classmethod
    def _with_values(cls, facts: dict[str, Fact] | None) -> Any:
        for name, fact in (facts or {}).items():
            if fault := fact_fault(fact):
                raise ValueError(f"{name}: {fault}")
        return facts


class Marginals:
    """Draws personas from frequencies of values, as those of a census, in columns that are independent or joint.

    The values are attributes of the persona, and facts that it says of itself. Each persona has a number in its id, so
    whoever a changed table concerns is the same persona, edited. PERSONA (arXiv 2407.17387) draws its 1,586 personas
    from census data so, and drops contradictory ones.

    >>> census = {"of": [{"age": 20, "job": "cook", "weight": 3}, {"age": 70, "job": "none", "weight": 1}]}
    >>> sexes = {"female": 0.5, "male": 0.5}
    >>> rule = "age < 60 OR sex = 'male'"
    >>> source = Marginals(MarginalsParams(n=40, tables=[census], columns={"sex": sexes}, only=rule))
    >>> rows = list(source.rows())
    >>> len(rows), {(row["age"], row["job"]) for row in rows} == {(20, "cook"), (70, "none")}
    (40, True)
    >>> any(row["age"] > 60 and row["sex"] == "female" for row in rows)
    False
    """

    name = "marginals"
    version = 1
    Params = MarginalsParams

    def __init__(self, params: MarginalsParams) -> None:
        self.params = params

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each persona. Raises ValueError where the rule allows none, or for a table that is none."""
        groups = _independent(self.params.columns)
        groups += [group for table in self.params.tables for group in groups_of(table)]
        names = [name for group in groups for name in group.names]
        if again := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{again} is a column of two tables: name those to draw in `columns` of a table")
        for name in self.params.facts or ():
            if name not in names:
                raise ValueError(f"`facts` speaks of {unknown(name, names, 'column')}")
        drawn = self._drawn(groups)
        for person in range(self.params.n):
            given: dict[str, Value] = {}
            for group, places in zip(groups, drawn, strict=True):
                given |= zip(group.names, group.values[places[person]], strict=True)
            yield {"id": f"{self.params.prefix}-{person}", "facts": facts_of(self.params.facts, given), **given}

    def _drawn(self, groups: list[Group]) -> list[Indices]:
        """For each group, which combination each persona has."""
        n, seed, only = self.params.n, self.params.seed, self.params.only
        drawn = [group.draw(seed, np.arange(n), 0) for group in groups]
        if only is None:
            return drawn
        columns = [(number, column) for number, group in enumerate(groups) for column in group.series()]
        rule = check_rule(only, pl.DataFrame([column.clear() for _, column in columns]), "column")
        asked = set(read_by(rule))
        columns = [(number, column) for number, column in columns if column.name in asked]
        left = np.arange(n)
        for attempt in range(1, _ATTEMPTS + 1):
            frame = pl.DataFrame([column.gather(drawn[number][left]) for number, column in columns])
            left = left[~frame.select(holds=rule.expression)["holds"].to_numpy()]
            if not len(left):
                return drawn
            if len(left) == n and attempt * n >= _HOPELESS:
                break
            for number in {number for number, _ in columns}:
                drawn[number][left] = groups[number].draw(seed, left, attempt)
        raise ValueError(
            f"`only` forbids nearly all that the tables give: {len(left):,} of {n:,} personas were drawn {attempt:,} "
            f"times each, and never allowed: {only}"
        )


def _independent(columns: dict[str, dict[Value, float]]) -> list[Group]:
    """The groups of columns that are drawn by themselves. Raises ValueError."""
    return [
        group_of((name,), {(value,): weight for value, weight in weights.items()}) for name, weights in columns.items()
    ]
