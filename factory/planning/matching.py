"""Partners who are alike or unlike: of a few candidates, drawn on the ring, the nearest or the farthest.

The candidates of a draw stay as they are but where a seed comes or goes between a draw and its neighbour, and even then
the choice moves only if that seed is chosen, or was; so a seed that joins moves a few pairs, however many seeds there
are. Of texts and lists, near partners are looked for among those who have a value in common, on a ring for each value;
one candidate is always anybody, so that nobody is without a partner for want of such. Limitations: the nearest of 16
who have something in common, or of 8 strangers, and not of all; all pairs are held in memory, 16 bytes each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from factory.base.arrays import offsets_of
from factory.base.fingerprint import Indices, Keys, key, mix
from factory.planning.casts import Cast, CastError, known_attribute
from factory.planning.pairing import Ring
from factory.seeds.store import Seeds
from factory.spec.pairing import Match
from factory.store.records import place_of

_STRANGERS, _SHARING = 8, 16
"""Candidates of each draw: of all, and of those who have a value in common. With more, partners are nearer; but a seed
is a candidate so often, and moves as many pairs if it is the best of all."""
_MATCH = key("match")
_AT_ONCE = 1 << 14
_VALUE_BITS = 24
_LISTED = "["

Closeness = NDArray[np.float64]


class _Compared(Protocol):
    """What seeds are matched on, by their places."""

    def closeness(self, one: Indices, other: Indices) -> Closeness:
        """How alike the seeds of each pair are, NaN where that is not known; the higher the nearer."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """A number of each seed, NaN where it has none."""

    values: NDArray[np.float64]

    def closeness(self, one: Indices, other: Indices) -> Closeness:
        """The nearer, the less they are apart."""
        return -np.abs(self.values[one] - self.values[other])


@dataclass(frozen=True, slots=True)
class Values:
    """Sets of values: those of each seed from its start on to the next one's, in the order of their texts."""

    starts: Indices
    values: Indices
    distinct: int

    def __post_init__(self) -> None:
        if self.distinct >= 1 << _VALUE_BITS:
            raise CastError(f"pairing.match.by: {self.distinct:,} different values; {1 << _VALUE_BITS:,} are allowed")

    def held(self) -> NDArray[np.int64]:
        """How many values each seed has."""
        return np.diff(self.starts)

    def closeness(self, one: Indices, other: Indices) -> Closeness:
        """How many values both have."""
        held = self.held()
        number = held[one]
        pair = np.repeat(np.arange(len(one)), number)
        value = self.values[np.repeat(self.starts[one], number) + _within(number)]
        # Which values which seed has, in ascending order.
        all_held = np.repeat(np.arange(len(held)), held) * self.distinct + self.values
        sought = other[pair] * self.distinct + value
        place = np.minimum(np.searchsorted(all_held, sought), len(all_held) - 1)
        shared = np.bincount(pair, all_held[place] == sought, minlength=len(one))
        return np.where((number == 0) | (held[other] == 0), np.nan, shared)


class _ByValue:
    """Seeds on a ring for each value, all in one array: those of a value follow each other in the order of their
    points."""

    def __init__(self, values: Values, members: Indices, points: Keys) -> None:
        held = values.held()[members]
        member = np.repeat(members, held)
        value = values.values[np.repeat(values.starts[members], held) + _within(held)]
        order = np.lexsort((points[member], value))
        self._member = member[order]
        self._keys = _on_value(value, points[member])[order]
        self._starts = np.searchsorted(value[order], np.arange(values.distinct + 1))

    def drawn(self, value: Indices, draws: Keys, seeds: Indices, others: Indices) -> Indices:
        """As `Ring.drawn`, of those who have the value of each draw; -1 where all of them are taken."""
        start, stop = self._starts[value], self._starts[value + 1]
        places = np.searchsorted(self._keys, _on_value(value, draws))
        chosen = np.full(len(draws), -1, np.int64)
        left = np.flatnonzero(stop > start)
        for _ in range(others.shape[1] + 2):
            places[left] = np.where(places[left] >= stop[left], start[left], places[left])
            some = self._member[places[left]]
            free = (some != seeds[left]) & (others[left] != some[:, None]).all(axis=1)
            chosen[left[free]] = some[free]
            left = left[~free]
            places[left] += 1
        return chosen


def _on_value(value: Indices, points: Keys) -> Keys:
    """What sorts by value, and by point within it."""
    return (value.astype(np.uint64) << np.uint64(64 - _VALUE_BITS)) | (points >> np.uint64(_VALUE_BITS))


def _within(lengths: NDArray[np.int64]) -> Indices:
    """0, 1, ... up to each length, one after the other."""
    starts = offsets_of(lengths)
    return np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)


def matched(match: Match, seeds: Seeds, cast: Cast) -> tuple[Indices, Indices, list[str]]:
    """Who talks to whom: places of those who open, in ascending order, and of their partners; and what is to be said
    of those who have fewer partners than they should. Raises CastError."""
    compared = compared_on(match, seeds)
    opens, members = np.flatnonzero(cast.opens), np.flatnonzero(cast.partner)
    wanted = max(0, min(cast.partners or 0, len(members) - (not cast.apart)))
    ring = Ring(seeds.sorted.key, members, seeds.sorted.point)
    drawing = _Drawing(match, compared, ring, seeds.sorted.key)
    if match.want == "near" and isinstance(compared, Values):
        drawing.by_value = _ByValue(compared, members, seeds.sorted.point)
    partners = np.concatenate(
        [np.empty((0, wanted), np.int64), *(drawing.partners(some, wanted) for some in _parts(opens))]
    )
    found = partners >= 0
    told = []
    if lacking := int((found.sum(axis=1) < wanted).sum()):
        told.append(
            f"{lacking:,} of {len(opens):,} personas get fewer than {wanted} partner(s): no candidate has "
            f"{match.at_least} value(s) of {match.by} in common with them"
        )
    if not found.any() and len(opens):
        raise CastError(
            f"pairing.match: no two personas have {match.at_least} value(s) of {match.by} in common; ask for fewer in "
            "at_least, or leave it out"
        )
    return np.repeat(opens, found.sum(axis=1)), partners[found], told


def _parts(places: Indices) -> Iterator[Indices]:
    return (places[start : start + _AT_ONCE] for start in range(0, len(places), _AT_ONCE))


@dataclass(slots=True)
class _Drawing:
    match: Match
    compared: _Compared
    ring: Ring
    keys: Keys
    by_value: _ByValue | None = None

    def partners(self, seeds: Indices, count: int) -> Indices:
        """`count` different partners for each of these seeds, -1 where there is none: shape (seeds, partners)."""
        drawn = np.full((len(seeds), count), -1, np.int64)
        for number in range(count):
            candidates = self._candidates(seeds, number, drawn[:, :number])
            one = np.broadcast_to(seeds[:, None], candidates.shape)
            there = candidates >= 0
            close = np.full(candidates.shape, -np.inf)
            known = self.compared.closeness(one[there], candidates[there])
            close[there] = np.nan_to_num(known if self.match.want == "near" else -known, nan=-np.finfo(float).max)
            best = close.argmax(axis=1)[:, None]
            chosen = np.take_along_axis(candidates, best, axis=1)[:, 0]
            if self.match.at_least is not None:
                chosen[np.take_along_axis(close, best, axis=1)[:, 0] < self.match.at_least] = -1
            drawn[:, number] = chosen
        return drawn

    def _candidates(self, seeds: Indices, number: int, others: Indices) -> Indices:
        """Shape (seeds, candidates), -1 for none; the last is anybody."""
        draws = [mix(_MATCH, self.keys[seeds], number, one) for one in range(_SHARING + 1)]
        if self.by_value is None:
            return np.stack([self.ring.drawn(draw, seeds, others) for draw in draws[:_STRANGERS]], axis=1)
        assert isinstance(self.compared, Values)
        candidates = np.full((len(seeds), _SHARING + 1), -1, np.int64)
        held, starts = self.compared.held()[seeds], self.compared.starts[seeds]
        some = np.flatnonzero(held)
        for one, draw in enumerate(draws[:_SHARING]):
            # Each of the seed's values in turn.
            value = self.compared.values[starts[some] + one % held[some]]
            candidates[some, one] = self.by_value.drawn(value, draw[some], seeds[some], others[some])
        candidates[:, _SHARING] = self.ring.drawn(draws[_SHARING], seeds, others)
        return candidates


def compared_on(match: Match, seeds: Seeds) -> Numbers | Values:
    """What seeds are matched on, by their places. Raises CastError for an attribute that none has, or that is a number
    of most seeds and none of others."""
    texts = known_attribute(seeds, match.attribute, "pairing.match.by")
    encoded = texts.dictionary_encode()
    codes = np.asarray(encoded.indices.fill_null(-1))
    told = [_told(text) for text in encoded.dictionary.to_pylist()]
    numbers = np.array([one if isinstance(one, float) else np.nan for one in told])
    is_number = np.append(~np.isnan(numbers), False)[codes]
    given = codes >= 0
    if 2 * is_number.sum() < given.sum():
        return _values(told, encoded.dictionary.to_pylist(), codes[seeds.sorted.seed])
    others = np.flatnonzero(given & ~is_number)
    if others.size:
        (seed,) = seeds.take(others[:1])
        raise CastError(
            f"pairing.match.by: {match.by} is a number of {is_number.sum():,} seeds, but not of {others.size:,}; the "
            f"first is {texts[int(others[0])].as_py()!r} ({place_of(seed.source, seed.line)}): mend it, or leave it "
            "empty"
        )
    if match.at_least is not None:
        raise CastError(
            f"pairing.match.at_least counts values of texts and lists, and {match.by} is a number; leave it out"
        )
    return Numbers(np.append(numbers, np.nan)[codes][seeds.sorted.seed])


def _told(text: str) -> Any:
    """What an attribute says: a number, a list of texts, or nothing more than its text."""
    if text.startswith(_LISTED):
        try:
            found = from_json(text)
        except ValueError:
            return None
        return [one if isinstance(one, str) else str(one) for one in found]
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _values(told: list[Any], texts: list[str], codes: Indices) -> Values:
    """The sets of values of seeds, by which of the texts each has."""
    sets = [sorted(set(one)) if isinstance(one, list) else [text] for one, text in zip(told, texts, strict=True)]
    names = sorted({name for one in sets for name in one})
    ranks = {name: rank for rank, name in enumerate(names)}
    flat = np.array([ranks[name] for one in sets for name in one], np.int64)
    starts = offsets_of([len(one) for one in (*sets, ())])
    held, begins = np.diff(starts)[codes], starts[:-1][codes]
    return Values(offsets_of(held), flat[np.repeat(begins, held) + _within(held)], len(names))
