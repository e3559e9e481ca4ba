"""Who opens a dialogue and who can be the partner, by the pools of a job and by whether seeds are openings.

Limitations: conditions of pools look at all seeds each time; an attribute is a number for them only if it is one of all
seeds that have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from factory.base.rowwise import RowExpression, check_boolean
from factory.seeds.attributes import attribute, attribute_names
from factory.seeds.store import Seeds
from factory.spec.pairing import ATTRIBUTES, FILE, SEED, Pairing, pool_condition
from factory.spec.yamlfile import nearest
from factory.store.records import OF_CORPUS, place_of

Mask = NDArray[np.bool_]


class CastError(ValueError):
    """The seeds do not suit the pairing: what is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class Cast:
    """By the places of seeds on the ring: who `opens`, who can be the `partner` of those, how many of them each gets
    (none: all), whether it is other seeds that are partners, and what is to be said of seeds that are left out."""

    opens: Mask
    partner: Mask
    partners: int | None
    apart: bool
    told: list[str] = field(default_factory=list)


def cast_of(pairing: Pairing, seeds: Seeds, personas: Mask, openings: Mask) -> Cast:
    """The cast of a job, of seeds that are single personas or openings. Raises CastError."""
    partners = pairing.partners if isinstance(pairing.partners, int) else 0
    if pairing.cross is not None:
        return _crossed(pairing.cross.openings, personas, openings)
    if openings.any():
        raise CastError(
            f"the seeds hold {openings.sum():,} openings: say by pairing.cross how many characters answer each, such "
            "as cross: {openings: 3}"
        )
    if pairing.pools is None:
        return Cast(personas, personas, partners, apart=False)
    (first, opens), (second, partner) = _pools(pairing.pools, seeds, personas)
    most = int(partner.sum())
    if partners > most:
        raise CastError(
            f"pairing.partners is {partners}, but the pool {second} has {most:,} persona(s); add seeds to it"
        )
    none = int((personas & ~opens & ~partner).sum())
    told = [f"{none:,} persona(s) are in no pool, neither {first} nor {second}, and are left out"] if none else []
    return Cast(opens, partner, partners, apart=True, told=told)


def _crossed(wanted: int | str, personas: Mask, openings: Mask) -> Cast:
    if not openings.any():
        raise CastError(
            "pairing.cross takes openings, but no seed is one: set fields.opening of their source to the column that "
            "holds them"
        )
    characters = int(personas.sum())
    partners = wanted if isinstance(wanted, int) else None
    if characters < (partners or 1):
        raise CastError(
            f"pairing.cross.openings is {wanted}, but the seeds hold {characters:,} persona(s); add seeds, or ask for "
            "fewer"
        )
    return Cast(openings, personas, partners, apart=True)


def _pools(pools: dict[str, str], seeds: Seeds, personas: Mask) -> Iterator[tuple[str, Mask]]:
    conditions = {role: pool_condition(text) for role, text in pools.items()}
    frame = _frame(seeds, conditions)
    found: dict[str, Mask] = {}
    for role, condition in conditions.items():
        try:
            check_boolean(pools[role], condition.expression, frame.schema)
        except ValueError as error:
            raise CastError(f"pairing.pools.{role}: {error}; {_kinds(frame)}") from error
        holds = frame.select(holds=condition.expression.fill_null(False))["holds"].to_arrow()
        found[role] = personas & np.asarray(holds.to_numpy(zero_copy_only=False), np.bool_)[seeds.sorted.seed]
        if not found[role].any():
            raise CastError(
                f"pairing.pools.{role}: no persona is one of whom {pools[role]} holds{_values(frame, condition)}"
            )
    (first, one), (second, other) = found.items()
    if (both := np.flatnonzero(one & other)).size:
        (seed,) = seeds.take(seeds.sorted.seed[both[:1]].astype(np.int64))
        raise CastError(
            f"{both.size:,} persona(s) are in both pools, {first} and {second}, the first of them at "
            f"{place_of(seed.source, seed.line)}: make the conditions exclude each other"
        )
    yield from found.items()


def _frame(seeds: Seeds, conditions: dict[str, RowExpression]) -> pl.DataFrame:
    """What the conditions read of all seeds, in the order of the sources."""
    read = {path for condition in conditions.values() for path, _ in condition.reads}
    names = [name for where, name in sorted(read) if where == ATTRIBUTES]
    columns = {name: _typed(known_attribute(seeds, name, "pairing.pools")) for name in names}
    frame = pl.DataFrame(columns or {"": pl.Series([None] * len(seeds))})
    files = pl.Series(seeds.files, dtype=pl.String).str.replace(rf"^({OF_CORPUS}.*) at version \d+$", "$1")
    return pl.DataFrame({ATTRIBUTES: frame.to_struct(), SEED: pl.DataFrame({FILE: files}).to_struct()})


def known_attribute(seeds: Seeds, name: str, where: str) -> pa.StringArray:
    """An attribute of all seeds, in the order of the sources. Raises CastError if none has it."""
    found = attribute(seeds, name)
    if found.null_count == len(found):
        names = attribute_names(seeds)
        there = f"{nearest(name, names) or '.'} There are: {', '.join(names)}" if names else "; they have none at all"
        raise CastError(f"{where}: no seed has the attribute {name}{there}")
    return found


def _typed(values: pa.StringArray) -> pl.Series:
    """Numbers, if all values are, or texts."""
    texts = pl.Series(values, dtype=pl.String)
    numbers = texts.cast(pl.Float64, strict=False)
    return numbers if numbers.null_count() == texts.null_count() else texts


def _kinds(frame: pl.DataFrame) -> str:
    fields = frame[ATTRIBUTES].struct.unnest()
    kinds = [
        f"{ATTRIBUTES}.{name} is {'a number' if kind == pl.Float64 else 'text'}" for name, kind in fields.schema.items()
    ]
    return "; ".join(kinds)


def _values(frame: pl.DataFrame, condition: RowExpression) -> str:
    """The commonest values of what a condition reads, for people."""
    told = ""
    for where, name in dict.fromkeys(path for path, _ in condition.reads):
        values = frame[where].struct.field(name).drop_nulls().value_counts(sort=True)[name].head(5).to_list()
        told += f"; {where}.{name} is {', '.join(map(repr, values))}"
    return told
