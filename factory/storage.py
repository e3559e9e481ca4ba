"""Files below one root, on a local disk or in an object store, through Arrow's filesystems.

A file appears whole or not at all: object stores do that by themselves, a local file is written beside its name and
renamed. Gives up: renames are atomic only within one file system, so the root must not straddle two.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

_COPIED_AT_ONCE = 8 * 1024 * 1024
_UNFINISHED = ".partial"


class StorageError(Exception):
    """A root that cannot be used: which, and why."""


@dataclass(frozen=True, slots=True, order=True)
class File:
    """A file: its path from the root, its size in bytes, and the seconds since it was last written."""

    path: str
    size: int
    age_s: float


def absolute(root: str) -> str:
    """The root as it must be named to a process that works elsewhere."""
    return root if "://" in root else str(Path(root).resolve())


class Storage:
    """The files below `root`, a local path or an s3://, gs:// or abfs:// URI; paths are relative to it."""

    def __init__(self, root: str) -> None:
        try:
            self._files, self._root = pafs.FileSystem.from_uri(absolute(root))
        except (pa.ArrowInvalid, OSError) as error:
            raise StorageError(f"{root}: {error}; use a path or an s3://, gs:// or abfs:// URI") from error
        self._local = isinstance(self._files, pafs.LocalFileSystem)

    def _path(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"

    @contextmanager
    def _writing(self, path: str) -> Iterator[Any]:
        """A stream whose bytes appear under the path once it is closed without an error. Raises StorageError."""
        target = self._path(path)
        written = f"{target}{_UNFINISHED}" if self._local else target
        try:
            if self._local:
                self._files.create_dir(target.rpartition("/")[0], recursive=True)
            with self._files.open_output_stream(written) as stream:
                yield stream
            if self._local:
                self._files.move(written, target)
        except OSError as error:
            raise StorageError(f"{target}: cannot be written: {error}") from error

    def write_bytes(self, path: str, content: bytes) -> None:
        """Write a whole file."""
        with self._writing(path) as stream:
            stream.write(content)

    def upload(self, source: Path, path: str) -> None:
        """Write a whole file from one on the local disk, of any size."""
        with source.open("rb") as file, self._writing(path) as stream:
            shutil.copyfileobj(file, stream, _COPIED_AT_ONCE)

    def local(self, path: str, folder: Path) -> Path:
        """The file on the local disk, to be mapped into memory: itself, or a copy of it in `folder`."""
        if self._local:
            return Path(self._path(path))
        copy = folder / path.rpartition("/")[2]
        with self._files.open_input_stream(self._path(path)) as stream, copy.open("wb") as file:
            shutil.copyfileobj(stream, file, _COPIED_AT_ONCE)
        return copy

    def read_bytes(self, path: str) -> bytes:
        """A whole file."""
        with self._files.open_input_file(self._path(path)) as stream:
            content: bytes = stream.read()
        return content

    def write_parquet(self, path: str, table: pa.Table) -> int:
        """Write a table as Parquet, zstd; the file's size in bytes."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        content = sink.getvalue()
        self.write_bytes(path, content)
        return int(content.size)

    def read_parquet(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A Parquet file, or some of its columns."""
        return pq.read_table(self._path(path), columns=list(columns) if columns else None, filesystem=self._files)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return bool(self._files.get_file_info(self._path(path)).type == pafs.FileType.File)

    def list(self, folder: str) -> list[str]:
        """The whole files below a folder, oldest name first; none if there is no such folder."""
        return [file.path for file in self.files(folder) if not file.path.endswith(_UNFINISHED)]

    def files(self, folder: str) -> Sequence[File]:
        """All files below a folder, those among them that a dead process left unfinished, by name."""
        selector = pafs.FileSelector(self._path(folder), allow_not_found=True, recursive=True)
        start, now = len(self._root.rstrip("/")) + 1, time.time()
        return sorted(
            File(info.path[start:], info.size, now - info.mtime_ns / 1e9)
            for info in self._files.get_file_info(selector)
            if info.type == pafs.FileType.File
        )

    def delete(self, path: str) -> None:
        """Delete a file."""
        self._files.delete_file(self._path(path))
