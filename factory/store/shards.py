"""Shards: the immutable files of a table, named by how many rows they hold."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"shards/n(\d+)-[0-9a-f]{32}\.parquet")


@dataclass(frozen=True, slots=True)
class Shard:
    """One immutable file: its path from the table's root, its size in bytes, and its rows, which its name tells."""

    path: str
    size: int
    rows: int

    @classmethod
    def parse(cls, path: str, size: int) -> Shard | None:
        """The shard that a path names, or none if it is no shard of ours."""
        match = _NAME.fullmatch(path)
        return None if match is None else cls(path, size, int(match[1]))
