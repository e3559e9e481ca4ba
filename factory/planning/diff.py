"""What sets two versions of a corpus apart, row by row, and why.

Versions share most of their shards, and only those that they do not share are read (and the seeds of the others, to
tell a new seed from a new pairing). What was redone to a row is told by the entries whose records differ.
Limitations: of several causes of a row one is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from factory.planning.compare import (
    ADDED,
    EDITED,
    FEWER,
    MORE,
    PAIRED,
    REASONS,
    REDRAWN,
    REFRESHED,
    REMOVED,
    difference,
)
from factory.spec.identity import Recipe
from factory.spec.job import SELECT
from factory.store.corpus import Corpus
from factory.store.shards import Shard
from factory.store.versions import letters_at, without

_SCHEMA: dict[str, Any] = {
    "row_id": pl.String,
    "decision": pl.String,
    "reasons": pl.List(pl.String),
    "first": pl.String,
    "last": pl.String,
    "digests": pl.List(pl.String),
    "entries": pl.List(pl.String),
    "recipes": pl.List(pl.String),
    "stage": pl.List(pl.String),
    "by": pl.List(pl.String),
    "prints": pl.List(pl.String),
    "made": pl.List(pl.String),
}


def diff(corpus: Corpus, before: int, after: int) -> pl.DataFrame:
    """The rows that differ between two versions: `row_id`, `what` ("added", "removed", "redone: NAMES", "left out:
    NAMES", "decided again" or REFRESHED), `why`, and the decisions `before` and `after`. Raises CorpusError."""
    old, new = corpus.table.shards_at(before), corpus.table.shards_at(after)
    pairs = _rows(corpus, without(old, new)).join(
        _rows(corpus, without(new, old)), on="row_id", how="full", coalesce=True, suffix="_new"
    )
    rows = pairs.collect()
    was, now = pl.col("first").is_not_null(), pl.col("first_new").is_not_null()
    parts = [
        _come(corpus, rows.filter(now & ~was), before, old),
        _gone(corpus, rows.filter(was & ~now), after, new),
        _redone(corpus, rows.filter(was & now)),
    ]
    return pl.concat(
        part.select("row_id", "what", "why", before=pl.col("decision"), after=pl.col("decision_new")) for part in parts
    ).sort("what", "why", "row_id")


def _rows(corpus: Corpus, shards: Sequence[Shard]) -> pl.LazyFrame:
    """What tells rows apart: the names of the entries and their recipes; of all but `select` also the names with the
    recipes (`by`), with the fingerprints (`prints`), and these with the time of each making (`made`)."""
    if not shards:
        return pl.LazyFrame(schema=_SCHEMA)
    seeds, stages, one = pl.col("seeds"), pl.col("stages"), pl.element().struct
    times = one.field("started_at").cast(pl.Int64).cast(pl.String)
    prints = one.field("stage") + "\t" + one.field("fingerprint")
    by = one.field("stage") + "\t" + one.field("recipe")
    told = {"stage": one.field("stage"), "by": by, "prints": prints, "made": prints + times}
    undecided = one.field("stage") != SELECT
    return corpus.table.frame(shards).select(
        "row_id",
        "decision",
        "reasons",
        first=seeds.list.first().struct.field("id"),
        last=seeds.list.last().struct.field("id"),
        digests=seeds.list.eval(one.field("digests").list.join(" ")),
        entries=stages.list.eval(one.field("stage")),
        recipes=stages.list.eval(one.field("recipe")),
        **{name: stages.list.eval(value.filter(undecided)) for name, value in told.items()},
    )


def _come(corpus: Corpus, rows: pl.DataFrame, before: int, old: Sequence[Shard]) -> pl.DataFrame:
    rows = rows.with_columns(first=pl.col("first_new"), last=pl.col("last_new"))
    known, paired = _known(corpus, rows, old, "first"), _known(corpus, rows, old, "first", "last")
    failed = pl.col("row_id").is_in(_failed(corpus, before))
    why = pl.when(failed).then(pl.lit("failed before")).when(~known).then(pl.lit(REASONS[ADDED]))
    return rows.with_columns(
        what=pl.lit("added"), why=why.when(paired).then(pl.lit(REASONS[MORE])).otherwise(pl.lit(REASONS[PAIRED]))
    )


def _gone(corpus: Corpus, rows: pl.DataFrame, after: int, new: Sequence[Shard]) -> pl.DataFrame:
    known = _known(corpus, rows, new, "first") & _known(corpus, rows.with_columns(first="last"), new, "first")
    paired = _known(corpus, rows, new, "first", "last")
    failed = pl.col("row_id").is_in(_failed(corpus, after))
    why = pl.when(failed).then(pl.lit("failed")).when(~known).then(pl.lit(REASONS[REMOVED]))
    return rows.with_columns(
        what=pl.lit("removed"), why=why.when(paired).then(pl.lit(REASONS[FEWER])).otherwise(pl.lit(REASONS[PAIRED]))
    )


def _failed(corpus: Corpus, version: int) -> list[str]:
    """Ids of rows that were dead letters at a version."""
    found = (corpus.dead.read(shard, ["row_id"])["row_id"].drop_null() for shard in letters_at(corpus, version))
    return [row_id for column in found for row_id in column.to_pylist()]


def _known(corpus: Corpus, rows: pl.DataFrame, shards: Sequence[Shard], *columns: str) -> pl.Series:
    """Whether some row of the shards has the same seeds in these columns."""
    if rows.is_empty() or not shards:
        return pl.Series([False] * len(rows), dtype=pl.Boolean)
    seeds = pl.col("seeds").list
    there = corpus.table.frame(shards).select(
        first=seeds.first().struct.field("id"), last=seeds.last().struct.field("id")
    )
    found = rows.lazy().with_row_index().join(there.select(columns), on=columns, how="semi").collect()
    return pl.Series(range(len(rows)), dtype=pl.UInt32).is_in(found["index"].implode())


def _redone(corpus: Corpus, rows: pl.DataFrame) -> pl.DataFrame:
    def new(column: str) -> pl.Expr:
        """The names of the entries that differ in a column."""
        other = pl.col(f"{column}_new").list.set_difference(pl.col(column))
        return other.list.eval(pl.element().str.split("\t").list.first())

    rows = rows.with_columns(
        redone=pl.col("stage_new").list.set_intersection(new("made")),
        left_out=pl.col("stage").list.set_difference(pl.col("stage_new")),
        decided=pl.col("decision").ne_missing(pl.col("decision_new")) | (pl.col("reasons") != pl.col("reasons_new")),
        edited=pl.col("digests") != pl.col("digests_new"),
    )
    redone, left_out = pl.col("redone").list.len() > 0, pl.col("left_out").list.len() > 0
    rows = rows.filter(redone | left_out | pl.col("decided") | pl.col("edited"))
    configured = new("by").list.contains(pl.col("redone").list.first())
    inputs = (
        pl.when(redone & (new("prints").list.len() == 0))
        .then(pl.lit("made again"))
        .when("edited")
        .then(pl.lit(REASONS[EDITED]))
        .otherwise(pl.lit(REASONS[REDRAWN]))
    )
    return rows.with_columns(
        what=pl.when(redone)
        .then("redone: " + pl.col("redone").list.join(", "))
        .when(left_out)
        .then("left out: " + pl.col("left_out").list.join(", "))
        .when("decided")
        .then(pl.lit("decided again"))
        .otherwise(pl.lit(REFRESHED)),
        why=pl.when(pl.when(redone).then(~configured).otherwise(pl.col("edited") & ~left_out))
        .then(inputs)
        .otherwise(_differences(corpus, rows)),
    )


def _differences(corpus: Corpus, rows: pl.DataFrame) -> pl.Series:
    """The fields of the job that set the recipes of each row apart."""
    told: dict[tuple[tuple[str, ...], ...], str] = {}
    ways = [
        (tuple(entries), tuple(held), tuple(now))
        for entries, held, now in rows.select("entries", "recipes", "recipes_new").iter_rows()
    ]
    for entries, held, now in set(ways):
        recipes = [corpus.recipe(recipe) for recipe in now]
        known = [Recipe.model_validate({name: one[name] for name in Recipe.model_fields}) for one in recipes if one]
        if len(known) < len(now):
            told[entries, held, now] = "recipes that are lost"
        else:
            told[entries, held, now] = difference(corpus, dict(zip(entries, held, strict=True)), known)
    return pl.Series([told[way] for way in ways], dtype=pl.String)
