"""The rows of each slot together, wherever in the corpus they stand: sorted on the disk, by SQLite."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path

from factory.base.fingerprint import fingerprint
from factory.methods.exports import ExportError
from factory.store.records import ROWS, Row

_OPTIONS = "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=FILE;"


def slots(rows: Iterator[tuple[str, Row]], leave_out: Callable[[str], None]) -> Iterator[tuple[str, list[Row]]]:
    """Rows that differ by their sample alone (and what came of it), two or more, by sample. Memory holds one slot.
    Raises ExportError if the scratch folder cannot hold them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _scratch_errors(folder),
        closing(sqlite3.connect(Path(folder) / "rows")) as file,
    ):
        file.executescript(_OPTIONS + "CREATE TABLE rows (slot TEXT, sample INTEGER, split TEXT, row TEXT)")
        file.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", _entries(rows))
        file.execute("CREATE INDEX by_slot ON rows (slot, sample)")
        ordered = file.execute("SELECT slot, split, row FROM rows ORDER BY slot, sample")
        for _, members in groupby(ordered, key=lambda entry: entry[0]):
            found = list(members)
            if len(found) > 1:
                yield found[0][1], [ROWS.validate_json(f"[{row}]")[0] for _, _, row in found]
            else:
                leave_out("rows that are the only one of their slot")


@contextmanager
def _scratch_errors(folder: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ExportError(f"{folder}: {error}; make room there, or name another folder in TMPDIR") from error


def _entries(rows: Iterator[tuple[str, Row]]) -> Iterator[tuple[str, int, str, str]]:
    for split, row in rows:
        slot = [row.kind, [seed.id for seed in row.seeds], row.topic, row.opening]
        roles = [speaker.role for speaker in row.speakers]
        yield fingerprint("slot", [*slot, roles]), row.sample, split, ROWS.dump_json([row]).decode()[1:-1]
