"""The signatures of a corpus's rows, so that a row is read and hashed once however often it is compared.

For each committed row it holds the signature of its text, its id, and what its column `near_duplicates` says. It is a
cache beside the corpus, in `_passes/`: what it lacks is read from the shards, whose files never change, and it can be
deleted at any time. It is a few files, each over some shards, that are mapped into memory. A row takes some 200 bytes
on disk (10 M rows: 2 GB) and none in memory. Limitations: behind an object store the files are copied to the local disk
each time; where the corpus may only be read, what is lacking is read each time.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from factory.base.minhash import BANDS, Indices, algorithm, signatures
from factory.methods.passes.near_duplicates import COLUMN, FACTS, TURNS, dialogue_texts, persona_texts
from factory.store.corpus import Corpus
from factory.store.shards import Shard
from factory.store.storage import ReadOnlyError, on_scratch

PASSES = "_passes"
NAME = "near_duplicates"
FOLDER = f"{PASSES}/{NAME}/rows"

_ROWS_AT_ONCE = 1 << 18
_BATCH = 1 << 16
_MOST_FILES = 8
"""Files after which all are made one."""

SIGNATURE = pa.binary(8 * BANDS)
_SCHEMA = pa.schema([("row_id", pa.string()), ("signature", SIGNATURE), *COLUMN])
_DAMAGED = (OSError, ValueError, KeyError, TypeError, pa.ArrowException)


class Signatures:
    """The cached rows, numbered from 0 through all files; `shards` are the committed shards, `first` the number of the
    first row of each by path. Rows that are in no committed shard have numbers too. Rows of a shard stand in its
    order."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.shards: list[Shard] = []
        self.first: dict[str, int] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="signatures-", ignore_cleanup_errors=True)
        self._tables: list[pa.Table] = []
        self._paths: list[str] = []

    def __len__(self) -> int:
        return sum(map(len, self._tables))

    def sync(self, report: Callable[[str, int], None] = lambda *_: None) -> None:
        """Bring the cache up to the newest version of the corpus. Raises CorpusError or StorageError."""
        self.shards = self.corpus.table.shards()
        self._tables, self._paths, self.first = [], [], {}
        lacking = {shard.path: shard for shard in self.shards}
        for path in self.corpus.storage.list(FOLDER):
            try:
                self._open(path, self.corpus.storage.local(path, Path(self._folder.name)), lacking)
            except FileNotFoundError:  # another run has just made one file of all
                continue
            except _DAMAGED:  # the shards tell it again
                self._delete(path)
        read = 0
        while lacking:
            told: list[Shard] = []
            parts: list[pa.Table] = []
            while lacking and sum(map(len, parts)) < _ROWS_AT_ONCE:
                told.append(lacking.popitem()[1])
                parts.append(self._of_shard(told[-1]))
                read += told[-1].rows
                report("rows signed", read)
            self._write([pa.concat_tables(parts)], told)
        if len(self._paths) > _MOST_FILES:
            self.compact()

    def rows(self, shard: Shard) -> slice:
        """The numbers of a shard's rows."""
        return slice(self.first[shard.path], self.first[shard.path] + shard.rows)

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """All rows, some at a time, with the number of the first."""
        start = 0
        for table in self._tables:
            for batch in table.to_batches():
                yield start, batch
                start += len(batch)

    def signatures(self) -> Callable[[Indices], NDArray[np.uint64]]:
        """What gives the signatures of rows by their numbers."""
        mapped = [(start, from_column(batch["signature"])) for start, batch in self.batches()]
        starts = np.array([start for start, _ in mapped], np.int64)

        def take(rows: Indices) -> NDArray[np.uint64]:
            found = np.empty((len(rows), BANDS), np.uint64)
            parts = np.searchsorted(starts, rows, side="right") - 1
            for part in np.unique(parts).tolist():
                chosen = parts == part
                found[chosen] = mapped[part][1][rows[chosen] - starts[part]]
            return found

        return take

    def ids(self, rows: Indices) -> list[str]:
        """The ids of rows."""
        found: NDArray[np.object_] = np.empty(len(rows), object)
        for start, batch in self.batches():
            here = np.flatnonzero((rows >= start) & (rows < start + len(batch)))
            if len(here):
                found[here] = batch["row_id"].take(pa.array(rows[here] - start)).to_pylist()
        return list(found)

    def keep(self, rewritten: Iterable[tuple[Shard, Shard, pa.StructArray]]) -> None:
        """Keep what is known of shards that were rewritten with another column alone: old shard, new shard, column."""
        tables, told = [], []
        for old, new, values in rewritten:
            known = self._slice(old).select(["row_id", "signature"])
            tables.append(pa.table([*known.columns, *values.flatten()], schema=_SCHEMA))
            told.append(new)
        if told:
            self._write(tables, told)

    def _slice(self, shard: Shard) -> pa.Table:
        start = self.first[shard.path]
        for table in self._tables:
            if start < len(table):
                return table.slice(start, shard.rows)
            start -= len(table)
        raise KeyError(shard.path)

    def compact(self) -> None:
        """Make one file of all, without the rows of shards that are gone."""
        old, tables = self._paths, [self._slice(shard) for shard in self.shards]
        self._tables, self._paths, self.first = [], [], {}
        self._write(tables, self.shards)
        for path in old:
            self._delete(path)

    def _delete(self, path: str) -> None:
        with suppress(ReadOnlyError):  # it then stays, and is passed over as it is now
            self.corpus.storage.delete(path)

    def _open(self, path: str, local: Path, lacking: dict[str, Shard]) -> None:
        """Open a file, which is `local` on this disk, and take the shards that it tells of off `lacking`."""
        table = pa.ipc.open_file(pa.memory_map(str(local))).read_all()
        told = {str(shard): int(rows) for shard, rows in json.loads(table.schema.metadata[b"shards"])}
        if table.schema.metadata[b"algorithm"].decode() != algorithm() or sum(told.values()) != len(table):
            raise ValueError(f"{path}: holds no signatures of this version")
        if not told.keys() & lacking.keys():
            self._delete(path)
            return
        start = len(self)
        for shard, rows in told.items():
            if lacking.pop(shard, None) is not None:
                self.first[shard] = start
            start += rows
        self._tables.append(table.select(_SCHEMA.names))
        self._paths.append(path)

    def _write(self, tables: Sequence[pa.Table], told: Sequence[Shard]) -> None:
        """Write the rows of these shards as a file of their own, and open it."""
        metadata = {"shards": json.dumps([(shard.path, shard.rows) for shard in told]), "algorithm": algorithm()}
        name = f"{uuid.uuid4().hex}.arrow"
        path, written = f"{FOLDER}/{name}", Path(self._folder.name) / name
        with (
            on_scratch(self._folder.name),
            pa.OSFile(str(written), "wb") as file,
            pa.ipc.new_file(file, _SCHEMA.with_metadata(metadata)) as writer,
        ):
            for some in _grouped(tables):
                writer.write_table(some, _BATCH)
        if self.corpus.storage.keep(written, path):
            written.unlink()
            written = self.corpus.storage.local(path, Path(self._folder.name))
        self._open(path, written, {shard.path: shard for shard in told})

    def _of_shard(self, shard: Shard) -> pa.Table:
        """The rows of a shard, read and hashed."""
        column = [NAME] if NAME in self.corpus.table.schema.names else []
        rows = self.corpus.table.read(shard, ["row_id", *TURNS, *column])
        texts = dialogue_texts(rows)
        if not all(texts):
            facts = persona_texts(self.corpus.table.read(shard, FACTS))
            texts = [text or fact for text, fact in zip(texts, facts, strict=True)]
        signed = as_column(signatures(texts))
        values = rows[NAME].combine_chunks() if column else pa.nulls(len(texts), COLUMN)
        fields = [pc.struct_field(values, field.name) for field in COLUMN]
        return pa.table([rows["row_id"], signed, *fields], schema=_SCHEMA)


def _grouped(tables: Sequence[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of about _BATCH rows or more, each of one piece."""
    some: list[pa.Table] = []
    for table in tables:
        some.append(table)
        if sum(map(len, some)) >= _BATCH:
            yield pa.concat_tables(some).combine_chunks()
            some = []
    if some:
        yield pa.concat_tables(some).combine_chunks()


def as_column(signed: NDArray[np.uint64]) -> pa.FixedSizeBinaryArray:
    """Signatures as an Arrow array; nothing is copied."""
    return pa.Array.from_buffers(SIGNATURE, len(signed), [None, pa.py_buffer(np.ascontiguousarray(signed))])


def from_column(column: pa.FixedSizeBinaryArray) -> NDArray[np.uint64]:
    """The way back."""
    held = np.frombuffer(column.buffers()[1], np.uint64)
    return held[column.offset * BANDS : (column.offset + len(column)) * BANDS].reshape(-1, BANDS)
