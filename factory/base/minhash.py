"""MinHash: which of many texts nearly repeat an older one, by the words they have in common.

A text's signature is 128 bytes, the lowest 8 bits of 128 hashes (b-bit minwise hashing, Li and König, WWW 2010). The
share of bytes in which two signatures agree estimates the Jaccard similarity of their sets of words. Texts are settled
in order: one stays unless it is alike an older one that stays, and then it is a duplicate of the oldest such. So what
comes later changes nothing for what came before. Limitations: an estimate is off by up to 0.03 (one standard deviation
at 0.9); word order and repeats do not count; texts that are nearly alike without being duplicates, as those of one
template are, are compared each with each (10,000 of them take ten seconds, 100,000 some twenty minutes).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

SLOTS = 128
BANDS = 16
"""A signature is 16 numbers of 64 bits, each a band of 8 slots."""

Signatures = NDArray[np.uint64]
"""Signatures of shape (texts, BANDS)."""
Indices = NDArray[np.int64]

BLANK = np.uint64(0xFFFFFFFFFFFFFFFF)
"""Every band of the signature of a text without words."""

_SEED = 1
_TEXTS_AT_ONCE = 4096
_BLOCK = 1 << 16
"""Texts that are settled at once, and older ones that they are compared with at once."""
_PAIRS_AT_ONCE = 1 << 16
_ODD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Thai, Lao, Burmese, Khmer, kana and Han, which are written without spaces: each letter counts as a word."""
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+(?:['’][^\W{_UNSPACED}]+)*")


def words(text: str) -> list[str]:
    """The words of a text, in small letters."""
    return _WORD.findall(text.casefold())


def signatures(texts: Sequence[str]) -> Signatures:
    """The signatures of texts."""
    from rensa import RMinHash

    found = np.empty((len(texts), BANDS), np.uint64)
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        said = [words(text) for text in texts[start : start + _TEXTS_AT_ONCE]]
        hashes = np.array(RMinHash.digest_matrix_from_token_sets(said, SLOTS, _SEED).to_rows(), np.uint32)
        found[start : start + len(said)] = hashes.astype(np.uint8).view(np.uint64)
    return found


def algorithm() -> str:
    """What signatures depend on besides the text: those of another algorithm must not be compared with these."""
    from rensa import RMinHash

    return f"{SLOTS}/{_SEED}/{RMinHash.ALGORITHM_VERSION}"


def similarities(first: Signatures, second: Signatures) -> NDArray[np.float32]:
    """The similarity of each of the first texts with that of the second in its place."""
    return (_agreeing(first, second) / SLOTS).astype(np.float32)


def settle(
    take: Callable[[Indices], Signatures],
    order: Indices,
    leader: Indices,
    *,
    start: int,
    similarity: float,
    report: Callable[[int], None] = lambda _: None,
) -> None:
    """Find for texts the oldest one that stays and that they are alike, from `similarity` on.

    `order` are the texts' numbers, oldest first; `take` gives the signatures of some. `leader` says of each number
    which text it repeats, its own where it stays: that is so already of the first `start` texts in order, and is
    written for the others. `report` is told how many are done.
    """
    for begin in range(start, len(order), _BLOCK):
        rows = order[begin : begin + _BLOCK]
        leader[rows] = rows
        members = take(rows)
        spoken = np.flatnonzero((members != BLANK).any(axis=1))
        rows, members = rows[spoken], members[spoken]
        found = np.full(len(rows), -1, np.int64)
        index, older = _Index(members, similarity), order[:begin]
        older = older[leader[older] == older]
        for first in range(0, len(older), _BLOCK):
            some = older[first : first + _BLOCK]
            oldest = np.full(len(rows), len(some))
            for place, member in index.alike(take(some)):
                np.minimum.at(oldest, member, place)
            new = np.flatnonzero((found < 0) & (oldest < len(some)))
            found[new] = some[oldest[new]]
        left = np.flatnonzero(found < 0)
        found[left] = rows[left[_among(members[left], similarity)]]
        leader[rows] = found
        report(min(begin + _BLOCK, len(order)) - start)


def _agreeing(first: Signatures, second: Signatures) -> NDArray[np.int64]:
    """In how many slots the signatures in the same place agree."""
    agree: NDArray[np.int64] = np.count_nonzero((first ^ second).view(np.uint8) == 0, axis=1)
    return agree


def _least(similarity: float) -> int:
    """Slots that must agree."""
    return math.ceil(similarity * SLOTS - 1e-9)


def _keys_of(similarity: float) -> list[tuple[int, int]]:
    """Pairs of bands that texts are looked up by. Where so few slots may differ that 4 bands or more agree, all pairs
    within fewer groups of bands than that: two of the bands that agree then fall into one group, so that no pair of
    texts is missed, and texts that are little alike hardly ever meet. Else each band alone, which misses 5 % of the
    pairs at 0.8."""
    same = BANDS - (SLOTS - _least(similarity))
    if same < 4:
        return [(band, band) for band in range(BANDS)]
    groups = np.array_split(np.arange(BANDS), same - 1)
    return [pair for group in groups for pair in combinations(group.tolist(), 2)]


def _key(texts: Signatures, bands: tuple[int, int]) -> NDArray[np.uint64]:
    key: NDArray[np.uint64] = texts[:, bands[0]] * _ODD[0] + texts[:, bands[1]] * _ODD[1]
    return key


class _Index:
    """Signatures to be looked up by their keys: for each pair of bands the texts sorted by key, and which of the keys'
    first bits occur at all."""

    def __init__(self, texts: Signatures, similarity: float) -> None:
        self._texts = texts
        self._least = _least(similarity)
        self._shift = np.uint64(64 - max(8, (8 * len(texts)).bit_length()))
        self._bands = _keys_of(similarity)
        self.orders: list[Indices] = []
        self.keys: list[NDArray[np.uint64]] = []
        self._occurring: list[NDArray[np.bool_]] = []
        for bands in self._bands:
            key = _key(texts, bands)
            occurring = np.zeros(1 << (64 - int(self._shift)), np.bool_)
            occurring[key >> self._shift] = True
            self.orders.append(np.argsort(key, kind="stable"))
            self.keys.append(key[self.orders[-1]])
            self._occurring.append(occurring)

    def alike(self, older: Signatures) -> Iterator[tuple[Indices, Indices]]:
        """Places of older texts and of those here that they are alike; a pair may come more than once."""
        for bands, order, keys, occurring in zip(self._bands, self.orders, self.keys, self._occurring, strict=True):
            key = _key(older, bands)
            there = np.flatnonzero(occurring[key >> self._shift])
            low = np.searchsorted(keys, key[there])
            counts = np.searchsorted(keys, key[there], side="right") - low
            ends = np.cumsum(counts)
            for pair in range(0, int(ends[-1]) if len(ends) else 0, _PAIRS_AT_ONCE):
                number = np.arange(pair, min(pair + _PAIRS_AT_ONCE, int(ends[-1])))
                which = np.searchsorted(ends, number, side="right")
                member = order[low[which] + number - (ends[which] - counts[which])]
                yield self.checked(older, there[which], member)

    def checked(self, older: Signatures, place: Indices, member: Indices) -> tuple[Indices, Indices]:
        """Those of the pairs that are alike."""
        alike = _agreeing(older[place], self._texts[member]) >= self._least
        return place[alike], member[alike]


def _among(texts: Signatures, similarity: float) -> Indices:
    """For each text, oldest first, the place of the oldest that stays and that it is alike, its own if it stays.

    In rounds: a text stays once no older one that shares a key is still open; what it is alike stays no more.
    """
    count = len(texts)
    index = _Index(texts, similarity)
    shared = [_shared(order, keys) for order, keys in zip(index.orders, index.keys, strict=True)]
    found, open_ = np.full(count, count), np.zeros(count, np.bool_)
    for members, _ in shared:
        open_[members] = True
    while open_.any():
        shared = [_still_open(members, sizes, open_) for members, sizes in shared]
        oldest = [_oldest(members, sizes, open_) for members, sizes in shared]
        stays = open_.copy()
        for (members, _), first in zip(shared, oldest, strict=True):
            stays[members[first < members]] = False
        for (members, _), first in zip(shared, oldest, strict=True):
            pairs = np.flatnonzero(stays[first] & (first < members))
            for start in range(0, len(pairs), _PAIRS_AT_ONCE):
                some = pairs[start : start + _PAIRS_AT_ONCE]
                older, member = index.checked(texts, first[some], members[some])
                np.minimum.at(found, member, older)
        open_ &= ~stays & (found == count)
    return np.where(found < count, found, np.arange(count))


def _shared(order: Indices, keys: NDArray[np.uint64]) -> tuple[Indices, Indices]:
    """The texts that share a key with another, one key after the other and in order, and how many each key has."""
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    sizes = np.diff(np.append(starts, len(keys)))
    return order[np.repeat(sizes > 1, sizes)], sizes[sizes > 1]


def _still_open(members: Indices, sizes: Indices, open_: NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """Those of the keys that have an open text."""
    if not len(sizes):
        return members, sizes
    kept = np.logical_or.reduceat(open_[members], np.cumsum(sizes) - sizes)
    return members[np.repeat(kept, sizes)], sizes[kept]


def _oldest(members: Indices, sizes: Indices, open_: NDArray[np.bool_]) -> Indices:
    """For each member the oldest open text of its key."""
    if not len(sizes):
        return members
    first = np.minimum.reduceat(np.where(open_[members], members, len(open_)), np.cumsum(sizes) - sizes)
    return np.repeat(first, sizes)
