"""What the files below a root hold of one seed: its id, and what it says.

Tables (Parquet, Arrow) are decompressed and all their strings are read; of other files, such as logs and recipes, the
bytes, decompressed if that was gzip. The id counts where it stands alone: in the columns that name seeds, or between
quotes; one of 16 characters or more counts anywhere, but not within a longer word or path. Limitations: an object is
copied to the local disk to be read; in files that are compressed otherwise (an archive that somebody put there) nothing
is found; of what the seed says, facts and turns are sought, and no names or attributes.
"""

from __future__ import annotations

import gzip
import json
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from factory.store.storage import Storage

_NAMING = frozenset({"id", "seed_ids", "seeds.id", "speakers.seed_id", "speakers.facts.source_id", "donors.source_id"})
"""Columns that hold ids of seeds: of kept seeds, dead letters and rows."""
_LONG = 16
"""Characters from which on no text has an id by chance."""
_OURS = ("_delta_log/", "_dead_letters/_delta_log/", "_recipes/")
"""Logs and recipes, in which no seed is named, but numbers and names of entries stand between quotes as a short id
does."""
_AT_ONCE = 1024
_ZSTD, _GZIP = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"
_DAMAGED = (OSError, EOFError, ValueError, zlib.error, pa.ArrowException)


@dataclass(frozen=True, slots=True)
class Sought:
    """A seed's id, and texts of it that are to be found anywhere within other text."""

    id: str
    texts: tuple[str, ...] = ()

    def named_in(self, path: str, strings: pl.Series) -> bool:
        """Whether strings of this column name the seed."""
        if path in _NAMING:
            return bool((strings == self.id).any())
        if path == "detail" and strings.str.contains_any([repr(self.id)]).any():
            return True
        return len(self.id) >= _LONG and bool(strings.str.contains(_alone(pl.escape_regex(self.id))).any())

    def told_in(self, strings: pl.Series) -> set[str]:
        """The texts that stand in strings."""
        hits = strings.filter(strings.str.contains_any(list(self.texts))) if self.texts else strings.clear()
        return {text for text in self.texts if hits.str.contains(text, literal=True).any()}


def _alone(escaped: str) -> str:
    """A pattern that finds an id where it is no part of a longer one, such as `session_1` of `session_10`."""
    return rf"(?:^|[^\w/-]){escaped}(?:[^\w/-]|$)"


@dataclass(frozen=True, slots=True)
class Holding:
    """A file that names the seed, holds some of the texts, or is damaged, so that nobody can tell."""

    path: str
    named: bool
    texts: frozenset[str]
    damaged: bool = False


def holding(storage: Storage, paths: Iterable[str], sought: Sought) -> Iterator[Holding]:
    """Those of the files that hold anything of the seed. Raises StorageError."""
    for path in paths:
        with tempfile.TemporaryDirectory(prefix="holding-") as folder:
            found = _of_file(path, storage.local(path, Path(folder)), sought)
        if found.named or found.texts or found.damaged:
            yield found


def tables_in(storage: Storage, path: str) -> Iterator[pa.Table]:
    """The parts of a file that is a table; nothing of another file, and of a damaged one what can be read."""
    with tempfile.TemporaryDirectory(prefix="holding-") as folder, suppress(*_DAMAGED):
        yield from _tables(storage.local(path, Path(folder))) or ()


def _tables(local: Path) -> Iterator[pa.Table] | None:
    """The parts of a file that is a table, or none if it is another file. What they raise is among _DAMAGED."""
    with local.open("rb") as file:
        begins = file.read(6)
    if begins.startswith(b"PAR1"):
        return _parquet(local)
    if begins == b"ARROW1":
        return _arrow_file(local)
    return _arrow_stream(local) if begins.startswith(_ZSTD) else None


def _parquet(local: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(local, memory_map=True) as file:
        for batch in file.iter_batches(_AT_ONCE):
            yield pa.Table.from_batches([batch])


def _arrow_file(local: Path) -> Iterator[pa.Table]:
    with pa.memory_map(str(local)) as mapped, pa.ipc.open_file(mapped) as reader:
        for number in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(number)])


def _arrow_stream(local: Path) -> Iterator[pa.Table]:
    with (
        pa.memory_map(str(local)) as mapped,
        pa.CompressedInputStream(mapped, "zstd") as stream,
        pa.ipc.open_stream(stream) as reader,
    ):
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _of_file(path: str, local: Path, sought: Sought) -> Holding:
    named, texts = False, set[str]()
    try:
        parts = _tables(local)
        if parts is None:
            content = local.read_bytes()
            return _of_bytes(path, gzip.decompress(content) if content.startswith(_GZIP) else content, sought)
        for part in parts:
            for column, strings in _strings(part):
                named = named or sought.named_in(column, strings)
                texts |= sought.told_in(strings)
    except _DAMAGED:
        return Holding(path, named, frozenset(texts), damaged=True)
    return Holding(path, named, frozenset(texts))


def _of_bytes(path: str, content: bytes, sought: Sought) -> Holding:
    quoted = (f'"{sought.id}"', f"'{sought.id}'", json.dumps(sought.id), repr(sought.id))
    named = not path.startswith(_OURS) and any(one.encode() in content for one in quoted)
    if len(sought.id) >= _LONG and not named:
        written = {sought.id, json.dumps(sought.id)[1:-1], repr(sought.id)[1:-1]}
        named = any(re.search(_alone(re.escape(one)).encode(), content) for one in written)
    forms = {text: (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]) for text in sought.texts}
    told = (text for text, written in forms.items() if any(one.encode() in content for one in written))
    return Holding(path, named, frozenset(told))


def _strings(table: pa.Table) -> Iterator[tuple[str, pl.Series]]:
    """All strings of a table, column by column; of nested ones by the path of their field."""
    for name in table.schema.names:
        for chunk in table[name].chunks:
            yield from _leaves(name, chunk)


def _leaves(path: str, array: pa.Array) -> Iterator[tuple[str, pl.Series]]:
    kind = array.type
    if pa.types.is_struct(kind):
        for number, field in enumerate(kind):
            yield from _leaves(f"{path}.{field.name}", pc.struct_field(array, number))
    elif pa.types.is_map(kind):
        yield from _leaves(path, array.keys)
        yield from _leaves(path, array.items)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _leaves(path, array.flatten())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield path, pl.Series(path, array)
