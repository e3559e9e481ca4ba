"""Which rows of a corpus nearly repeat an older one, and in which shards its column `near_duplicates` says otherwise.

Only rows without a value are compared, each with the rows that stay: a run that adds 1 % compares that 1 %. How old a
row is stands in the column (`order`), so that a rewritten shard makes no row younger: rows that have none yet come
after all that have, by when their shard was committed, then by id. The result is that of comparing all rows at once.
In memory a row takes some 40 bytes (10 M rows: 400 MB), and the signatures are read through once for each 65,536 rows
without a value. Limitations: a remade row must come without a value, and counts as new; where an older row that
others name is gone, all rows younger than the first of those are compared again; before the first pass over a corpus,
a shard that was rewritten since counts as committed then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from factory.base.minhash import Indices, settle, similarities
from factory.methods.passes.near_duplicates import COLUMN, NearDuplicatesParams
from factory.planning.signatures import Signatures
from factory.store.corpus import Corpus
from factory.store.shards import Shard

_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class Change:
    """A shard of which the column is to be rewritten: its values, in the order of the shard's rows and of the type
    COLUMN, and how many of them differ from those that stand."""

    shard: Shard
    values: pa.StructArray
    rows: int


class Duplicates:
    """The near duplicates of a corpus as it stands. `rows` are its rows, `duplicates` how many nearly repeat another,
    `compared` how many had to be compared."""

    def __init__(
        self, corpus: Corpus, params: NearDuplicatesParams, report: Callable[[str, int], None] = lambda *_: None
    ) -> None:
        """Find them. Raises CorpusError or StorageError."""
        self._known = Signatures(corpus)
        self._known.sync(report)
        self._recipe = params.recipe()
        stored = _stored(self._known, self._recipe)
        self._order = _ordered(self._known, stored)
        self._leader, self._similarity = stored.leader.copy(), stored.similarity
        self._same = stored.made & (stored.order == self._order)
        self._before = stored.leader

        by_age = np.flatnonzero(stored.live)
        by_age = by_age[np.argsort(self._order[by_age])]
        start = _settled(stored, self._order, by_age)
        take = self._known.signatures()
        self.rows, self.compared = len(by_age), len(by_age) - start
        settle(
            take, by_age, self._leader, start=start, similarity=params.similarity,
            report=lambda count: report("rows compared", count),
        )  # fmt: skip
        for first in range(start, len(by_age), _AT_ONCE):
            some = by_age[first : first + _AT_ONCE]
            self._similarity[some] = similarities(take(some), take(self._leader[some]))
        self.duplicates = int((self._leader[by_age] != by_age).sum())

    def changes(self) -> Iterator[Change]:
        """What is to be written, shard by shard; nothing where the column is as it should be."""
        for shard in self._known.shards:
            rows = self._known.rows(shard)
            differ = ~self._same[rows] | (self._before[rows] != self._leader[rows])
            if differ.any():
                yield Change(shard, self._values(np.arange(rows.start, rows.stop)), int(differ.sum()))

    def keep(self, written: Iterable[tuple[Change, Shard]]) -> None:
        """Once changes are committed, each as a shard with the same rows in the same order, spare the next run reading
        these. Without it, the next run reads them."""
        self._known.keep((change.shard, shard, change.values) for change, shard in written)

    def _values(self, rows: Indices) -> pa.StructArray:
        leader = self._leader[rows]
        stays = leader == rows
        named: NDArray[np.object_] = np.full(len(rows), None, object)
        named[~stays] = self._known.ids(leader[~stays])
        arrays = [
            pa.array(named, pa.string()),
            pa.array(self._similarity[rows], pa.float32(), mask=stays),
            pa.array(self._order[rows]),
            pa.array([self._recipe] * len(rows), pa.string()),
        ]
        return pa.StructArray.from_arrays(arrays, fields=list(COLUMN))


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the column says, by the rows' numbers: whether the row is in a committed shard (`live`), its `order` (-1 if
    none), whether it was `made` by this recipe, the row that it repeats (its own number if it stays, -1 if none or
    gone), and their similarity."""

    live: NDArray[np.bool_]
    made: NDArray[np.bool_]
    order: Indices
    leader: Indices
    similarity: NDArray[np.float32]


def _stored(known: Signatures, recipe: str) -> _Stored:
    count = len(known)
    live = np.zeros(count, np.bool_)
    for shard in known.shards:
        live[known.rows(shard)] = True
    stored = _Stored(
        live, np.zeros(count, np.bool_), np.full(count, -1), np.full(count, -1), np.zeros(count, np.float32)
    )
    for start, batch in known.batches():
        rows = slice(start, start + len(batch))
        stored.order[rows] = batch["order"].fill_null(-1)
        stored.similarity[rows] = batch["similarity"].fill_null(0)
        stored.made[rows] = pc.equal(batch["recipe"], recipe).fill_null(False)
    stored.made[...] &= live
    _resolve(known, stored)
    return stored


def _resolve(known: Signatures, stored: _Stored) -> None:
    """Fill `leader`."""
    columns = [batch["duplicate_of"].drop_null() for _, batch in known.batches()]
    names = pc.unique(pa.chunked_array(columns, pa.string()))
    row_of = np.full(len(names) + 1, -1)
    for start, batch in known.batches():
        name = pc.index_in(batch["row_id"], names).fill_null(len(names)).to_numpy(zero_copy_only=False)
        here = np.flatnonzero((name < len(names)) & stored.live[start : start + len(batch)])
        row_of[name[here]] = start + here
    for start, batch in known.batches():
        name = pc.index_in(batch["duplicate_of"], names).fill_null(len(names)).to_numpy(zero_copy_only=False)
        own = np.arange(start, start + len(batch))
        stays = batch["duplicate_of"].is_null().to_numpy(zero_copy_only=False) & (stored.order[own] >= 0)
        stored.leader[own] = np.where(stays, own, row_of[name])


def _ordered(known: Signatures, stored: _Stored) -> Indices:
    """The order of all rows: those without one after all others, by when their shard was committed, then by id."""
    order = stored.order.copy()
    new = np.flatnonzero(stored.live & (order < 0))
    times, committed = np.zeros(len(order), np.int64), known.corpus.table.committed()
    for shard in known.shards:
        times[known.rows(shard)] = committed[shard.path]
    table = pa.table({"time": times[new], "row_id": known.ids(new)}, pa.schema({"time": "int64", "row_id": "string"}))
    places = pc.sort_indices(table, [("time", "ascending"), ("row_id", "ascending")]).to_numpy()
    first = int(order[stored.live].max(initial=-1)) + 1
    order[new[places]] = np.arange(first, first + len(new))
    return order


def _settled(stored: _Stored, order: Indices, by_age: Indices) -> int:
    """How many of the oldest rows stand as they should: all before the first that was not made by this recipe, or
    names a row that is gone, or new because it was remade."""
    leader = stored.leader[by_age]
    wrong = np.flatnonzero(~stored.made[by_age] | (leader < 0) | (order[leader] > order[by_age]))
    return int(wrong[0]) if len(wrong) else len(by_age)
