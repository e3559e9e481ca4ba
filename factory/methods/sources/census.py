"""Tables of how frequent values are, and draws from them.

A value is drawn by a race of exponentials with a hash of its own for each persona (weighted rendezvous hashing:
Schindelhauer and Schomaker, SPAA 2005): a changed weight or a new value moves only the draws that it must, and no order
counts. Limitations: a draw looks at every row of its table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from factory.base.fingerprint import Indices, Keys, fingerprint, key, mix
from factory.methods.sources.attributes import Value, are_of_one_kind, name_fault, value_fault
from factory.methods.sources.tables import Table
from factory.seeds.files import SourceError
from factory.seeds.lines import FileRow


class CensusTable(BaseModel):
    """A table of frequencies."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    of: Table = Field(
        description="The table: a path, the fields of an entry of `seeds`, or rows. With the columns `column` and "
        "`value` it says how frequent the values of several columns are, each by itself; any other is joint: a row "
        "is a combination of values."
    )
    weight: str = Field("weight", min_length=1, description="Its column of frequencies: counts or shares.")
    columns: tuple[str, ...] | None = Field(
        None, min_length=1, description="The columns to draw; all but the weight, unless set."
    )


@dataclass(frozen=True, slots=True)
class Group:
    """Columns that are drawn together: the combinations of their values, how frequent each is, and their keys."""

    names: tuple[str, ...]
    values: tuple[tuple[Value, ...], ...]
    weights: NDArray[np.float64]
    keys: Keys

    def draw(self, seed: int, persons: Indices, attempt: int) -> Indices:
        """For each of these persons, which combination: the one whose exponential clock rings first."""
        draws = mix(key("marginals", *self.names), seed % 2**64, persons.astype(np.uint64), attempt)
        first, drawn = np.full(len(persons), np.inf), np.zeros(len(persons), np.int64)
        for number, (weight, own) in enumerate(zip(self.weights, self.keys, strict=True)):
            shares = ((mix(draws, int(own)) >> np.uint64(11)) + 0.5) / 2**53
            rings = -np.log(shares) / weight
            earlier = rings < first
            first[earlier], drawn[earlier] = rings[earlier], number
        return drawn

    def series(self) -> list[pl.Series]:
        """The values of each column, a combination each."""
        return [
            pl.Series(name, values, strict=False)
            for name, values in zip(self.names, zip(*self.values, strict=True), strict=True)
        ]


def groups_of(table: CensusTable) -> Iterator[Group]:
    """The groups of a table: one, or one for each column that it tells of. Raises SourceError."""
    what = "a table"
    found: dict[tuple[str, ...], dict[tuple[Any, ...], float]] = {}
    for place, row in table.of.whole_rows():
        what = place.rpartition(", ")[0]
        weight = _weight(row, table.weight, place)
        if {"column", "value"} <= row.keys():
            names: tuple[str, ...] = (str(row["column"]),)
            values: tuple[Any, ...] = (row["value"],)
            if table.columns is not None and names[0] not in table.columns:
                continue
        else:
            names = table.columns or tuple(name for name in row if name != table.weight)
            values = tuple(row.get(name) for name in names)
            if found and names not in found:
                raise SourceError(f"{place}: it has other columns than the rows before it")
        if fault := next((fault for value in values if (fault := value_fault(value))), None):
            raise SourceError(f"{place}: {fault}")
        weights = found.setdefault(names, {})
        weights[values] = weights.get(values, 0.0) + weight
    missing = set(table.columns or ()) - {name for names in found for name in names}
    if missing or not found:
        raise SourceError(f"{what}: it tells nothing of {', '.join(sorted(missing)) or 'any column'}")
    for names, weights in found.items():
        kinds = [_typed([values[place] for values in weights]) for place in range(len(names))]
        try:
            yield group_of(names, dict(zip(zip(*kinds, strict=True), weights.values(), strict=True)))
        except ValueError as error:
            raise SourceError(f"{what}: {error}") from error


def _weight(row: FileRow, column: str, place: str) -> float:
    try:
        weight = float(row[column])
    except KeyError:
        raise SourceError(f"{place}: no column {column!r}: name that of the frequencies in `weight`") from None
    except (TypeError, ValueError):
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise SourceError(f"{place}: the frequency in {column!r} is {row[column]!r}; it should be a number from 0")
    return weight


def group_of(names: tuple[str, ...], weights: dict[tuple[Value, ...], float]) -> Group:
    """The group of these columns, by how frequent the combinations of their values are. Raises ValueError."""
    for place, name in enumerate(names):
        values = [combination[place] for combination in weights]
        if fault := name_fault(name, "a column") or next(filter(None, map(value_fault, values)), None):
            raise ValueError(f"{name}: {fault}")
        if not are_of_one_kind(values):
            raise ValueError(f"{name}: its values are not all text, all numbers, or all true and false")
    if any(not 0 <= weight < math.inf for weight in weights.values()):
        raise ValueError(f"{names[0]}: a frequency is a number from 0")
    some = {values: weight for values, weight in weights.items() if weight > 0}
    if not some:
        raise ValueError(f"no value of {', '.join(names)} has a frequency above 0")
    keys = [int(fingerprint("marginals", [names, values])[:16], 16) for values in some]
    return Group(names, tuple(some), np.array(list(some.values())), np.array(keys, np.uint64))


def _typed(values: list[Any]) -> list[Value]:
    """Numbers, where all are numbers written as text: in no other way than they are printed, so that the code 01 stays
    text."""
    for kind in (int, float):
        try:
            numbers = [kind(value) for value in values if isinstance(value, str)]
        except ValueError:
            continue
        if len(numbers) == len(values) and list(map(str, numbers)) == values:
            return list(numbers)
    return values
