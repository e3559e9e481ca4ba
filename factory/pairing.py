"""Who talks to whom, and whose facts distract: draws that stay put.

Seeds stand on a ring at the hash of their id; a draw is a point on the ring, and takes the first seed at or after it.
When one seed comes or goes, only the draws between it and its neighbour move: an expected constant number, however
many seeds there are. Draws are made for many rows at once. Gives up: an even spread. Some seeds are drawn more often
than others (an arc's length is exponentially distributed), and nothing of what seeds say is taken into account.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from factory.fingerprint import Keys, key, mix

Indices = NDArray[np.int64]

_RING, _PARTNER = key("ring"), key("partner")


class Ring:
    """Seeds on a consistent-hash ring (Karger et al., STOC 1997), by the keys of their ids; `members` are the indices
    of those that can be drawn, and a draw is one of them."""

    def __init__(self, keys: Keys, members: Indices) -> None:
        points = mix(_RING, keys[members])
        order = np.argsort(points, kind="stable")
        self._keys = keys
        self._points = points[order]
        self._members = members[order]

    def __len__(self) -> int:
        return len(self._members)

    def _places(self, draws: Keys) -> Indices:
        return np.searchsorted(self._points, draws) % len(self)

    def partners(self, seeds: Indices, count: int) -> Indices:
        """`count` different partners for each of these seeds (fewer if there are not so many), one draw each: shape
        (seeds, partners)."""
        drawn = np.empty((len(seeds), max(0, min(count, len(self) - 1))), np.int64)
        for number in range(drawn.shape[1]):
            places = self._places(mix(_PARTNER, self._keys[seeds], number))
            while True:
                chosen = self._members[places]
                taken = (chosen == seeds) | (drawn[:, :number] == chosen[:, None]).any(axis=1)
                if not taken.any():
                    break
                places[taken] = (places[taken] + 1) % len(self)
            drawn[:, number] = chosen
        return drawn

    def donors(self, draws: Keys, excluded: Indices, count: int) -> Indices:
        """The first `count` different seeds after each draw that are not among its `excluded` (shape (draws, any)):
        shape (draws, count), -1 where there are no more."""
        reach = min(count + excluded.shape[1], len(self))
        window = self._members[(self._places(draws)[:, None] + np.arange(reach)) % len(self)]
        free = (window[:, :, None] != excluded[:, None, :]).all(axis=2)
        rank = np.cumsum(free, axis=1) - 1
        rows, places = np.nonzero(free & (rank < count))
        drawn = np.full((len(draws), count), -1, np.int64)
        drawn[rows, rank[rows, places]] = window[rows, places]
        return drawn
