"""What is in a corpus: rows by decision and reason, scores, gates, dead letters with examples, models, costs.

polars counts over the columns it needs; no count is stored.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from factory.planning.cost import cost
from factory.store.corpus import Corpus
from factory.store.failures import failures
from factory.views.scores import scored


def status(corpus: Corpus) -> dict[str, Any]:
    """Counts of a corpus, as JSON values. Raises CorpusError if there is none."""
    return counts(corpus, corpus.scan())


def counts(corpus: Corpus, rows: pl.LazyFrame) -> dict[str, Any]:
    """The same, for rows that the corpus's `scan` returned."""
    letters = corpus.scan_dead_letters()
    failed = failures(letters)
    totals = rows.select(pl.len().alias("rows"), pl.col("turns").list.len().cast(pl.Int64).sum()).collect()
    stages = pl.col("stages").struct
    return {
        "corpus": corpus.root,
        "version": corpus.table.version(),
        **totals.row(0, named=True),
        "decisions": _counts(rows.select("decision")),
        "reasons": _counts(rows.select("reasons").explode("reasons")),
        "gates": _counts(
            rows.select("extracted").explode("extracted").select(pl.col("extracted").struct.field("gate"))
        ),
        "scores": scored(rows, corpus.table.layout),
        "models": _counts(rows.select("stages").explode("stages").select(stages.field("models")).explode("models")),
        "dead_letters": {f"{one['stage']}/{one['reason']}": one["count"] for one in failed if one["kind"] == "row"},
        "bad_seeds": {one["reason"]: one["count"] for one in failed if one["kind"] == "seed"},
        "failures": failed,
        "cost": cost(rows, letters),
    }


def _counts(frame: pl.LazyFrame) -> dict[str, int]:
    column = frame.collect_schema().names()[0]
    counted = frame.drop_nulls().group_by(column).len().sort("len", descending=True).collect()
    return dict(counted.iter_rows())
