"""Compose: personas that combine entries of several lists, such as identities with roles.

A part is a list, of which a persona takes one entry or several; their facts are put together, and so are their
attributes. Entries that give an attribute different values never come together. HIRPF combines two to four identities
and roles so. Limitations: at most a million combinations when all are wanted; whether entries suit each other is told
by lists and attributes, since no model is asked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import chain, combinations, product
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from factory.base.fingerprint import Keys, blake, key, mix
from factory.methods.sources import SourceParams
from factory.methods.sources.attributes import fact_fault, name_fault
from factory.methods.sources.tables import Table
from factory.seeds.files import BadRow
from factory.store.records import Seed

_MOST = 1_000_000
"""Combinations that are all looked at; of more, some are drawn."""
_ATTEMPTS = 1_000
"""Draws of a persona that repeat another, or may not be, after which there are taken to be too few."""


class Part(BaseModel):
    """A list that personas take entries of."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    of: Table = Field(description="The entries: a path, the fields of an entry of `seeds`, or texts or rows.")
    take: Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]] = Field(
        1, description="Entries that a persona takes: a number, or the least and the most."
    )
    fact: str | None = Field(
        None, description="What an entry says, with what it is called for {value}; its own facts, unless set."
    )

    @field_validator("take")
    @classmethod
    def _in_order(cls, take: Any) -> Any:
        if isinstance(take, tuple) and take[0] > take[1]:
            raise ValueError("the least stands before the most")
        return take

    @field_validator("fact")
    @classmethod
    def _with_value(cls, fact: str | None) -> str | None:
        if fact is not None and (fault := fact_fault(fact)):
            raise ValueError(fault)
        return fact

    @property
    def sizes(self) -> range:
        """How many entries a persona may take."""
        least, most = self.take if isinstance(self.take, tuple) else (self.take, self.take)
        return range(least, most + 1)


class ComposeParams(SourceParams):
    """Parameters of `compose`."""

    make: Literal["compose"] = Field("compose", description="The source.")
    parts: dict[str, Part] = Field(
        min_length=1, description="The lists, each by the name of the attribute that tells which of its entries are in."
    )
    n: int | None = Field(None, ge=1, description="Personas to draw, all different; all combinations, unless set.")
    seed: int = Field(0, description="Another one draws others.")
    never: tuple[tuple[str, ...], ...] = Field(
        (),
        description="Lists of entries that do not come together, none with another, by what they are called.",
    )

    @field_validator("parts")
    @classmethod
    def _attributes(cls, parts: dict[str, Part]) -> dict[str, Part]:
        for name in parts:
            if fault := name_fault(name, "a part"):
                raise ValueError(f"{name}: {fault}")
        return parts


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of a part: what it is called, its facts and its other attributes."""

    label: str
    facts: tuple[str, ...]
    attributes: dict[str, str]


_Chosen = tuple[tuple[_Entry, ...], ...]
"""Entries, part by part."""


class Compose:
    """Combines entries of lists into personas: all combinations, or some, drawn by hash so that a new entry moves few.

    An entry is called by its id, or else by its attribute that has the part's name, or by its text; what a persona's
    entries are called is its attribute of that name.

    >>> likes = {"of": ["I ski.", "I eat bread."]}
    >>> parts = {"role": {"of": ["nurse", "baker"], "fact": "I am a {value}."}, "likes": likes}
    >>> source = Compose(ComposeParams(parts=parts, never=[["baker", "I eat bread."]]))
    >>> [row["facts"] for row in source.rows()]
    [['I am a nurse.', 'I ski.'], ['I am a nurse.', 'I eat bread.'], ['I am a baker.', 'I ski.']]
    >>> next(source.rows())["role"]
    'nurse'
    """

    name = "compose"
    version = 1
    Params = ComposeParams

    def __init__(self, params: ComposeParams) -> None:
        self.params = params

    def rows(self) -> Iterator[dict[str, Any] | BadRow]:
        """A row for each persona. Raises ValueError if there are too few combinations, or too many."""
        lists: list[list[_Entry]] = []
        for name, part in self.params.parts.items():
            lists.append([])
            yield from _read(name, part, lists[-1])
        ranges = [part.sizes for part in self.params.parts.values()]
        sizes = zip(lists, ranges, strict=True)
        count = math.prod(sum(math.comb(len(entries), size) for size in wanted) for entries, wanted in sizes)
        if count < (self.params.n or 1):
            raise ValueError(f"there are only {count:,} combinations: give more entries")
        yield from map(self._row, self._some(lists, ranges, count))

    def _some(self, lists: list[list[_Entry]], ranges: list[range], count: int) -> Iterable[_Chosen]:
        n = self.params.n
        if count > _MOST:
            if n is None:
                raise ValueError(f"there are {count:,} combinations, and at most {_MOST:,} are all made: set `n`")
            return self._drawn(lists, ranges, n)
        allowed = filter(self._may_be, product(*map(_choices, lists, ranges)))
        if n is None:
            return allowed
        some = nsmallest(n, allowed, self._rank)
        if len(some) < n:
            raise ValueError(f"only {len(some):,} of the {count:,} combinations may be, and `n` asks for {n:,}")
        return some

    def _rank(self, chosen: _Chosen) -> int:
        labels = (json.dumps([entry.label for entry in part]) for part in chosen)
        return key("compose", str(self.params.seed), *labels)

    def _drawn(self, lists: list[list[_Entry]], ranges: list[range], n: int) -> Iterator[_Chosen]:
        names = list(self.params.parts)
        keys = [np.array([key("compose", entry.label) for entry in entries], np.uint64) for entries in lists]
        seen: set[tuple[tuple[int, ...], ...]] = set()
        for person in range(n):
            for attempt in range(_ATTEMPTS):
                told = str(self.params.seed), str(person), str(attempt)
                places = tuple(
                    _draw(key("compose", *told, name), own, sizes)
                    for name, own, sizes in zip(names, keys, ranges, strict=True)
                )
                some = tuple(
                    tuple(entries[place] for place in drawn) for entries, drawn in zip(lists, places, strict=True)
                )
                if places not in seen and self._may_be(some):
                    break
            else:
                raise ValueError(
                    f"`never` and attributes that differ forbid nearly all: {person:,} of {n:,} were found"
                )
            seen.add(places)
            yield some

    def _may_be(self, chosen: _Chosen) -> bool:
        entries = [entry for part in chosen for entry in part]
        labels = {entry.label for entry in entries}
        if any(len(labels.intersection(group)) > 1 for group in self.params.never):
            return False
        said: dict[str, str] = {}
        return bool(entries) and all(
            said.setdefault(name, value) == value for entry in entries for name, value in entry.attributes.items()
        )

    def _row(self, chosen: _Chosen) -> dict[str, Any]:
        row: dict[str, Any] = {"facts": [fact for part in chosen for entry in part for fact in entry.facts]}
        for entry in chain.from_iterable(chosen):
            row |= entry.attributes
        for (name, part), entries in zip(self.params.parts.items(), chosen, strict=True):
            labels = [entry.label for entry in entries]
            row[name] = labels if part.sizes[-1] > 1 else "".join(labels)
        return row


def _choices(entries: list[_Entry], sizes: range) -> Iterator[tuple[_Entry, ...]]:
    """All that a persona may take of a list."""
    return chain.from_iterable(combinations(entries, size) for size in sizes)


def _read(name: str, part: Part, entries: list[_Entry]) -> Iterator[BadRow]:
    """Add the entries of a part, each once; what could not be read is yielded. Raises ValueError."""
    known: dict[str, _Entry] = {}
    for seed in part.of.personas():
        if isinstance(seed, BadRow):
            yield seed
            continue
        entry = _entry(seed, name, part.fact)
        if known.setdefault(entry.label, entry) != entry:
            raise ValueError(f"two entries are called {entry.label!r}: ids must differ")
    entries += known.values()


def _entry(seed: Seed, name: str, fact: str | None) -> _Entry:
    """It is called by its id, or else by its attribute that has the part's name, or by its text."""
    facts = seed.personas[0]
    attributes = dict(seed.speakers[0].attributes) if seed.speakers else {}
    label = attributes.pop(name, " ".join(facts))
    if seed.id != blake("seed", *seed.digests):
        label = seed.id
    return _Entry(label, facts if fact is None else (fact.replace("{value}", label),), attributes)


def _draw(draw: int, keys: Keys, sizes: Sequence[int]) -> tuple[int, ...]:
    """Which entries, in their order: as many of those with the least hashes as a hash of the draw says."""
    size = sizes[draw % len(sizes)]
    ranked = np.argsort(mix(draw, keys), kind="stable")[:size]
    return tuple(sorted(ranked.tolist()))
