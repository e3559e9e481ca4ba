"""Who talks to whom, and whose facts distract: draws that stay put.

Seeds stand on a ring at the hash of their id; a draw is a point on the ring, and takes the first seed at or after it.
When one seed comes or goes, only the draws between it and its neighbour move: an expected constant number, however
many seeds there are. Draws are made for many rows at once. Limitations: the spread is not even. Some seeds are drawn
more often than others (an arc's length is exponentially distributed); nothing of what seeds say is taken into account,
but by `factory.planning.matching`.
"""

from __future__ import annotations

import numpy as np

from factory.base.fingerprint import Indices, Keys, key, mix, ring_points

_PARTNER = key("partner")


class Ring:
    """Seeds on a consistent-hash ring (Karger et al., STOC 1997), by the keys of their ids; `members` are the indices
    of those that can be drawn, all without it, and a draw is one of them. Where keys are in the order of their points,
    these can be given: then nothing is sorted, and if all are members, nothing is held but the arrays given."""

    def __init__(self, keys: Keys, members: Indices | None = None, points: Keys | None = None) -> None:
        self._keys = keys
        self._members = members
        if points is None:
            points = ring_points(keys)
            members = np.arange(len(keys)) if members is None else members
            self._members = members[np.argsort(points[members], kind="stable")]
        self._points = points if self._members is None else points[self._members]

    def __len__(self) -> int:
        return len(self._points)

    @property
    def members(self) -> Indices:
        """All that can be drawn."""
        return self._at(np.arange(len(self)))

    def _at(self, places: Indices) -> Indices:
        return places if self._members is None else self._members[places]

    def _places(self, draws: Keys) -> Indices:
        order = np.argsort(draws)  # each search begins where the one before it left the cache warm
        places = np.empty(len(draws), np.int64)
        places[order] = np.searchsorted(self._points, draws[order])
        places[places == len(self)] = 0
        return places

    def partners(self, seeds: Indices, count: int, *, apart: bool = False) -> Indices:
        """`count` different partners for each of these seeds (fewer if there are not so many), one draw each: shape
        (seeds, partners). None of the seeds is a member if they are `apart`."""
        drawn = np.empty((len(seeds), max(0, min(count, len(self) - (not apart)))), np.int64)
        for number in range(drawn.shape[1]):
            drawn[:, number] = self.drawn(mix(_PARTNER, self._keys[seeds], number), seeds, drawn[:, :number])
        return drawn

    def drawn(self, draws: Keys, seeds: Indices, others: Indices) -> Indices:
        """The first seed at or after each draw that is neither the one it is drawn for nor among the `others` (shape
        (draws, any)); there must be one."""
        places = self._places(draws)
        while True:
            chosen = self._at(places)
            taken = (chosen == seeds) | (others == chosen[:, None]).any(axis=1)
            if not taken.any():
                return chosen
            places[taken] = (places[taken] + 1) % len(self)

    def donors(self, draws: Keys, excluded: Indices, count: int) -> Indices:
        """The first `count` different seeds after each draw that are not among its `excluded` (shape (draws, any)):
        shape (draws, count), -1 where there are no more."""
        places = self._places(draws)
        drawn = self._window(places, count)
        met = np.full(len(draws), len(self) < count)
        for one in excluded.T:
            met |= (drawn == one).any(axis=0)
        rows = np.flatnonzero(met)  # few, on a large ring
        reach = min(count + excluded.shape[1], len(self))
        drawn[:, rows] = _without(self._window(places[rows], reach).T, excluded[rows], count).T
        return drawn.T

    def _window(self, places: Indices, reach: int) -> Indices:
        """The seeds at these places and those after them: shape (reach, places), since arrays are gone through several
        times faster along a long last axis."""
        window = places + np.arange(reach)[:, None]
        if len(places) and places.max() > len(self) - reach:
            window %= len(self)
        return self._at(window)


def _without(window: Indices, excluded: Indices, count: int) -> Indices:
    """The first `count` of each window that are not excluded, -1 where there are no more."""
    free = (window[:, :, None] != excluded[:, None, :]).all(axis=2)
    rank = np.cumsum(free, axis=1) - 1
    rows, places = np.nonzero(free & (rank < count))
    drawn = np.full((len(window), count), -1, np.int64)
    drawn[rows, rank[rows, places]] = window[rows, places]
    return drawn
