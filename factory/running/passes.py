"""Corpus passes: what sees many rows, and runs after the last commit of a run.

A pass writes a column of its own, as a score does, into the shards where it says something else than stands there, and
decides their rows anew; all in one commit, so that a run that is killed before leaves them as they were, and the next
one goes on. Limitations: a shard is rewritten for one row of it.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pyarrow as pa

from factory.methods.passes.near_duplicates import COLUMN, NAME
from factory.planning.duplicates import Change, Duplicates
from factory.spec.job import Job
from factory.spec.select import Conditions, scored_frame
from factory.store.corpus import Corpus


def run_passes(job: Job, corpus: Corpus, run: str, report: Callable[[str, int], None] = lambda *_: None) -> int:
    """Run the passes of a job over its corpus as it stands. How many rows say something else than before. Raises
    CorpusError, ConflictError or StorageError."""
    if job.passes.near_duplicates is None or not corpus.table.shards():
        return 0
    found = Duplicates(corpus, job.passes.near_duplicates, report)
    changes = [(change, corpus.table.write(_written(corpus, change, job))) for change in found.changes()]
    if not changes:
        return 0
    corpus.table.grow({NAME: COLUMN}, run)
    message = f"{NAME}: {found.duplicates} of {found.rows} rows nearly repeat another"
    letters = corpus.dead.version() if corpus.dead.shards() else None
    corpus.table.commit(
        [shard for _, shard in changes], [change.shard for change, _ in changes], message, letters=letters, run=run
    )
    found.keep(changes)
    return sum(change.rows for change, _ in changes)


def _written(corpus: Corpus, change: Change, job: Job) -> pa.Table:
    """A shard's rows with the column, decided anew."""
    rows = corpus.table.read(change.shard)
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
