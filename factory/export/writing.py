"""The files of an export: sharded, compressed, in one schema, and there under their names only once all are written.

They grow in a scratch folder and go, one by one, to a folder of the target that readers pass over; when the last is
there, all get their names, which say how many they are: train-00000-of-00004.parquet. What a dead export leaves behind
is therefore no file of a split, or, if it died while names were given, a series with gaps. Limitations: a file is sent
to an object store in one piece, and copied there once, so it must stay below 5 GB.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, Protocol, Self

import pyarrow as pa
import pyarrow.parquet as pq

from factory.export.splits import TRAIN
from factory.methods.exports import ExportError, ExportFormat, Record
from factory.store.storage import Storage, StorageError, on_scratch

Form = Literal["parquet", "jsonl"]

MANIFEST = "_export.json"
"""Says what the export was made of; written last. `datasets`, pyarrow and Spark pass over a name that begins so."""
_STAGING = ".partial"
_ENDINGS: dict[Form, str] = {"parquet": "parquet", "jsonl": "jsonl.gz"}
_GROUP = 1024
"""Examples of a split that are held in memory: a row group of Parquet."""


class _Sink(Protocol):
    def write(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


class _Parquet:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()


class _JsonLines:
    def __init__(self, path: Path, _: pa.Schema) -> None:
        self._file = path.open("wb")
        self._lines = gzip.GzipFile("", "wb", compresslevel=6, fileobj=self._file, mtime=0)

    def write(self, table: pa.Table) -> None:
        for example in table.to_pylist():
            self._lines.write(json.dumps(example, ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        self._lines.close()
        self._file.close()


class Files:
    """Examples in, files out. A context: what it wrote is taken away again unless `finish` came through.

    Raises ExportError if there is something at the target already and for an example that does not fit the schema of
    its format, StorageError if the target cannot be written."""

    def __init__(self, to: str, made: ExportFormat, form: Form, rows_per_file: int) -> None:
        self.storage, self.made, self.form, self.rows_per_file = Storage(to), made, form, rows_per_file
        self.rows: dict[str, list[int]] = defaultdict(list)
        """Of each split the examples of each file."""
        self._pending: dict[str, list[Record]] = defaultdict(list)
        self._open: dict[str, _Sink] = {}
        self._named: list[str] = []
        found = self.storage.files("")
        if any(file.path.startswith(f"{_STAGING}/") for file in found):
            raise ExportError(f"{to}: another export is running here, or died here; delete {to}, or name another place")
        if found:
            raise ExportError(f"{to}: holds files already ({found[0].path}); delete them, or name another place")

    def __enter__(self) -> Self:
        self._scratch = tempfile.TemporaryDirectory()
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        for sink in self._open.values():
            with suppress(OSError, pa.ArrowException):
                sink.close()
        self._scratch.cleanup()
        if failed is not None:
            with suppress(StorageError):  # the failure itself is what counts
                for name in self._named:
                    self.storage.delete(name)
                self.storage.delete_folder(_STAGING)

    def add(self, split: str, example: Record) -> None:
        """Write an example; most only reach the disk with others."""
        pending = self._pending[split]
        pending.append(example)
        if split not in self._open:
            self._begin(split)
        if len(pending) == _GROUP or self.rows[split][-1] + len(pending) == self.rows_per_file:
            self._flush(split)

    def finish(self) -> None:
        """Complete the last files, and give all their names."""
        for split in list(self._open):
            self._flush(split)
            if split in self._open:
                self._end(split)
        for split in sorted(self.rows, key=lambda name: name == TRAIN):  # the one that most would miss is whole last
            names = self.names(split)
            self._named += names
            self.storage.each(
                self._give_name, [(self._staged(split, number), name) for number, name in enumerate(names)]
            )
        self.storage.delete_folder(_STAGING)

    def _give_name(self, names: tuple[str, str]) -> None:
        self.storage.move(*names)

    def names(self, split: str) -> list[str]:
        """The files of a split, as they are named in the end."""
        count = len(self.rows[split])
        return [f"{split}-{number:05}-of-{count:05}.{_ENDINGS[self.form]}" for number in range(count)]

    def write_manifest(self, content: Mapping[str, object]) -> None:
        """Say beside the files what they are."""
        self._named.append(MANIFEST)
        self.storage.write_bytes(MANIFEST, json.dumps(content, ensure_ascii=False, indent=1).encode())

    def _staged(self, split: str, number: int) -> str:
        return f"{_STAGING}/{split}-{number:05}"

    def _path(self, split: str) -> Path:
        return Path(self._scratch.name) / split

    def _begin(self, split: str) -> None:
        with on_scratch(self._scratch.name):
            sink = _Parquet if self.form == "parquet" else _JsonLines
            self._open[split] = sink(self._path(split), self.made.schema)
        self.rows[split].append(0)

    def _flush(self, split: str) -> None:
        table = self.made.table(self._pending[split])
        with on_scratch(self._scratch.name):
            self._open[split].write(table)
        self.rows[split][-1] += len(table)
        self._pending[split].clear()
        if self.rows[split][-1] == self.rows_per_file:
            self._end(split)

    def _end(self, split: str) -> None:
        with on_scratch(self._scratch.name):
            self._open.pop(split).close()
        self.storage.upload(self._path(split), self._staged(split, len(self.rows[split]) - 1))
