"""The last step of a shard: its tasks become one file again, and its rows are decided."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa

from factory.methods.registry import found
from factory.planning.shard import ShardSpec, complete, load
from factory.running.pipeline import forget_makers, forget_scores, settle
from factory.spec.identity import Recipe, row_fingerprints
from factory.spec.job import SELECT
from factory.spec.phases import Making
from factory.spec.select import PENDING, scored_frame
from factory.store.corpus import Corpus
from factory.store.records import ROW_SCHEMA, Row, ScoreColumns, StageRecord, rows_from_table, rows_to_table
from factory.store.shards import Shard


@dataclass(frozen=True, slots=True)
class Merged:
    """The file that takes a shard's place (none if no row is left), how many of its rows this run finished, which of
    those to redo came through (they stand in it as wanted, or failed), and how the finished ones were decided, but for
    those that wait for a pass."""

    shard: Shard | None
    finished: int
    reached: list[str]
    decisions: Counter[str] = field(default_factory=Counter)


def merge(corpus: Corpus, spec: ShardSpec, making: Making) -> Merged:
    """Write the shard that replaces `base`: finished rows, and the committed version of rows that were not reached."""
    base = {row.row_id: row for row in rows_from_table(corpus.table.read(spec.base))} if spec.base else {}
    kept: list[Row] = []
    made: list[Row] = []
    reached, redo = list(spec.failed), set(spec.redo)
    rows, columns = load(corpus, spec, making)
    for row in rows:
        if row.row_id in spec.failed:
            continue
        recipes = making.recipes[row.kind]
        if row.row_id in redo and complete(row, row_fingerprints(recipes, row)):
            names = [recipe.stage for recipe in recipes]
            forget_makers(row, names)
            before = base.get(row.row_id)
            if before is None or _made_of(before) != _made_of(row):  # what other scores found may be true no longer
                forget_scores(row, names)
                for name in making.passes:  # which compare it again
                    row.scores.pop(name, None)
            settle(row, names)
            made.append(row)
            kept.append(row)
            reached.append(row.row_id)
        elif row.row_id in base:
            kept.append(base[row.row_id])
    _decide(made, making, columns)
    finished = [row for row in made if row.row_id not in base or base[row.row_id] != row]
    if not kept:
        return Merged(None, len(finished), reached)
    decisions = Counter[str](row.decision for row in finished if row.decision and PENDING not in row.reasons)
    return Merged(corpus.table.write(rows_to_table(kept, columns)), len(finished), reached, decisions)


def _made_of(row: Row) -> tuple[list[list[str]], list[str]]:
    """What tells whether a row is the same but for its scores: of its seeds, and of its makers."""
    makers = [record.fingerprint for record in row.stages if record.stage in found("makers")]
    return [seed.digests for seed in row.seeds], makers


def _decide(rows: list[Row], making: Making, columns: ScoreColumns) -> None:
    """Decide rows by the job's conditions, all at once; without any they have no decision."""
    for row in rows:
        row.decision, row.reasons = None, []
        row.stages = [record for record in row.stages if record.stage != SELECT]
    if making.select is None or not rows:
        return
    began = datetime.now(UTC)
    frame = scored_frame(_readable(rows, columns), making.select).collect()
    decided = making.select.decide(frame, making.passes)
    for row, (decision, reasons) in zip(rows, decided.select("decision", "reasons").iter_rows(), strict=True):
        row.decision, row.reasons = decision, reasons
        recipe = _of_select(making.recipes[row.kind])
        fingerprint = row_fingerprints([recipe], row)[SELECT]
        row.stages.append(StageRecord(SELECT, recipe.id, fingerprint, started_at=began))


def _readable(rows: list[Row], columns: ScoreColumns) -> pl.LazyFrame:
    """What conditions can read of rows; to lay out all of them takes ten times as long."""
    names = ("kind", "sample", "topic")
    found = [
        {name: getattr(row, name) for name in names} | {"turns": [None] * len(row.turns)} | row.scores for row in rows
    ]
    turns = pa.field("turns", pa.list_(pa.null()))
    schema = pa.schema([*(ROW_SCHEMA.field(name) for name in names), turns, *columns.items()])
    return pl.LazyFrame(pa.Table.from_pylist(found, schema=schema))


def _of_select(recipes: list[Recipe]) -> Recipe:
    return next(recipe for recipe in recipes if recipe.stage == SELECT)
