"""Seeds read as a job reads them, in the order of their files."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from factory.seeds.archives import find_files
from factory.seeds.source import BadSeed, SeedFields, SeedSource
from factory.seeds.store import Seeds
from factory.store.records import Seed
from factory.store.storage import Storage


def read_seeds(sources: Sequence[SeedSource], base: Path) -> list[Seed | BadSeed]:
    """Readable and unreadable seeds, by file and line."""
    with tempfile.TemporaryDirectory() as folder:
        seeds = Seeds(sources, base, Storage(folder), max_bad=1000)
        files = [
            file.name for source in sources for file in find_files(source.path, source.format, base, source.token_env)
        ]
        found = [*seeds.take(np.arange(len(seeds))), *seeds.bad]
    return sorted(found, key=lambda seed: (files.index(seed.source), seed.line))


def read(base: Path, path: str, /, form: str = "auto", **fields: object) -> list[Seed | BadSeed]:
    """The seeds of one source."""
    return read_seeds([SeedSource(path=path, format=form, fields=SeedFields(**fields))], base)


def read_bytes(base: Path, name: str, data: bytes, /, form: str = "auto", **fields: object) -> list[Seed | BadSeed]:
    """The seeds of a file that holds these bytes."""
    (base / name).write_bytes(data)
    return read(base, name, form, **fields)


def outcome(items: Sequence[Seed | BadSeed]) -> list[tuple[int, str]]:
    """Line and reason, which is empty for a seed."""
    return [(item.line, item.reason if isinstance(item, BadSeed) else "") for item in items]


def personas(items: Sequence[Seed | BadSeed]) -> list[tuple[tuple[str, ...], ...]]:
    """What the seeds say; fails on a bad one."""
    assert all(isinstance(item, Seed) for item in items), items
    return [item.personas for item in items if isinstance(item, Seed)]
