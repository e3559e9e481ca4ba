"""Seeds that a job makes: the rows of a source, read as the JSON Lines file that they would be.

The file is never written. It goes through the reading, the checks and the limits of any other, its lines are the rows'
numbers, and what is read of it is kept under what it is made of.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic_core import PydanticSerializationError, to_json

from factory.seeds.archives import find_files
from factory.seeds.files import SeedFile, SourceError
from factory.seeds.source import SeedSource
from factory.store.records import MADE


class Rows(Protocol):
    """What makes rows."""

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """The rows, the same each time. Raises ValueError for what a person can mend."""


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
            files.append(_made(f"{name} {seen[name]}" if seen[name] > 1 else name, source))
    return files


def _made(name: str, source: MadeSource) -> tuple[SeedSource, SeedFile]:
    def opened() -> io.RawIOBase:
        return _Lines(name, source.source.rows())

    file = SeedFile(name, name, "jsonl", sniff=False, recipe=source.recipe, opened=opened)
    return SeedSource(path=name, format="jsonl"), file


class _Lines(io.RawIOBase):
    """Rows as lines of JSON. Raises SourceError where they cannot be made, or if there are none."""

    def __init__(self, name: str, rows: Iterator[Mapping[str, Any]]) -> None:
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

    def _written(self, rows: Iterator[Mapping[str, Any]]) -> Iterator[bytes]:
        number = 0
        try:
            for row in rows:
                number += 1
                yield to_json(dict(row), inf_nan_mode="constants") + b"\n"
        except PydanticSerializationError as error:
            raise SourceError(f"{self._name}, row {number}: cannot be written as JSON: {error}") from error
        except ValueError as error:
            raise SourceError(f"{self._name}: {error}") from error
        if not number:
            raise SourceError(f"{self._name}: it makes no row")
