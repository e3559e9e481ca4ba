"""Corpus passes: what sees many rows, and runs after the last commit of a run.

A pass writes a column of its own, as a score does, into the shards where it says something else than stands there, and
decides their rows again; all in one commit, so that a run that is killed before leaves them as they were, and the next
one redoes it. Limitations: a shard is rewritten for one row of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from factory.methods.passes.near_duplicates import COLUMN, NAME
from factory.planning.duplicates import Change, Duplicates
from factory.spec.job import Job
from factory.spec.select import PENDING, Conditions, scored_frame
from factory.store.corpus import Corpus


@dataclass(slots=True)
class Passed:
    """What the passes did: how many `rows` say something else than before, and how those were decided that had waited
    for a pass."""

    rows: int = 0
    decisions: Counter[str] = field(default_factory=Counter)


def run_passes(job: Job, corpus: Corpus, run: str, report: Callable[[str, int], None] = lambda *_: None) -> Passed:
    """Run the passes of a job over its corpus as it stands. Raises CorpusError, ConflictError or StorageError."""
    passed = Passed()
    if job.passes.near_duplicates is None or not corpus.table.shards():
        return passed
    found = Duplicates(corpus, job.passes.near_duplicates, report)
    changes = []
    for change in found.changes():
        before = corpus.table.read(change.shard)
        after = _written(before, change, job)
        waited = pl.Series(before["reasons"]).list.contains(PENDING)
        passed.decisions.update(pl.Series(after["decision"]).filter(waited))
        passed.rows += change.rows
        changes.append((change, corpus.table.write(after)))
    if not changes:
        return passed
    corpus.table.grow({NAME: COLUMN}, run)
    message = f"{NAME}: {found.duplicates} of {found.rows} rows nearly repeat another"
    letters = corpus.dead.version() if corpus.dead.shards() else None
    corpus.table.commit(
        [shard for _, shard in changes], [change.shard for change, _ in changes], message, letters=letters, run=run
    )
    found.keep(changes)
    return passed


def _written(rows: pa.Table, change: Change, job: Job) -> pa.Table:
    """A shard's rows with the column, decided again."""
    if NAME in rows.column_names:
        rows = rows.drop_columns([NAME])
    rows = rows.append_column(NAME, change.values)
    return rows if job.select is None else _decided(rows, job.select, frozenset(job.passes.columns))


def _decided(rows: pa.Table, select: Conditions, passes: frozenset[str]) -> pa.Table:
    decided = select.decide(scored_frame(pl.DataFrame(rows).lazy(), select).collect(), passes)
    for name in ("decision", "reasons"):
        place = rows.schema.get_field_index(name)
        column = decided[name].to_arrow().cast(rows.schema.field(name).type)
        rows = rows.set_column(place, rows.schema.field(name), column)
    return rows
