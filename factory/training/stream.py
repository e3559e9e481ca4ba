"""Training examples as an endless stream that can begin anywhere: a resumed training sees what it would have seen.

Examples are sorted by length within a pool, so that little of a batch is padding; memory holds one pool. Limitations:
examples before the start are drawn again, though not encoded.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from typing import Any, Generic, TypeVar

import torch

Item = TypeVar("Item")

_POOL = 1024


class Stream(torch.utils.data.IterableDataset[dict[str, Any]], Generic[Item]):
    """Encoded examples, epoch after epoch, from the `start`-th on; the order is a function of the seed alone.

    `epoch` draws the examples of one epoch in the order that its generator gives, at least one of them; consecutive
    `batch` examples are of like `size`.
    """

    def __init__(
        self,
        epoch: Callable[[random.Random], Iterable[Item]],
        encode: Callable[[Item], dict[str, Any]],
        size: Callable[[Item], int],
        *,
        seed: int,
        batch: int,
        start: int = 0,
    ) -> None:
        self._epoch, self._encode, self._size = epoch, encode, size
        self._seed, self._batch, self._start = seed, batch, start

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The encoded examples."""
        return map(self._encode, islice(self._items(), self._start, None))

    def _items(self) -> Iterator[Item]:
        pool: list[Item] = []
        for number in count():
            order = random.Random(f"{self._seed} {number}")
            for item in self._epoch(order):
                pool.append(item)
                if len(pool) == _POOL:
                    yield from self._batches(pool, order)
            yield from self._batches(pool, order)

    def _batches(self, pool: list[Item], order: random.Random) -> Iterator[Item]:
        """Whole batches out of the pool, shuffled; what is left over waits for more."""
        whole = len(pool) // self._batch * self._batch
        taken = sorted(pool[:whole], key=self._size)
        del pool[:whole]
        batches = [taken[first : first + self._batch] for first in range(0, whole, self._batch)]
        order.shuffle(batches)
        return (item for batch in batches for item in batch)
