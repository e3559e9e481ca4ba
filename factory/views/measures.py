"""Decisions and scores of a corpus, in the order and the words in which status and report show them.

Limitations: what the terminal and the card say of the scores, in a sentence, is written there.
"""

from __future__ import annotations

import polars as pl

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
