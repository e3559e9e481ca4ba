"""Files of seeds: which ones a path, glob or URI names, and their bytes, decompressed.

What fails is told apart: a source that cannot be had raises SourceError, data that is damaged raises BadRow once all
bytes before the damage have been handed on. Gives up: globs work on local paths only; Parquet that is remote or
compressed is first copied to a temporary file.
"""

from __future__ import annotations

import glob
import io
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pyarrow as pa

from factory.places import filesystem

Format = Literal["auto", "jsonl", "csv", "tsv", "parquet", "text", "spc", "convai2"]

_COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
_FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".txt": "text",
}
_HINTS = {
    "s3": "check the address, and the AWS credentials and AWS_ENDPOINT_URL in the environment",
    "gs": "check the address, and GOOGLE_APPLICATION_CREDENTIALS in the environment",
    "": "check the path and its permissions",
}
_HTTP_TIMEOUT = 60.0
"""Seconds without a byte."""

_SETTLED_NS = 3_000_000_000
"""A file that changed less long ago might change again without its time showing it (object stores keep seconds)."""


class SourceError(Exception):
    """A source as a whole cannot be read; the message names it and says what to do."""


class BadRow(Exception):  # noqa: N818 - a value more often than it is raised
    """A row that is no seed: `reason` is a short stable code, `detail` is for people. `line` is set where it `ends` a
    file, of which the rest is lost with it."""

    def __init__(self, reason: str, detail: str, line: int = 1) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.line = line
        self.ends = False


@dataclass(frozen=True, slots=True)
class SeedFile:
    """One file of a source: where to open it and how to name it to the user (never with a URI's query, which may be a
    signature); `sniff` says that its first line may still show it to be of a dialogue format."""

    uri: str
    name: str
    format: Format
    sniff: bool


def find_files(path: str, form: Format, base: Path) -> list[SeedFile]:
    """The files of a path, glob or URI, sorted. Raises SourceError if there are none or their format is unknown."""
    if "://" in path:
        try:
            parts = urlsplit(path)
        except ValueError as error:
            raise SourceError(f"{path.partition('?')[0]}: no valid address: {error}") from error
        if "@" in parts.netloc:
            raise SourceError(f"{parts.scheme}://…: credentials do not belong in a path; set them in the environment")
        return [_seed_file(path, f"{parts.scheme}://{parts.netloc}{parts.path}", form)]
    pattern = os.path.expanduser(path)
    exists = os.path.exists(base / pattern)
    names = [pattern] if exists else sorted(glob.glob(pattern, root_dir=base, recursive=True))
    files = [name for name in names if os.path.isfile(base / name)]
    if not files:
        what = "is no file: name files, for example with /*.jsonl" if names else "matches no file: check the path"
        raise SourceError(f"{path} (in {base}) {what}")
    for name in files:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise SourceError(f"{path} (in {base}) matches {name!r}: the name is no UTF-8; rename the file") from error
    return [_seed_file(str(base / name), _relative(base, name), form) for name in files]


def _seed_file(uri: str, name: str, form: Format) -> SeedFile:
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    if form != "auto":
        return SeedFile(uri, name, form, sniff=False)
    if not suffixes or suffixes[-1] not in _FORMATS:
        known = ", ".join(_FORMATS)
        raise SourceError(f"{name}: the extension names no format (known: {known}); set `format`")
    return SeedFile(uri, name, _FORMATS[suffixes[-1]], sniff=True)


def _relative(base: Path, name: str) -> str:
    full = base / name
    return str(full.relative_to(base)) if full.is_relative_to(base) else name


def stamp(file: SeedFile) -> str | None:
    """The file's size and time of change; none if they cannot be had, or the change is too fresh to tell it from the
    next one; looked up on local disks and s3:// only."""
    if "://" in file.uri and not file.uri.startswith("s3://"):
        return None
    try:
        files, path = filesystem(file.uri if "://" in file.uri else os.path.abspath(file.uri))
        info = files.get_file_info(path)
    except (pa.ArrowException, OSError):
        return None  # opening it will say what is wrong, if anything is
    if info.mtime_ns is None or time.time_ns() - info.mtime_ns < _SETTLED_NS:
        return None
    return f"{info.size} bytes, {info.mtime_ns}"


class _Guarded(io.RawIOBase):
    """A byte stream that says which of its layers failed; it hands on what it has before it fails."""

    def __init__(self, read: Callable[[int], bytes], translate: Callable[[Exception], Exception]) -> None:
        self._read = read
        self._translate = translate

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._read(len(buffer))
        except SourceError:
            raise
        except Exception as error:  # transports and decompressors share no base class
            raise self._translate(error) from error
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def open_file(file: SeedFile) -> Iterator[Any]:
    """The decompressed bytes; seekable for Parquet."""
    import smart_open  # a third of the time to import the factory, and no worker's business
    from smart_open.compression import compression_wrapper

    scheme = urlsplit(file.uri).scheme if "://" in file.uri else ""

    def failed(error: Exception) -> SourceError:
        # A redirect may lead to a signed address: no query is ever repeated.
        why = re.sub(r"\?\S+", "?…", str(error))[:300] or type(error).__name__
        return SourceError(f"{file.name}: cannot be read: {why}; {_HINTS.get(scheme, 'check the address')}")

    def damaged(error: Exception) -> BadRow:
        return BadRow("compression", f"the compressed data breaks off or is damaged here: {error}; the rest is lost")

    params = {"timeout": _HTTP_TIMEOUT} if scheme in ("http", "https") else {}
    try:
        if scheme:
            raw = smart_open.open(file.uri, "rb", compression="disable", transport_params=params)
        else:  # a name that smart_open would take for a URL
            raw = open(file.uri, "rb")  # noqa: SIM115 -- closed below
    except Exception as error:  # the transports share no base class
        raise failed(error) from error
    with raw:
        suffix = Path(file.name).suffix.lower()
        if file.format == "parquet" and not scheme and suffix not in _COMPRESSIONS:
            yield raw
            return
        stream = io.BufferedReader(_Guarded(raw.read, failed))
        if suffix in _COMPRESSIONS:
            # Without its buffer, which would swallow the last bytes before the damage.
            decompressor = compression_wrapper(stream, "rb", suffix).detach()
            stream = io.BufferedReader(_Guarded(decompressor.read1, damaged))
        if file.format == "parquet":
            with tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(stream, copy)
                yield copy
        else:
            yield stream
