"""Dead letters read: which ones, how many by maker and reason, what was spent on them, and examples.

Counted by polars over the columns that matter; the models' texts are read only of letters that are shown. Limitations:
counting holds the details of all letters in memory, some hundred megabytes for a million.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

import polars as pl

from factory.store.dead_letters import DeadLetter, dead_letters_from_table
from factory.store.records import COUNTS

_DETAILS = 3


class Only(TypedDict, total=False):
    """Which dead letters: of rows that failed or of seeds that could not be read, of a maker (`seeds` for those), with
    a reason, of a seed whose id begins so. What is left out, or none, is not asked for."""

    of: Literal["rows", "seeds"] | None
    stage: str | None
    reason: str | None
    seed: str | None


def matching(only: Only) -> pl.Expr:
    """The condition on columns of dead letters."""
    asked = [pl.lit(True)]
    if of := only.get("of"):
        asked.append(pl.col("row_id").is_not_null() if of == "rows" else pl.col("row_id").is_null())
    if stage := only.get("stage"):
        asked.append(pl.col("stage").eq(stage))
    if reason := only.get("reason"):
        asked.append(pl.col("reason").eq(reason))
    if seed := only.get("seed"):
        asked.append(pl.col("seed_ids").list.eval(pl.element().str.starts_with(seed)).list.any())
    return pl.all_horizontal(asked)


def failures(letters: pl.LazyFrame) -> list[dict[str, Any]]:
    """Dead letters by `stage`, `reason` and `kind` (row or seed), most first: `count`, the calls and tokens that went
    into them (see `COUNTS`), and up to three different `details`, newest first, of seeds with file and line."""
    is_row = pl.col("row_id").is_not_null()
    place = pl.format("{}, line {}: {}", "source", "line", "detail")
    newest = pl.col("told").sort_by("failed_at", "id", descending=True)
    return (
        letters.with_columns(
            kind=pl.when(is_row).then(pl.lit("row")).otherwise(pl.lit("seed")),
            told=pl.when(is_row).then("detail").otherwise(place),
        )
        .group_by("stage", "reason", "kind")
        .agg(
            pl.len().alias("count"),
            pl.col(*COUNTS).sum(),
            details=newest.unique(maintain_order=True).head(_DETAILS),
        )
        .sort("count", "stage", "reason", "kind", descending=[True, False, False, False])
        .collect(engine="streaming")
        .to_dicts()
    )


def examples(letters: pl.LazyFrame, limit: int) -> list[DeadLetter]:
    """So many letters at most. Each maker and reason has its turn, with its newest letters, those first whose details
    differ; in the order of `failures`."""
    group = ("stage", "reason")
    alike = pl.int_range(pl.len()).over(*group, "detail")
    chosen = (
        letters.select("id", *group, "detail", "failed_at")
        .collect(engine="streaming")
        .sort("failed_at", "id", descending=True)
        .sort(alike, maintain_order=True)
        .with_columns(turn=pl.int_range(pl.len()).over(group), count=pl.len().over(group))
        .sort("turn", "count", *group, descending=[False, True, False, False])
        .head(limit)
        .sort("count", *group, "turn", descending=[True, False, False, False])["id"]
    )
    found = letters.filter(pl.col("id").is_in(chosen.implode())).collect(engine="streaming")
    by_id = {letter.id: letter for letter in dead_letters_from_table(found.to_arrow())}
    return [by_id[letter] for letter in chosen]
