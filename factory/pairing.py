"""Who talks to whom, and whose facts distract: draws that stay put.

Seeds stand on a ring at the hash of their id; a draw is a point on the ring, and takes the first seed at or after it.
When one seed comes or goes, only the draws between it and its neighbour move: an expected constant number, however
many seeds there are. Gives up: an even spread. Some seeds are drawn more often than others (an arc's length is
exponentially distributed), and nothing of what seeds say is taken into account.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence

from factory.fingerprint import blake


class Ring:
    """Seed ids on a consistent-hash ring (Karger et al., STOC 1997); a draw is an index into `ids`."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._points = sorted((blake("ring", seed_id), index) for index, seed_id in enumerate(ids))
        self._ids = ids

    def draw(self, *key: str) -> Iterator[int]:
        """Indices of the seeds after the key's point, each once, all the way round."""
        start = bisect_left(self._points, (blake(*key), -1))
        size = len(self._points)
        for step in range(size):
            yield self._points[(start + step) % size][1]

    def partners(self, index: int, count: int) -> list[int]:
        """`count` different partners for a seed (fewer if there are not so many seeds), one draw each."""
        chosen: list[int] = []
        for number in range(min(count, len(self._points) - 1)):
            draw = self.draw("partner", self._ids[index], str(number))
            chosen.append(next(other for other in draw if other != index and other not in chosen))
        return chosen

    def donors(self, key: str, count: int, excluded: Collection[int]) -> list[int]:
        """`count` seeds outside `excluded`, one draw each (one may be drawn again; fewer if none is left)."""
        draws = (self.draw("donor", key, str(number)) for number in range(count))
        firsts = (next((other for other in draw if other not in excluded), None) for draw in draws)
        return [other for other in firsts if other is not None]
