"""The wanted rows against the committed ones, as arrays: what differs, and why.

A range of seeds at a time, two ranges at once, so that memory holds what differs and little else. Limitations: a row
for which several things changed is told by the one that sends it back furthest.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from factory.base.fingerprint import Keys
from factory.planning.ledger import Entries, Ledger, ranges
from factory.planning.pairing import Indices
from factory.planning.wanted import Slots, Wanted, slot_keys
from factory.spec.job import Recipe
from factory.store.corpus import Corpus

ADDED, REMOVED, PAIRED, MORE, FEWER, EDITED, DONORS = range(7)
REASONS = (
    "seed added",
    "seed removed",
    "paired anew",
    "more samples",
    "fewer samples",
    "seed edited",
    "other donors of distractors",
)
KINDS = ("generated", "imported")

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
    """Slots to make or remake, as arrays: indices of the seeds, sample, key of the slot; the index of the committed
    shard (-1 if the row is in none), how many of its stages stay, whether its seeds or donors changed, whether
    it only has to be decided again, and the reason."""

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    sample: NDArray[np.int32]
    slot: Keys
    shard: NDArray[np.int32]
    keep: NDArray[np.int8]
    refresh: NDArray[np.bool_]
    redecide: NDArray[np.bool_]
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


class Comparison:
    """What differs: `make` and `drop`. `reasons` are the texts of the codes in them."""

    def __init__(self, wanted: Wanted, ledger: Ledger, report: Callable[[str, int], None] = lambda *_: None) -> None:
        self.wanted = wanted
        self.ledger = ledger
        self.reasons: list[str] = list(REASONS)
        self._chains()
        make, drop, seen = [], [], 0
        with ThreadPoolExecutor(_THREADS) as pool:
            for new, outdated, gone, count in pool.map(self._compare, ranges(max(len(wanted), len(ledger)))):
                make += [new, outdated]
                drop.append(gone)
                seen += count
                report("rows compared", seen)
        self.make, self.drop = ToMake.joined(make), ToDrop.joined(drop)

    def _compare(self, between: tuple[int, int]) -> tuple[ToMake, ToMake, ToDrop, int]:
        """What is new, outdated and gone in a range, and how many rows are wanted there."""
        slots, held = self.wanted.slots(*between), self.ledger.between(*between)
        found = _places(held.slot, slots.slot)
        return (
            self._new(slots, held, found < 0),
            self._outdated(slots, held, found),
            self._gone(slots, held, found),
            len(slots),
        )

    def _chains(self) -> None:
        """For each kind of row and each chain that rows were made by: how many stages stay, whether that is all, and
        the reason if it is not."""
        corpus, chains = self.ledger.corpus, self.ledger.chains
        self._keep = np.zeros((2, len(chains)), np.int8)
        self._same = np.zeros((2, len(chains)), np.bool_)
        self._redecide = np.zeros((2, len(chains)), np.bool_)
        self._why = np.zeros((2, len(chains)), np.int32)
        self._donors_from = np.zeros(2, np.int8)
        self._draws = np.zeros(2, np.bool_)
        for kind, name in enumerate(KINDS):
            recipes = self.wanted.chains[name]
            ids = tuple(recipe.id for recipe in recipes)
            stages = [recipe.stage for recipe in recipes]
            self._draws[kind] = "augment" in stages
            self._donors_from[kind] = stages.index("augment") if self._draws[kind] else len(stages)
            for number, held in enumerate(chains):
                keep = next((n for n, (one, other) in enumerate(zip(held, ids, strict=False)) if one != other), None)
                self._keep[kind, number] = min(len(held), len(ids)) if keep is None else keep
                self._same[kind, number] = held == ids
                self._redecide[kind, number] = (
                    stages[-1:] == ["select"] and len(held) == len(ids) and keep == len(ids) - 1
                )
                self._why[kind, number] = len(self.reasons)
                self.reasons.append("" if held == ids else difference(corpus, held, recipes))

    def _new(self, slots: Slots, held: Entries, new: NDArray[np.bool_]) -> ToMake:
        slots = slots.at(new)
        keys = self.wanted.seeds.sorted.key
        first, second = keys[slots.first], keys[slots.second]
        sampled = _among(slot_keys(first, second, np.zeros_like(slots.sample)), held.slot)
        reason = np.where(_among(first, held.first), np.where(sampled, MORE, PAIRED), ADDED)
        return _to_make(slots, shard=-1, keep=0, refresh=True, redecide=False, reason=reason)

    def _outdated(self, slots: Slots, held: Entries, found: Indices) -> ToMake:
        slots, held = slots.at(found >= 0), held.at(found[found >= 0])
        kind = self.wanted.imported[slots.first].astype(np.int8)
        edited = held.inputs != slots.inputs
        donors = (held.donors != slots.donors) & self._draws[kind]
        by_chain = self._keep[kind, held.chain]
        sent_back = donors & (by_chain > self._donors_from[kind])
        keep = np.where(edited, 0, np.where(sent_back, self._donors_from[kind], by_chain))
        reason = np.where(edited & (by_chain > 0), EDITED, np.where(sent_back, DONORS, self._why[kind, held.chain]))
        outdated = ~self._same[kind, held.chain] | edited | donors
        redecide = self._redecide[kind, held.chain] & ~edited & ~donors
        made = _to_make(slots, shard=held.shard, keep=keep, refresh=edited | donors, redecide=redecide, reason=reason)
        return made.at(outdated)

    def _gone(self, slots: Slots, held: Entries, found: Indices) -> ToDrop:
        gone = np.ones(len(held), np.bool_)
        gone[found[found >= 0]] = False
        held = held.at(gone)
        known = self.wanted.has(held.first) & self.wanted.has(held.second)
        sampled = _among(slot_keys(held.first, held.second, np.zeros_like(held.sample)), slots.slot)
        reason = np.where(known, np.where(sampled, FEWER, PAIRED), REMOVED)
        return ToDrop(held.slot, held.shard, reason.astype(np.int32))


def _to_make(slots: Slots, **told: NDArray[Any] | int | bool) -> ToMake:
    kinds = {"shard": np.int32, "keep": np.int8, "refresh": np.bool_, "redecide": np.bool_, "reason": np.int32}
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


def difference(corpus: Corpus, held: tuple[str, ...], recipes: list[Recipe]) -> str:
    """Which fields of the job set these recipes apart from those that rows were made by: those of the first stage that
    differs."""
    for number, recipe in enumerate(recipes):
        if number == len(held):
            return f"stages.{recipe.stage} added"
        if held[number] != recipe.id:
            break
    else:
        dropped = corpus.recipe(held[len(recipes)])
        return f"stages.{dropped['stage']} left out" if dropped else "a stage left out"
    content = corpus.recipe(held[number])
    if content is None:
        return f"stages.{recipe.stage} changed"
    before = Recipe.model_validate({name: content[name] for name in Recipe.model_fields})
    if before.stage != recipe.stage:
        names = [one.stage for one in recipes]
        return f"stages.{before.stage} left out" if before.stage not in names else f"stages.{recipe.stage} added"
    changed = [
        *(["the code of stages." + recipe.stage] if before.version != recipe.version else []),
        *_changed(f"stages.{recipe.stage}", before.params, recipe.params),
        *([f"stages.{recipe.stage}.prompt"] if before.prompt != recipe.prompt else []),
        *_changed("models", _anywhere(before.models), _anywhere(recipe.models)),
    ]
    return ", ".join(changed) or f"stages.{recipe.stage} changed"


def _anywhere(models: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """Models without where those of folders lie: their revisions tell them apart."""
    return {
        role: {field: value for field, value in model.items() if field != "name" or not str(value).startswith("/")}
        for role, model in models.items()
    }


def _changed(where: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [f"{where}.{name}" for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
