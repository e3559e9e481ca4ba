from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from factory.methods.scores.consistency import scored_pairs
from factory.store.records import Row
from factory.views.report.distributions import BINS, distribution
from tests.views.report.conftest import Made


def values(rows: list[Row], name: str) -> list[Any]:
    """A quantity's values, row by row."""
    scores = [[one.found for one in scored_pairs(row) if one.pair.check == "turn_persona"] for row in rows]
    score, _, column = name.rpartition(".")
    if score == "consistency":
        return [row.scores[score][column] for row in rows]
    return {
        "turns": [len(row.turns) for row in rows],
        "words": [len(turn.text.split()) for row in rows for turn in row.turns],
        "tokens": [sum(stage.completion_tokens for stage in row.stages) for row in rows],
        "consistency.pairs.entailment": [score.entailment for own in scores for score in own],
        "consistency.pairs.contradiction": [score.contradiction for own in scores for score in own],
    }[name]


def test_each_is_that_of_the_rows(made: Made) -> None:
    told = made.figures["distributions"]
    assert len(told) == 3 + 2 + 11
    for name, one in told.items():
        known = values(list(made.corpus.rows()), name)
        assert one["count"] == len(known), name
        assert one["mean"] == pytest.approx(np.mean(known)), name
        assert (one["min"], one["max"]) == pytest.approx((min(known), max(known))), name
        for part, quantile in ((0.05, "p5"), (0.5, "median"), (0.95, "p95")):
            exact = np.quantile(known, part, method="inverted_cdf")
            assert exact - one["step"] < one[quantile] <= exact + 1e-6, (name, quantile)
        drawn = np.histogram(np.array(known) + one["step"] * 1e-6, one["edges"])[0]
        drawn[-1] += sum(value >= one["edges"][-1] for value in known)
        assert np.sum(list(one["counts"].values()), axis=0).tolist() == drawn.tolist(), name


def test_bars_are_split_by_decision(made: Made) -> None:
    counts = made.figures["distributions"]["consistency.contradiction"]["counts"]
    assert {name: sum(bars) for name, bars in counts.items()} == made.figures["funnel"]["decisions"]
    assert all(bars[-1] == 0 for name, bars in counts.items() if name != "reject")


def test_a_long_tail_shares_the_last_bar() -> None:
    frame = pl.LazyFrame({"decision": "accept", "value": [*range(1000), 100_000]})
    told = distribution(frame, 1, share=False)
    assert told["open"]
    assert len(told["edges"]) <= BINS + 2
    assert told["edges"][-1] < 1100
    assert sum(told["counts"]["accept"]) == 1001
    assert told["max"] == 100_000
    assert not distribution(frame.filter(pl.col("value") < 1000), 1, share=False)["open"]
