"""Seeds read as a job reads them, in the order of their files."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from factory.records import Seed
from factory.seed_files import find_files
from factory.seed_store import Seeds
from factory.seeds import BadSeed, SeedSource
from factory.storage import Storage


def read_seeds(sources: Sequence[SeedSource], base: Path) -> list[Seed | BadSeed]:
    """Readable and unreadable seeds, by file and line."""
    with tempfile.TemporaryDirectory() as folder:
        seeds = Seeds(sources, base, Storage(folder), max_bad=1000)
        files = [file.name for source in sources for file in find_files(source.path, source.format, base)]
        found = [*seeds.take(np.arange(len(seeds))), *seeds.bad]
    return sorted(found, key=lambda seed: (files.index(seed.source), seed.line))
