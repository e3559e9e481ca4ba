"""Files below one root, on a local disk or in an object store, through Arrow's filesystems.

A file appears whole or not at all: a local one is written beside its name and renamed, an object is sent in one piece
that nothing can break off. Object stores are asked again for some time when they are overloaded, break off or do not
answer. Limitations: renames are atomic only within one file system, so the root must not straddle two; what is sent to
an object store is held in memory.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from factory.base.places import absolute, printable, refusal
from factory.base.stores import filesystem

_Item = TypeVar("_Item")

_AT_ONCE = 16
"""Requests to an object store that are in progress at once."""
_COPIED_AT_ONCE = 8 * 1024 * 1024
UNFINISHED = ".partial"
"""How the names of local files end that are being written, or were when their process died."""

_DENIED = re.compile(r"ACCESS_DENIED|FORBIDDEN|HTTP status 40[13]|CREDENTIALS|ACCESS_KEY|SIGNATURE|TOKEN|EXPIRED")
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)
"""How a local disk refuses to be written."""
_ASKED_FOR = re.compile(r"^When .* in bucket '[^']*': ")
"""How Arrow begins: what it did with which key."""


class StorageError(Exception):
    """A root or a file below it that cannot be used: which, why, and what to do."""


class MissingFileError(StorageError, FileNotFoundError):
    """There is no such file."""


class ReadOnlyError(StorageError):
    """The place may be read, but not written."""


@dataclass(frozen=True, slots=True, order=True)
class File:
    """A file: its path from the root, its size in bytes, and the seconds since it was last written."""

    path: str
    size: int
    age_s: float


class Storage:
    """The files below `root`, a local path or an s3://, gs:// or abfs:// URI; paths are relative to it.

    Everything but `list` of a folder that is not there and `delete` of a file that is gone raises StorageError when it
    fails, MissingFileError where it reads a file that is not there.
    """

    def __init__(self, root: str) -> None:
        self._place = absolute(root)
        if refused := refusal(self._place):
            raise StorageError(f"{printable(root)}: {refused}")
        try:
            self._files, self._root = filesystem(self._place)
        except (pa.ArrowInvalid, OSError) as error:
            cause = str(error).partition("\n")[0]
            raise StorageError(f"{root}: {cause}; use a path or an s3://, gs:// or abfs:// URI") from error
        self._local = isinstance(self._files, pafs.LocalFileSystem)

    def _path(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"

    @contextmanager
    def _named(self, path: str, done: str) -> Iterator[None]:
        """Errors of the body as StorageErrors that say what cannot be done to which file."""
        try:
            yield
        except FileNotFoundError as error:
            kind = StorageError if done == "written" else MissingFileError
            raise kind(f"{self._place}/{path}: cannot be {done}: there is no such file; run again") from error
        except (OSError, pa.ArrowException) as error:
            told = str(getattr(error, "strerror", None) or error)  # without the path, which is named already
            cause = " ".join(_ASKED_FOR.sub("", told).split())
            denied = getattr(error, "errno", None) in _REFUSED if self._local else bool(_DENIED.search(cause))
            kind = ReadOnlyError if denied and done in ("written", "deleted") else StorageError
            hint = self._hint(cause, kind is ReadOnlyError)
            raise kind(f"{self._place}/{path}: cannot be {done}: {cause}; {hint}") from error

    def _hint(self, cause: str, only_read: bool) -> str:
        if self._local and only_read:
            return "this place is read-only: make it writable, or name another, then run again"
        if self._local:
            return "check the path, its permissions and the room on the disk, then run again"
        if _DENIED.search(cause):
            return "check the credentials, and that they allow to list, read, write and delete there, then run again"
        return "check the address and whether the object store is up, then run again"

    @contextmanager
    def _renamed(self, path: str) -> Iterator[Path]:
        """Where a local file is to be written; it has its name once the body is through."""
        target = Path(self._path(path))
        partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}{UNFINISHED}")  # two runs may write one file
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            _to_disk(partial)
            partial.replace(target)
            _to_disk(target.parent)
        except Exception:
            partial.unlink(missing_ok=True)
            raise

    def _send(self, path: str, content: pa.Buffer) -> None:
        """Write an object. What a stream has been given appears as the object when it is closed, whatever the reason;
        so it is given all at once, in a thread, where no signal raises between opening and closing."""

        def send() -> None:
            with self._files.open_output_stream(self._path(path)) as stream:
                stream.write(content)

        with ThreadPoolExecutor(1) as thread:
            thread.submit(send).result()

    def write_bytes(self, path: str, content: bytes | pa.Buffer) -> None:
        """Write a whole file."""
        with self._named(path, "written"):
            if self._local:
                with self._renamed(path) as partial:
                    partial.write_bytes(content)
            else:
                self._send(path, pa.py_buffer(content))

    def upload(self, source: Path, path: str) -> None:
        """Write a whole file from one on the local disk, of any size."""
        with self._named(path, "written"):
            if self._local:
                with self._renamed(path) as partial:
                    shutil.copyfile(source, partial)
            else:
                self._send(path, pa.memory_map(str(source)).read_buffer())

    def keep(self, source: Path, path: str) -> bool:
        """`upload` of what can be made again: whether the place may be written, and the file is there."""
        try:
            self.upload(source, path)
        except ReadOnlyError:
            return False
        return True

    def try_to_write(self, path: str) -> None:
        """Fail now if the place cannot be written; the file is gone again afterwards."""
        self.write_bytes(path, b"")
        self.delete(path)

    def tree(self) -> pafs.SubTreeFileSystem:
        """The files as Arrow's file system, for libraries that read with it."""
        return pafs.SubTreeFileSystem(self._root, self._files)

    def local(self, path: str, folder: Path) -> Path:
        """The file on the local disk, to be mapped into memory: itself, or a copy of it in `folder`."""
        if self._local:
            return Path(self._path(path))
        copy = folder / path.rpartition("/")[2]
        with (
            self._named(path, "read"),
            self._files.open_input_stream(self._path(path)) as stream,
            copy.open("wb") as file,
        ):
            shutil.copyfileobj(stream, file, _COPIED_AT_ONCE)
        return copy

    def read_bytes(self, path: str) -> bytes:
        """A whole file."""
        with self._named(path, "read"), self._files.open_input_file(self._path(path)) as stream:
            content: bytes = stream.read()
        return content

    def write_parquet(self, path: str, table: pa.Table) -> int:
        """Write a table as Parquet; the file's size in bytes."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        content = sink.getvalue()
        self.write_bytes(path, content)
        return int(content.size)

    def read_parquet(
        self, path: str, columns: Sequence[str] | None = None, *, dictionaries: Sequence[str] = ()
    ) -> pa.Table:
        """A Parquet file, or some of its columns; of nested ones some fields, as in `seeds.list.element.id`. Of
        `dictionaries` each value is read once, however often it is there."""
        names = list(columns) if columns else None
        with self._named(path, "read"), self._files.open_input_file(self._path(path)) as stream:
            file = pq.ParquetFile(stream, pre_buffer=not self._local, read_dictionary=list(dictionaries))
            return file.read(names)

    def write_arrow(self, path: str, table: pa.Table) -> None:
        """Write a table as a compressed Arrow stream. Of a small table it takes a tenth of the time that Parquet with
        its many columns takes, to write and to read."""
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream, pa.ipc.new_stream(stream, table.schema) as writer:
            writer.write_table(table)
        self.write_bytes(path, sink.getvalue())

    def read_arrow(self, path: str) -> pa.Table:
        """A table that `write_arrow` wrote."""
        content = pa.BufferReader(self.read_bytes(path))
        with pa.CompressedInputStream(content, "zstd") as stream, pa.ipc.open_stream(stream) as reader:
            return reader.read_all()

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        with self._named(path, "looked up"):
            return bool(self._files.get_file_info(self._path(path)).type == pafs.FileType.File)

    def list(self, folder: str) -> list[str]:
        """The whole files below a folder, oldest name first; none if there is no such folder."""
        return [file.path for file in self.files(folder) if not file.path.endswith(UNFINISHED)]

    def files(self, folder: str) -> Sequence[File]:
        """All files below a folder, those among them that a dead process left unfinished, by name."""
        selector = pafs.FileSelector(self._path(folder), allow_not_found=True, recursive=True)
        start, now = len(self._root.rstrip("/")) + 1, time.time()
        with self._named(folder, "listed"):
            infos = self._files.get_file_info(selector)
        return sorted(
            File(info.path[start:], info.size, now - info.mtime_ns / 1e9)
            for info in infos
            if info.type == pafs.FileType.File
        )

    def each(self, do: Callable[[_Item], object], items: Iterable[_Item]) -> None:
        """Do something with the files of all items: with many at once in an object store, whose answers take long."""
        if self._local:
            for item in items:
                do(item)
        else:
            with ThreadPoolExecutor(_AT_ONCE) as threads:
                list(threads.map(do, items))

    def move(self, source: str, target: str) -> None:
        """Give a file another name: at once on a local disk; an object is copied within its store, then deleted."""
        with self._named(target, "written"):
            if self._local:
                self._files.move(self._path(source), self._path(target))
            else:
                self._files.copy_file(self._path(source), self._path(target))
        if not self._local:
            self.delete(source)

    def delete_folder(self, folder: str) -> None:
        """Delete a folder with all that is in it; one that is not there is as good as deleted."""
        with self._named(folder, "deleted"), suppress(FileNotFoundError):
            self._files.delete_dir(self._path(folder))

    def delete(self, path: str) -> None:
        """Delete a file; one that is gone has been deleted by another, or by a request whose answer was lost."""
        with self._named(path, "deleted"), suppress(FileNotFoundError):
            self._files.delete_file(self._path(path))


def _to_disk(path: Path) -> None:
    """Have what was written to a file or folder outlive a machine that loses power."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def on_scratch(folder: str) -> Iterator[None]:
    """Errors of writing to a folder for temporary files as StorageErrors."""
    try:
        yield
    except OSError as error:
        hint = "make room there, or name another folder in the environment variable TMPDIR"
        raise StorageError(f"{folder}: cannot be written: {error}; {hint}") from error
