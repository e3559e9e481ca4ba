"""The bytes of a seed file, decompressed.

How a file is compressed is told by its first bytes, whatever its name says; a file that holds no rows at all is told
by them too. Of a picture, the character card in it is read. What fails is told apart: a source that cannot be had
raises SourceError, data that is damaged raises BadRow once all bytes before the damage have been handed on.
Limitations: Parquet that is remote or compressed is first copied to a temporary file; a zstd file made with `--long=31`
takes 2 GiB of memory.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from factory.base.redact import KeyFormatError, read_key
from factory.seeds.cards import PICTURE, card_of_picture
from factory.seeds.files import BadRow, SeedFile, SourceError, hint, told
from factory.seeds.foreign import HEAD, compression, foreign_file, is_binary

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_HTTP_TIMEOUT = 60.0
"""Seconds without a byte."""
_FETCHED_AT_ONCE = 8 * 1024 * 1024
"""Bytes asked of an object store at once."""
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)
"""What reading an archive raises where it is damaged."""
_WIDEST_WINDOW = {int(zstd.DecompressionParameter.window_log_max): 31}


class _Guarded(io.RawIOBase):
    """A byte stream that says which of its layers failed; it hands on what it has before it fails."""

    def __init__(self, read: Callable[[int], bytes], translate: Callable[[Exception], Exception]) -> None:
        self._read = read
        self._translate = translate
        self._ahead = b""
        self._failure: Exception | None = None

    def readable(self) -> bool:
        return True

    def head(self) -> bytes:
        """The first bytes, which are still to be read after this; fewer if there are no more before the end or a
        failure. Raises the failure if there are none."""
        while len(self._ahead) < HEAD:
            try:
                more = self._next(HEAD)
            except (SourceError, BadRow):
                if not self._ahead:
                    raise
                break
            if not more:
                break
            self._ahead += more
        return self._ahead

    def _next(self, size: int) -> bytes:
        if self._failure is not None:
            raise self._failure
        try:
            return self._read(size)
        except (SourceError, BadRow) as error:
            self._failure = error
            raise
        except Exception as error:  # transports and decompressors share no base class
            self._failure = self._translate(error)
            raise self._failure from error

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
        else:
            data = self._next(size)
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def open_file(file: SeedFile) -> Iterator[Any]:
    """The decompressed bytes; seekable for Parquet. Raises BadRow if the file is empty or something else than rows."""
    with raw_bytes(file) as raw:
        layer, packed = decompressed(file, raw)
        if file.format == "jsonl" and layer.head().startswith(PICTURE):
            yield io.BufferedReader(io.BytesIO(card_of_picture(io.BufferedReader(layer))))
            return
        _refuse_foreign(layer.head(), parquet=file.format == "parquet")
        if file.format != "parquet":
            yield io.BufferedReader(layer)
        elif packed or "://" in file.uri:
            with tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(io.BufferedReader(layer), copy)
                yield copy
        else:
            raw.seek(0)
            yield raw


def raw_bytes(file: SeedFile) -> Any:
    """The bytes as they are. Raises SourceError, or BadRow for those of a damaged archive."""
    try:
        return _raw(file)
    except (SourceError, BadRow):
        raise
    except Exception as error:  # the transports share no base class
        raise _failure(file, error) from error


def decompressed(file: SeedFile, raw: Any) -> tuple[_Guarded, bool]:
    """The bytes decompressed, and whether they had to be."""
    layer = _Guarded(raw.read, lambda error: _failure(file, error))
    packed = compression(layer.head())
    if packed is None:
        return layer, False
    return _Guarded(_unpacked(packed, io.BufferedReader(layer)).read1, _damage), True


def _failure(file: SeedFile, error: Exception) -> SourceError | BadRow:
    if isinstance(error, _DAMAGED):
        return _damage(error)
    return SourceError(f"{file.name}: cannot be read: {told(error)}; {hint(_scheme(file))}")


def _damage(error: Exception) -> BadRow:
    return BadRow("compression", f"the compressed data breaks off or is damaged here: {error}; the rest is lost")


def _scheme(file: SeedFile) -> str:
    return file.uri.partition("://")[0] if "://" in file.uri else ""


def _raw(file: SeedFile) -> Any:
    if file.opened is not None:
        return file.opened()
    scheme = _scheme(file)
    if not scheme:
        return open(file.uri, "rb")
    if file.files is not None:
        return file.files.open_input_stream(file.uri.partition("://")[2], None, _FETCHED_AT_ONCE)
    import smart_open  # a third of the time to import the factory, and no worker's business

    params = {"timeout": _HTTP_TIMEOUT, "headers": _headers(file)} if scheme in ("http", "https") else {}
    return smart_open.open(file.uri, "rb", compression="disable", transport_params=params)


def _headers(file: SeedFile) -> dict[str, str]:
    """Of a request. The client that follows a redirect sends no token to another host."""
    headers = {"Accept-Encoding": "identity"}
    if file.token_env is None:
        return headers
    try:
        token = read_key(file.token_env)
    except KeyFormatError as error:
        raise SourceError(f"{file.name}: {error}") from None
    if token is None:
        raise SourceError(f"{file.name}: set the environment variable {file.token_env} to the token, as token_env says")
    return headers | {"Authorization": f"Bearer {token}"}


def _unpacked(packed: str, stream: IO[bytes]) -> Any:
    """The stream decompressed. Its `read1` hands on every byte before damage, which `read` would swallow."""
    if packed == "gzip":
        return gzip.GzipFile(fileobj=stream)
    if packed == "bz2":
        return bz2.BZ2File(stream)
    if packed == "xz":
        return lzma.LZMAFile(stream)
    return zstd.ZstdFile(stream, options=_WIDEST_WINDOW)


def _refuse_foreign(head: bytes, *, parquet: bool) -> None:
    if len(head) < HEAD and not head.strip():
        raise BadRow("empty", "the file is empty: write or fetch it again, or take it out of the job's seeds")
    if what := foreign_file(head, parquet):
        raise BadRow("foreign", f"the file is {what}")
    if not parquet and is_binary(head):
        raise BadRow("encoding", "the file is binary, or UTF-16 or UTF-32 without a byte order mark: save it as UTF-8")
