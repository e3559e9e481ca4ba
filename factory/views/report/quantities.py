"""The quantities whose distributions the report shows: how they are counted and what they are called, in their order.

Limitations: histograms alone; a figure of another kind has a function of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from factory.views.report.frames import TEXTS, of_scores


@dataclass(frozen=True, slots=True)
class Quantity:
    """What the report shows the distribution of: values `of` a dialogue, turn or pair, as an expression over rows that
    gives one value or a list a row, counted in steps. A `share` lies between 0 and 1."""

    name: str
    title: str
    axis: str
    of: str
    step: float
    values: pl.Expr
    share: bool = False


_SCORE = pl.col("consistency").struct.field
_WORDS = TEXTS.list.eval(pl.element().str.count_matches(r"\S+"))
_TOKENS = pl.col("stages").list.eval(pl.element().struct.field("completion_tokens")).list.sum()
_ENTAILMENT, _CONTRADICTION = (of_scores(field, "turn_persona") for field in ("entailment", "contradiction"))

QUANTITIES = (
    Quantity("turns", "Turns of a dialogue", "turns", "dialogue", 1, pl.col("turns").list.len()),
    Quantity("words", "Words of a turn", "words", "turn", 1, _WORDS),
    Quantity(
        "tokens", "Tokens written for a dialogue", "completion tokens, all stages and candidates", "dialogue", 1,
        pl.when(_TOKENS > 0).then(_TOKENS),
    ),
    Quantity(
        "entailment", "Own fact entails turn", "P(entailment) of a scored pair", "pair", 0.01,
        _ENTAILMENT, share=True,
    ),
    Quantity(
        "contradiction", "Own fact contradicts turn", "P(contradiction) of a scored pair", "pair", 0.01,
        _CONTRADICTION, share=True,
    ),
    Quantity(
        "worst_contradiction", "Worst pair of a dialogue", "highest P(contradiction) with an own fact", "dialogue",
        0.01, _CONTRADICTION.list.max(), share=True,
    ),
    Quantity("c_score", "C score", "C score of a dialogue", "dialogue", 0.01, _SCORE("c_score")),
    Quantity("apc", "APC score", "APC of a dialogue", "dialogue", 0.01, _SCORE("apc")),
    Quantity(
        "coverage", "Persona coverage", "share of both personas' facts that a turn expresses", "dialogue", 0.01,
        _SCORE("coverage"), share=True,
    ),
)  # fmt: skip
