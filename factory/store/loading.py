"""A corpus as rows to train on: an iterable dataset for PyTorch, shuffled, split between ranks, and resumed exactly.

The order is a function of version, seed, epoch, ranks and workers alone. Each epoch draws an order of the shards. Each
part (a worker of a rank) takes a range of that sequence of rows, and reads only the shards in it, pool by pool; the
rows of a pool are shuffled. Ranges differ in length by a row at most. Limitations: rows of one shard stay in one pool.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from factory.store.records import ROW_SCHEMA, Decision, fitted
from factory.store.shards import Shard
from factory.store.storage import MissingFileError
from factory.store.table import CorpusError, Table, chosen

_POOL = 4096
"""The fewest rows that are shuffled together; two pools are in memory."""

_BATCH = 256
"""Rows that become Python objects at once."""


_DECISION = pa.schema([ROW_SCHEMA.field("decision")])


@dataclass(frozen=True, slots=True)
class _Span:
    """The rows `[first, last)` among the wanted rows of a shard."""

    shard: Shard
    first: int
    last: int


class CorpusDataset(torch.utils.data.IterableDataset[dict[str, Any]]):
    """The rows of one version of a corpus (none where every row has failed), as dictionaries of Python values;
    `Corpus.to_torch` makes it.

    `len` is the number of rows of this rank. `state_dict` after a row and `load_state_dict` in another process go on
    with the next one, also when the corpus has changed since; `torchdata`'s StatefulDataLoader calls both. With several
    workers (DataLoader's `num_workers`), each has its own position.
    """

    def __init__(
        self,
        corpus: str,
        version: int | None,
        *,
        rank: int,
        world_size: int,
        seed: int,
        epoch: int,
        columns: Sequence[str] | None,
        decisions: Sequence[Decision] | None,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is not one of {world_size} ranks, which are numbered from 0")
        self._corpus = corpus
        self._rank, self._world_size, self._seed, self._epoch = rank, world_size, seed, epoch
        self._columns = None if columns is None else list(columns)
        self._decisions = list(decisions) if decisions is not None else None
        self._start = self._position = 0
        self._pin(version)

    def __len__(self) -> int:
        first, last = self._range(self._rank, self._world_size)
        return last - first

    def set_epoch(self, epoch: int) -> None:
        """Shuffle again: the next iteration is that of the epoch, from its first row."""
        self._epoch, self._start, self._position = epoch, 0, 0

    def state_dict(self) -> dict[str, int | None]:
        """Where the iteration stands, after the row that it gave last."""
        return {
            "version": self._version,
            "seed": self._seed,
            "epoch": self._epoch,
            "rank": self._rank,
            "world_size": self._world_size,
            "workers": _part()[1],
            "position": self._position,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Have the next iteration go on from there, in the version of the corpus that it was in. Raises ValueError for
        the state of another rank, CorpusError if the version is gone."""
        ours = {"rank": self._rank, "world_size": self._world_size, "workers": _part()[1]}
        for name, value in ours.items():
            if state[name] != value:
                raise ValueError(f"the state is of {name} {state[name]}, not {value}: rows would be lost or repeated")
        self._seed, self._epoch, self._start = state["seed"], state["epoch"], state["position"]
        self._position = self._start
        if state["version"] != self._version:
            self._pin(state["version"])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._position, self._start = self._start, 0
        return self._rows_from(self._position)

    def _rows_from(self, start: int) -> Iterator[dict[str, Any]]:
        worker, workers = _part()
        part, parts = self._rank * workers + worker, self._world_size * workers
        pools = [(number, spans) for number, spans in enumerate(self._pools(part, parts))]
        while pools and start >= _rows(pools[0][1]):
            start -= _rows(pools.pop(0)[1])
        chance = [self._seed, self._epoch, part, parts]
        table = Table(self._corpus, ROW_SCHEMA)
        with ThreadPoolExecutor(1) as reader:
            ahead = [reader.submit(self._read, table, spans) for _, spans in pools[:1]]
            for at, (number, spans) in enumerate(pools):
                rows = ahead.pop().result()
                ahead += [reader.submit(self._read, table, spans) for _, spans in pools[at + 1 : at + 2]]
                order = np.random.default_rng([*chance, number]).permutation(_rows(spans))[start:]
                start = 0
                for first in range(0, len(order), _BATCH):
                    for row in rows.take(order[first : first + _BATCH]).to_pylist():
                        self._position += 1
                        yield row

    def _pin(self, version: int | None) -> None:
        """Settle on a version's shards and columns, and on how many rows of each shard are wanted."""
        self._version = version
        table = Table(self._corpus, ROW_SCHEMA)
        self._shards = [] if version is None else table.shards_at(version)
        self._schema = chosen(table.layout, self._columns)
        if self._decisions is None:
            self._wanted = [shard.rows for shard in self._shards]
        else:
            with ThreadPoolExecutor(16) as threads:
                self._wanted = list(threads.map(lambda shard: len(self._shard(table, shard, _DECISION)), self._shards))
        self._total = sum(self._wanted)

    def _range(self, part: int, parts: int) -> tuple[int, int]:
        """The rows of a part, of all in the epoch's order."""
        return self._total * part // parts, self._total * (part + 1) // parts

    def _pools(self, part: int, parts: int) -> Iterator[list[_Span]]:
        """What a part reads, in spans that are shuffled together."""
        first, last = self._range(part, parts)
        order = np.random.default_rng([self._seed, self._epoch]).permutation(len(self._shards))
        ends = list(accumulate(self._wanted[number] for number in order))
        pool: list[_Span] = []
        for number, end in zip(order, ends, strict=True):
            begin = end - self._wanted[number]
            if max(first, begin) < min(last, end):
                pool.append(_Span(self._shards[number], max(first, begin) - begin, min(last, end) - begin))
            if _rows(pool) >= _POOL:
                yield pool
                pool = []
        if pool:
            yield pool

    def _read(self, table: Table, spans: list[_Span]) -> pa.Table:
        tables = (
            self._shard(table, span.shard, self._schema).slice(span.first, span.last - span.first) for span in spans
        )
        return pa.concat_tables(tables).combine_chunks()

    def _shard(self, table: Table, shard: Shard, schema: pa.Schema) -> pa.Table:
        """These columns of the wanted rows of a shard."""
        try:
            rows = table.read(shard, list(dict.fromkeys([*schema.names, "decision"])))
        except MissingFileError as error:
            gone = f"files of version {self._version} are gone (factory gc or forget, or another program's vacuum)"
            raise CorpusError(f"{self._corpus}: {gone}") from error
        if self._decisions is not None:
            rows = rows.filter(pc.is_in(rows["decision"], pa.array(self._decisions, pa.string())))
        return fitted(rows, schema)


def _part() -> tuple[int, int]:
    """This process among the workers of a DataLoader, and how many they are."""
    info = torch.utils.data.get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)


def _rows(spans: list[_Span]) -> int:
    return sum(span.last - span.first for span in spans)
