"""Seeds that a job makes: the rows of a source, read as the JSON Lines file that they would be.

The file is never written. It goes through the reading, the checks and the limits of any other, its lines are the rows'
numbers, and what is read of it is kept under what it is made of. A row that a source could not read, where it makes
rows of others, stands as a bad row among them.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic_core import PydanticSerializationError, to_json

from factory.seeds.archives import find_files
from factory.seeds.files import BadRow, SeedFile, SourceError
from factory.seeds.source import UNREADABLE, SeedSource
from factory.store.records import MADE


class Rows(Protocol):
    """What makes rows."""

    def rows(self) -> Iterator[Mapping[str, Any] | BadRow]:
        """The rows, the same each time. Raises ValueError or SourceError for what a person can mend."""


@dataclass(frozen=True, slots=True)
class MadeSource:
    """A source of rows: its name, a `recipe` that changes with whatever would change its rows, what makes them, and how
    its name begins where it is shown."""

    name: str
    recipe: str
    source: Rows
    kind: str = MADE


def files_of(sources: Sequence[SeedSource | MadeSource], base: Path) -> list[tuple[SeedSource, SeedFile]]:
    """The files of all sources in order, each with how it is to be read. Raises SourceError."""
    files: list[tuple[SeedSource, SeedFile]] = []
    seen = Counter[str]()
    for source in sources:
        if isinstance(source, SeedSource):
            found = find_files(source.path, source.format, base, source.token_env)
            files += [(source, file) for file in found]
        else:
            name = f"{source.kind}{source.name}"
            seen[name] += 1
            name = f"{name} {seen[name]}" if seen[name] > 1 else name
            files.append((SeedSource(path=name, format="jsonl"), made_file(name, source.source.rows, source.recipe)))
    return files


def made_file(name: str, rows: Callable[[], Iterator[Mapping[str, Any] | BadRow]], recipe: str) -> SeedFile:
    """The JSON Lines file that rows would be; `recipe` changes with whatever would change them."""
    return SeedFile(name, name, "jsonl", sniff=False, recipe=recipe, opened=lambda: _Lines(name, rows()))


class _Lines(io.RawIOBase):
    """Rows as lines of JSON. Raises SourceError where they cannot be made, or if there are none."""

    def __init__(self, name: str, rows: Iterator[Mapping[str, Any] | BadRow]) -> None:
        self._name = name
        self._lines = self._written(rows)
        self._ahead = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._ahead or next(self._lines, b"")
        size = min(len(buffer), len(data))
        buffer[:size], self._ahead = data[:size], data[size:]
        return size

    def _written(self, rows: Iterator[Mapping[str, Any] | BadRow]) -> Iterator[bytes]:
        number = 0
        try:
            for row in rows:
                number += 1
                told = {UNREADABLE: [row.reason, row.detail]} if isinstance(row, BadRow) else dict(row)
                yield to_json(told, inf_nan_mode="constants") + b"\n"
        except PydanticSerializationError as error:
            raise SourceError(f"{self._name}, row {number}: cannot be written as JSON: {error}") from error
        except ValueError as error:
            raise SourceError(f"{self._name}: {error}") from error
        if not number:
            raise SourceError(f"{self._name}: it makes no row")
