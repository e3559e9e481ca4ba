"""Decisions and scores of a corpus, in the order and the words in which status and report show them.

Limitations: what the terminal and the card say of the scores, in a sentence, is written there.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from factory.methods import struct_of
from factory.methods.scores.consistency import Consistency

DECISIONS = {"accept": "accepted", "flag": "flagged", "reject": "rejected", "undecided": "undecided"}
"""Decisions, and what their rows are called."""

SCORES = {
    "coverage": "coverage",
    "entailed_share": "pairs entailed",
    "contradicted_share": "pairs contradicted",
    "c_score": "C score",
    "apc": "APC",
}
"""Scores of a dialogue (fields of `consistency`), of which a corpus has the means, and their titles."""


def mean_scores() -> list[pl.Expr]:
    """The mean of each score over rows, under its name."""
    return [pl.col("consistency").struct.field(name).mean() for name in SCORES]


def with_consistency(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Rows with the column of `consistency`, null where the corpus has no such score."""
    if Consistency.name in rows.collect_schema().names():
        return rows
    kind = pl.DataFrame(pa.schema([(Consistency.name, struct_of(Consistency.columns))]).empty_table()).schema
    return rows.with_columns(pl.lit(None, dtype=kind[Consistency.name]).alias(Consistency.name))
