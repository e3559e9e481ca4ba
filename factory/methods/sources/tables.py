"""Tables that a source reads: files, named as an entry of `seeds` names them, or rows that stand in the job file.

Files go through the readers of seeds, so any format, archive, store or address will do. Whoever makes a source for a
job says from which folder relative paths start, and notes what its files hold, so that rows are remade when a file
changes. Limitations: a file is read whole each time rows are made, and once more, for its digest, where its time of
change cannot be had or is fresh.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, RootModel, Tag, model_validator

from factory.seeds.archives import find_files
from factory.seeds.compressed import decompressed, raw_bytes
from factory.seeds.files import BadRow, SeedFile, SourceError, stamp
from factory.seeds.formats import read_rows
from factory.seeds.lines import FileRow
from factory.seeds.made import made_file
from factory.seeds.source import BadSeed, SeedSource, read_file
from factory.store.records import MADE, Seed, place_of

Model = TypeVar("Model", bound=BaseModel)

_HERE = f"{MADE}the rows in the job file"
_AT_ONCE = 1 << 20


def _kind(value: object) -> str:
    return "path" if isinstance(value, str) else "rows" if isinstance(value, list | tuple) else "files"


_Given = Annotated[
    Annotated[str, Tag("path")]
    | Annotated[SeedSource, Tag("files")]
    | Annotated[tuple[str | dict[str, Any], ...], Tag("rows")],
    Discriminator(_kind),
]


class Table(RootModel[_Given]):
    """A path, the fields of an entry of `seeds`, or rows as they stand: objects, or texts, which are a persona each."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    _base: Path = Path(".")

    @model_validator(mode="before")
    @classmethod
    def _of_something(cls, value: Any) -> Any:
        if not value or not isinstance(value, str | list | tuple | dict | BaseModel):
            raise ValueError("a path is wanted, the fields of an entry of `seeds`, or a list of rows")
        return value

    def start_at(self, base: Path) -> None:
        """Say from which folder relative paths start."""
        self._base = base

    def rows(self) -> Iterator[tuple[str, FileRow | BadRow]]:
        """All rows with all their columns, the id, the facts and the name under their usual names, each with its place
        for people. Values of CSV are text. Raises SourceError."""
        for source, file in self._files():
            fields = source.fields
            if fields.attributes or fields.speaker or fields.partner:
                raise SourceError(f"{file.name}: `fields` of such a table may name the id, the facts and the name only")
            usual = {fields.id: "id", fields.facts: "facts", fields.name: "name"}
            for line, row in read_rows(file, fields.columns, None):
                held = row if isinstance(row, BadRow) else {usual.get(name, name): row[name] for name in row}
                yield place_of(file.name, line), held

    def whole_rows(self) -> Iterator[tuple[str, FileRow]]:
        """The same, of a table that is worth nothing with a hole in it. Raises SourceError for a row that cannot be
        read."""
        for place, row in self.rows():
            if isinstance(row, BadRow):
                raise SourceError(f"{place}: {row}")
            yield place, row

    def personas(self) -> Iterator[Seed | BadRow]:
        """The personas in it, read as seeds are; a dialogue or a pair is none. Raises SourceError."""
        for source, file in self._files():
            for seed in read_file(file, source.fields, []):
                place = place_of(seed.source, seed.line)
                if isinstance(seed, BadSeed):
                    yield BadRow(seed.reason, f"{place}: {seed.detail}")
                elif seed.turns or len(seed.personas) != 1:
                    yield BadRow("wrong_type", f"{place}: a persona is wanted, and this is a dialogue, or a pair")
                else:
                    yield seed

    def stamps(self) -> Iterator[str]:
        """What changes with the files; of rows that stand in the job file, nothing. Raises SourceError."""
        if _kind(self.root) != "rows":
            for _, file in self._files():
                yield f"{file.name} {file.format} {stamp(file) or _digest(file)}"

    def _files(self) -> list[tuple[SeedSource, SeedFile]]:
        given = self.root
        if isinstance(given, tuple):
            rows = ({"persona": row} if isinstance(row, str) else row for row in given)
            return [(SeedSource(path=_HERE), made_file(_HERE, partial(iter, rows), ""))]
        source = SeedSource(path=given) if isinstance(given, str) else given
        return [(source, file) for file in find_files(source.path, source.format, self._base, source.token_env)]


def tables_of(value: object) -> Iterator[Table]:
    """The tables among the parameters of a source, however deep."""
    if isinstance(value, Table):
        yield value
    elif isinstance(value, BaseModel):
        yield from tables_of(tuple(one for _, one in value))
    elif isinstance(value, dict | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from tables_of(one)


def placed(params: Model, base: Path) -> Model:
    """The parameters of a source, with paths that start at a folder."""
    copied = params.model_copy(deep=True)
    for table in tables_of(copied):
        table.start_at(base)
    return copied


def _digest(file: SeedFile) -> str:
    """Of all that a file holds."""
    state = hashlib.blake2b(digest_size=16)
    try:
        with raw_bytes(file) as raw:
            layer, _ = decompressed(file, raw)
            while data := layer.read(_AT_ONCE):
                state.update(data)
    except BadRow as bad:
        raise SourceError(f"{file.name}: {bad}") from bad
    return state.hexdigest()
