"""Files of seeds, those in zip and tar archives among them.

An archive stands for the readable files in it; `zip://PATTERN::ARCHIVE` and `tar://PATTERN::ARCHIVE`, as fsspec writes
them, for those that match. Nothing is unpacked to a disk by its name. Limitations: a tar archive is read to its end to
list it, and one that breaks off is refused as a whole; a zip archive behind https:// is first copied to a temporary
file; archives in archives, in folders, and encrypted ones are not read.
"""

from __future__ import annotations

import glob
import io
import re
import shutil
import tarfile
import tempfile
import weakref
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any, ClassVar

from factory.seeds.compressed import decompressed, raw_bytes
from factory.seeds.files import (
    FileFormat,
    SeedFile,
    SourceError,
    files_at,
    is_archive,
    readable,
    seed_file,
    stamp,
    told,
)
from factory.seeds.globs import matches

_CHAINED = re.compile(r"(zip|tar)://(.*?)::(.+)", re.DOTALL)
_FETCHED_AT_ONCE = 1024 * 1024
"""Bytes asked at once of an object store that holds a zip archive."""


def find_files(path: str, form: FileFormat, base: Path, token_env: str | None = None) -> list[SeedFile]:
    """The files of a path, folder, glob, address or archive, sorted, and in archives in the order there; `token_env`
    names the variable with the token for an https:// address. Raises SourceError if there are none, they cannot be
    listed, or their format is unknown."""
    if parts := chained(path):
        kind, pattern, place = parts
        found = files_at(place, "text" if form == "auto" else form, base, token_env)
        return [member for file in found for member in _members(file, kind, pattern, form)]
    found = []
    for file in files_at(path, form, base, token_env):
        kind = "zip" if file.name.lower().endswith(".zip") else "tar"
        found += _members(file, kind, "", form) if is_archive(file.name) else [file]
    return found


def chained(path: str) -> tuple[str, str, str] | None:
    """The kind, the pattern and the archive's place, if a path names files in an archive."""
    match = _CHAINED.fullmatch(path)
    return (match[1], match[2], match[3]) if match else None


def _members(file: SeedFile, kind: str, pattern: str, form: FileFormat) -> list[SeedFile]:
    try:
        archive = _Zip(file) if kind == "zip" else _Tar(file)
    except SourceError:
        raise
    except Exception as error:  # transports and archives share no base class
        raise SourceError(
            f"{file.name}: cannot be read as a {kind} archive: {told(error)}; check it, or fetch it again"
        ) from error
    names = _chosen(list(archive.names), pattern, form)
    if not names:
        what = f"file that matches {pattern}" if pattern else "file that can be read"
        there = ", ".join(list(archive.names)[:3]) or "nothing"
        raise SourceError(f"{file.name} holds no {what}; there is {there}")
    if nested := next(filter(is_archive, names), None):
        raise SourceError(f"{file.name} holds an archive, {nested}: unpack the outer one")
    found = replace(file, recipe=stamp(file))  # asked once, and not for each member
    return [_member(found, kind, name, form, partial(archive.opened, archive.names[name])) for name in names]


def _member(file: SeedFile, kind: str, name: str, form: FileFormat, opened: Callable[[], IO[bytes]]) -> SeedFile:
    try:
        member = seed_file(f"{kind}://{name}::{file.uri}", name, form)
    except SourceError as error:
        raise SourceError(f"in {file.name}: {error}") from error
    return replace(member, name=f"{kind}://{name}::{file.name}", archive=file, opened=opened)


def _chosen(names: list[str], pattern: str, form: FileFormat) -> list[str]:
    if not pattern:
        return readable(names, form)
    if pattern in names or not glob.has_magic(pattern):
        return [name for name in names if name == pattern]
    return [name for name in names if matches(name.split("/"), pattern.split("/"))]


class _Archive(ABC):
    """An archive. Of all, only the one that was read from last is open: there may be more than a process can hold."""

    names: dict[str, int]
    """The files in it, in their order, with their places."""
    _open: ClassVar[_Archive | None] = None

    def __init__(self, file: SeedFile) -> None:
        self._file = file
        self._stack = ExitStack()
        weakref.finalize(self, self._stack.close)

    @abstractmethod
    def opened(self, place: int) -> IO[bytes]:
        """The bytes of the file at a place."""

    def _begin(self) -> ExitStack:
        """Close what is open of any archive."""
        if _Archive._open is not None:
            _Archive._open._end()
        _Archive._open = self
        return self._stack

    def _end(self) -> None:
        self._stack.close()


class _Zip(_Archive):
    """A zip archive, of which files are read where they lie."""

    def __init__(self, file: SeedFile) -> None:
        super().__init__(file)
        self._zip: zipfile.ZipFile | None = None
        infos = [info for info in self._started().infolist() if not info.is_dir()]
        self._infos = [info.filename for info in infos]
        self.names = {_plain(name): place for place, name in enumerate(self._infos)}

    def opened(self, place: int) -> IO[bytes]:
        return (self._zip or self._started()).open(self._infos[place])

    def _started(self) -> zipfile.ZipFile:
        self._zip = self._begin().enter_context(zipfile.ZipFile(self._seekable(self._file)))
        return self._zip

    def _end(self) -> None:
        self._zip = None
        super()._end()

    def _seekable(self, file: SeedFile) -> Any:
        if "://" not in file.uri:
            return file.uri
        if file.files is not None:
            source = self._stack.enter_context(file.files.open_input_file(file.uri.partition("://")[2]))
            return io.BufferedReader(source, _FETCHED_AT_ONCE)
        copy = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - as long as the archive
        with raw_bytes(file) as raw:
            shutil.copyfileobj(raw, copy)
        return copy


class _Tar(_Archive):
    """A tar archive, compressed or not, which is gone through in its order: once for all its files, if they are opened
    in that order."""

    def __init__(self, file: SeedFile) -> None:
        super().__init__(file)
        self._ahead: Iterator[tarfile.TarInfo] | None = None
        self._next = 0
        self.names = {_plain(info.name): place for place, info in enumerate(self._started())}
        self._end()

    def opened(self, place: int) -> IO[bytes]:
        if self._ahead is None or place < self._next:
            self._ahead, self._next = self._started(), 0
        for info in self._ahead:
            self._next += 1
            if self._next > place:
                stream = self._tar.extractfile(info)
                assert stream is not None  # a regular file has one
                return stream
        raise EOFError("it changed while it was read")

    def _started(self) -> Iterator[tarfile.TarInfo]:
        """The files in it, from the first on."""
        stack = self._begin()
        raw = stack.enter_context(raw_bytes(self._file))
        layer, _ = decompressed(self._file, raw)
        tar = tarfile.open(fileobj=io.BufferedReader(layer), mode="r|")  # noqa: SIM115 - as long as the archive
        self._tar = stack.enter_context(tar)
        return (info for info in self._tar if info.isreg())

    def _end(self) -> None:
        self._ahead = None
        super()._end()


def _plain(name: str) -> str:
    """The name of a file as it is without the `./` that tar puts before what it finds in a folder."""
    return name.removeprefix("./")
