"""What sets two versions of a corpus apart, row by row, and why.

Versions share most of their shards, and only those that they do not share are read (and the seeds of the others, to
tell a new seed from a new pairing). Fingerprints chain, so that how far two rows agree is how many they have in common.
Limitations: a row for which several things changed is told by the first of its stages that was redone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from factory.planning.compare import ADDED, DONORS, EDITED, FEWER, MORE, PAIRED, REASONS, REMOVED, difference
from factory.spec.job import Recipe
from factory.store.corpus import Corpus
from factory.store.table import Shard
from factory.store.versions import letters_at, without

_SCHEMA: dict[str, Any] = {
    "row_id": pl.String,
    "decision": pl.String,
    "reasons": pl.List(pl.String),
    "first": pl.String,
    "last": pl.String,
    "digests": pl.List(pl.String),
    "stage": pl.List(pl.String),
    "recipe": pl.List(pl.String),
    "fingerprint": pl.List(pl.String),
    "made": pl.List(pl.String),
}


def diff(corpus: Corpus, before: int, after: int) -> pl.DataFrame:
    """The rows that differ between two versions: `row_id`, `what` ("added", "removed", "redone from STAGE" or "decided
    anew"), `why`, and the decisions `before` and `after`. Raises CorpusError."""
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
    """What tells rows apart; `made` is of the stages before `select`, and new with each making."""
    if not shards:
        return pl.LazyFrame(schema=_SCHEMA)
    seeds, stages, one = pl.col("seeds"), pl.col("stages"), pl.element().struct
    field = {name: stages.list.eval(one.field(name)) for name in ("stage", "recipe", "fingerprint")}
    times = one.field("started_at").cast(pl.Int64).cast(pl.String)
    return corpus.table.frame(shards).select(
        "row_id",
        "decision",
        "reasons",
        first=seeds.list.first().struct.field("id"),
        last=seeds.list.last().struct.field("id"),
        digests=seeds.list.eval(one.field("digests").list.join(" ")),
        **field,
        made=stages.list.eval((one.field("fingerprint") + times).filter(one.field("stage") != "select")),
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
    def common(column: str) -> pl.Expr:
        return pl.col(column).list.set_intersection(pl.col(f"{column}_new")).list.len()

    rows = rows.with_columns(
        kept=common("made"),
        most=pl.max_horizontal(pl.col("made").list.len(), pl.col("made_new").list.len()),
        recipes=common("recipe"),
        prints=common("fingerprint"),
        alike=pl.col("decision").eq_missing(pl.col("decision_new")) & (pl.col("reasons") == pl.col("reasons_new")),
    ).filter((pl.col("kept") < pl.col("most")) | ~pl.col("alike"))
    redone = pl.col("kept") < pl.col("most")
    stage = pl.coalesce(
        pl.col("stage_new").list.get(pl.col("kept"), null_on_oob=True),
        pl.col("stage").list.get(pl.col("kept"), null_on_oob=True),
    )
    inputs = (
        pl.when(pl.col("prints") > pl.col("kept"))
        .then(pl.lit("made again"))
        .when(pl.col("digests") != pl.col("digests_new"))
        .then(pl.lit(REASONS[EDITED]))
        .otherwise(pl.lit(REASONS[DONORS]))
    )
    return rows.with_columns(
        what=pl.when(redone).then("redone from " + stage).otherwise(pl.lit("decided anew")),
        why=pl.when(redone & (pl.col("recipes") > pl.col("kept"))).then(inputs).otherwise(_differences(corpus, rows)),
    )


def _differences(corpus: Corpus, rows: pl.DataFrame) -> pl.Series:
    """The fields of the job that set the recipes of each row apart."""
    told: dict[tuple[tuple[str, ...], ...], str] = {}
    pairs = [(tuple(held), tuple(now)) for held, now in rows.select("recipe", "recipe_new").iter_rows()]
    for held, now in set(pairs):
        if held == now:
            told[held, now] = ""
            continue
        recipes = [corpus.recipe(recipe) for recipe in now]
        known = [Recipe.model_validate({name: one[name] for name in Recipe.model_fields}) for one in recipes if one]
        told[held, now] = difference(corpus, held, known) if len(known) == len(now) else "recipes that are lost"
    return pl.Series([told[pair] for pair in pairs], dtype=pl.String)
