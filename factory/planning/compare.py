"""The wanted rows against the committed ones, as arrays: what differs, and why.

A range of seeds at a time, two ranges at once, so that memory holds what differs and little else. Limitations: a row
for which several things changed is told by that which the first of its entries is redone for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from factory.base.fingerprint import Indices, Keys
from factory.methods.registry import found
from factory.planning.ledger import Entries, Ledger, ranges
from factory.planning.wanted import Slots, Wanted, slot_keys
from factory.spec.identity import DONORS, INPUTS, KINDS, Recipe
from factory.spec.job import SELECT
from factory.store.corpus import Corpus

ADDED, REMOVED, PAIRED, MORE, FEWER, EDITED, REDRAWN = range(7)
REASONS = (
    "seed added",
    "seed removed",
    "partner changed",
    "more samples",
    "fewer samples",
    "seed edited",
    "distractor donors changed",
)

REFRESHED = "what only the seeds say"
"""What changes of rows whose seeds were edited in a part that no entry reads."""

TRIM = 1 << 62
"""Of what is to be done to a row: to take off it what a maker wrote that is no longer in the job, or its decision."""

_THREADS = 2
"""Ranges that are compared at once; more would mostly wait for each other between the steps on arrays."""


@dataclass(slots=True)
class _Arrays:
    """Arrays of one length."""

    def at(self, which: NDArray[np.generic]) -> Self:
        """Some of them."""
        return type(self)(*(getattr(self, field.name)[which] for field in fields(self)))

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """All of them, one part after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(slots=True)
class ToMake(_Arrays):
    """Slots to make or remake, as arrays: indices of the seeds, sample, key of the slot; the indices of the committed
    shard and of the chain that the row was made by (-1 if it is in none), what is to be done (a bit for each entry of
    the row's recipes, and TRIM), whether its seeds or donors changed, and the reason."""

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    sample: NDArray[np.int32]
    slot: Keys
    shard: NDArray[np.int32]
    chain: NDArray[np.int32]
    todo: NDArray[np.int64]
    refresh: NDArray[np.bool_]
    reason: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.slot)


@dataclass(slots=True)
class ToDrop(_Arrays):
    """Committed rows to drop, as arrays: key of the slot, index of the shard, and the reason."""

    slot: Keys
    shard: NDArray[np.int32]
    reason: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.slot)


@dataclass(frozen=True, slots=True)
class Compared:
    """What differs; `reasons` are the texts of the codes in it."""

    make: ToMake
    drop: ToDrop
    reasons: list[str]


def compare(
    wanted: Wanted, ledger: Ledger, report: Callable[[str, int], None] = lambda *_: None, *, retry: bool = False
) -> Compared:
    """Compare what is wanted with what is committed. With `retry`, scores that failed are to be tried again."""
    comparison = _Comparison(wanted, ledger, retry)
    make, drop, seen = [], [], 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for new, outdated, gone, count in pool.map(comparison.between, ranges(max(len(wanted), len(ledger)))):
            make += [new, outdated]
            drop.append(gone)
            seen += count
            report("rows compared", seen)
    return Compared(ToMake.joined(make), ToDrop.joined(drop), comparison.reasons)


class _Comparison:
    """Compares ranges of the ring, by tables of what each difference leads to."""

    def __init__(self, wanted: Wanted, ledger: Ledger, retry: bool) -> None:
        self.wanted = wanted
        self.ledger = ledger
        self.retry = retry
        self.reasons: list[str] = list(REASONS)
        self._chains()

    def between(self, between: tuple[int, int]) -> tuple[ToMake, ToMake, ToDrop, int]:
        """What is new, outdated and gone in a range, and how many rows are wanted there."""
        slots, held = self.wanted.slots(*between), self.ledger.between(*between)
        places = _places(held.slot, slots.slot)
        return (
            self._new(slots, held, places < 0),
            self._outdated(slots, held, places),
            self._gone(slots, held, places),
            len(slots),
        )

    def _chains(self) -> None:
        """For each kind of row: all that is to be done to a new one, what a change of its inputs touches (by which of
        INPUTS changed, as bits), and what is out of date by each chain that rows were made by, with the reason."""
        corpus, chains = self.ledger.corpus, self.ledger.chains
        self._all = np.zeros(2, np.int64)
        self._touched = np.zeros((2, 1 << len(INPUTS)), np.int64)
        self._by_chain = np.zeros((2, len(chains)), np.int64)
        self._why = np.zeros((2, len(chains)), np.int32)
        self._drawn = np.zeros(2, np.bool_)
        for kind, name in enumerate(KINDS):
            recipes = self.wanted.making.recipes[name]
            self._all[kind] = (1 << len(recipes)) - 1
            self._drawn[kind] = any(DONORS in recipe.inputs for recipe in recipes)
            for changed in range(1 << len(INPUTS)):
                inputs = {one for place, one in enumerate(INPUTS) if changed >> place & 1}
                self._touched[kind, changed] = _bits(not inputs.isdisjoint(recipe.inputs) for recipe in recipes)
            for number, chain in enumerate(chains):
                held = {stage: recipe for stage, recipe, _ in chain}
                todo = _bits(held.get(recipe.stage) != recipe.id for recipe in recipes)
                names = {recipe.stage for recipe in recipes}
                if not (held.keys() - names).isdisjoint({SELECT, *found("makers")}):
                    todo |= TRIM
                why = difference(corpus, held, recipes) if todo else ""
                if again := [stage for stage, _, failed in chain if failed and self.retry and stage in names]:
                    todo |= bits_of(recipes, again)
                    why = why or f"{', '.join(again)} failed before"
                self._by_chain[kind, number] = todo
                self._why[kind, number] = len(self.reasons)
                self.reasons.append(why)

    def _new(self, slots: Slots, held: Entries, new: NDArray[np.bool_]) -> ToMake:
        slots = slots.at(new)
        keys = self.wanted.seeds.sorted.key
        first, second = keys[slots.first], keys[slots.second]
        sampled = _among(slot_keys(first, second, np.zeros_like(slots.sample)), held.slot)
        reason = np.where(_among(first, held.first), np.where(sampled, MORE, PAIRED), ADDED)
        todo = self._all[self.wanted.imported[slots.first].astype(np.int8)]
        return _to_make(slots, shard=-1, chain=-1, todo=todo, refresh=True, reason=reason)

    def _outdated(self, slots: Slots, held: Entries, places: Indices) -> ToMake:
        slots, held = slots.at(places >= 0), held.at(places[places >= 0])
        kind = self.wanted.imported[slots.first].astype(np.int8)
        differs = held.inputs != slots.inputs
        differs[INPUTS.index(DONORS)] &= self._drawn[kind]
        changed = (differs * (1 << np.arange(len(INPUTS)))[:, None]).sum(axis=0)
        edited = differs[: INPUTS.index(DONORS)].any(axis=0)
        by_chain, touched = self._by_chain[kind, held.chain], self._touched[kind, changed]
        configured = (by_chain != 0) & (_first(by_chain) <= _first(touched))
        of_inputs = np.where(edited, EDITED, REDRAWN)
        reason = np.where(configured | (changed == 0), self._why[kind, held.chain], of_inputs)
        todo = by_chain | touched
        made = _to_make(slots, shard=held.shard, chain=held.chain, todo=todo, refresh=changed > 0, reason=reason)
        return made.at((todo != 0) | (changed > 0))

    def _gone(self, slots: Slots, held: Entries, places: Indices) -> ToDrop:
        gone = np.ones(len(held), np.bool_)
        gone[places[places >= 0]] = False
        held = held.at(gone)
        known = self.wanted.has(held.first) & self.wanted.has(held.second)
        sampled = _among(slot_keys(held.first, held.second, np.zeros_like(held.sample)), slots.slot)
        reason = np.where(known, np.where(sampled, FEWER, PAIRED), REMOVED)
        return ToDrop(held.slot, held.shard, reason.astype(np.int32))


def _to_make(slots: Slots, **told: NDArray[Any] | int | bool) -> ToMake:
    kinds = {"shard": np.int32, "chain": np.int32, "todo": np.int64, "refresh": np.bool_, "reason": np.int32}
    arrays: dict[str, Any] = {
        name: np.broadcast_to(np.asarray(told[name], kind), len(slots)) for name, kind in kinds.items()
    }
    return ToMake(slots.first.astype(np.int32), slots.second.astype(np.int32), slots.sample, slots.slot, **arrays)


def _places(among: Keys, keys: Keys) -> Indices:
    """Where each key stands among others, -1 where it does not."""
    if not len(among):
        return np.full(len(keys), -1)
    order, sought = np.argsort(among), np.argsort(keys)  # sorted keys are found several times faster
    place = np.empty(len(keys), np.int64)
    place[sought] = order[np.minimum(np.searchsorted(among[order], keys[sought]), len(among) - 1)]
    return np.where(among[place] == keys, place, -1)


def _among(keys: Keys, others: Keys) -> NDArray[np.bool_]:
    """Whether each key is one of the others, which are not looked at for none."""
    return np.isin(keys, others) if len(keys) else np.zeros(0, np.bool_)


def _first(bits: NDArray[np.int64]) -> NDArray[np.int64]:
    """The lowest of the bits that are set; the highest there is where none is."""
    return np.where(bits == 0, np.iinfo(np.int64).max, bits & -bits)


def _bits(which: Iterable[bool]) -> int:
    return sum(1 << place for place, one in enumerate(which) if one)


def bits_of(recipes: list[Recipe], stages: Collection[str]) -> int:
    """The bits of these entries, of what is to be done to rows of these recipes."""
    return _bits(recipe.stage in stages for recipe in recipes)


def difference(corpus: Corpus, held: Mapping[str, str], recipes: list[Recipe]) -> str:
    """Which fields of the job set these recipes apart from those, by name, that rows were made by: those of the first
    entry whose own configuration differs."""
    for recipe in recipes:
        if held.get(recipe.stage) == recipe.id:
            continue
        if recipe.stage not in held:
            return f"{recipe.stage} added"
        content = corpus.recipe(held[recipe.stage])
        if content is None:
            return f"{recipe.stage} changed"
        before = Recipe.model_validate({name: content[name] for name in Recipe.model_fields})
        changed = [
            *([f"the code of {recipe.stage}"] if before.version != recipe.version else []),
            *([f"{recipe.stage}.method"] if before.method != recipe.method else []),
            *_changed(recipe.stage, before.params, recipe.params),
            *([f"{recipe.stage}.prompt"] if before.prompt != recipe.prompt else []),
            *_changed(f"models of {recipe.stage}", _anywhere(before.models), _anywhere(recipe.models)),
        ]
        if changed:
            return ", ".join(changed)
        if gone := before.upstream.keys() - recipe.upstream.keys():
            return f"{min(gone)} left out"
    left = held.keys() - {recipe.stage for recipe in recipes}
    return f"{min(left)} left out" if left else "what it reads changed"


def _anywhere(models: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """Models without where those of folders lie: their revisions tell them apart."""
    return {
        role: {field: value for field, value in model.items() if field != "name" or not str(value).startswith("/")}
        for role, model in models.items()
    }


def _changed(where: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    changed: list[str] = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if isinstance(was, dict) and isinstance(now, dict):
            changed += _changed(f"{where}.{name}", was, now)
        elif was != now:
            changed.append(f"{where}.{name}")
    return changed
