"""The pairs of facts and turns that scores of the method `consistency` store: what views show of them beside the
declared columns. No other view knows a score's method.

Limitations: a threshold is known where a condition of `select` holds nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from factory.methods.scores.consistency import Check, Consistency, scored_pairs
from factory.methods.scores.consistency import ScoredPair as StoredPair
from factory.spec.select import Conditions
from factory.store.records import Row

__all__ = ["CHECKS", "Check", "StoredPair", "bands", "marks", "of_pairs", "pair_scores", "stored_pairs", "worst"]

MARKED, NEVER = 0.5, 2.0
"""P(contradiction) from which on a pair is marked where the job flags none, and one that none has."""
_COLUMNS: dict[str, str] = {
    "turn_persona": "contradiction",
    "turn_turn": "self_contradiction",
    "extracted_persona": "extracted_contradiction",
    "extracted_extracted": "extracted_contradiction",
}
"""The columns that hold the highest P(contradiction) of each check's pairs."""
REASONS = {
    "contradiction": {"reject": "contradicts_persona", "flag": "may_contradict_persona"},
    "self_contradiction": {"reject": "contradicts_itself", "flag": "may_contradict_itself"},
    "extracted_contradiction": {"reject": "facts_contradict", "flag": "facts_disagree"},
}
"""What conditions over these columns are called."""
CHECKS: tuple[Check, ...] = ("turn_persona", "turn_turn", "extracted_persona", "extracted_extracted")
"""The checks whose pairs conditions can judge by P(contradiction)."""


def pair_scores(methods: Mapping[str, Any]) -> list[str]:
    """The names of the entries of this method. `methods` are those of all entries, by the entries' names."""
    return sorted(name for name, method in methods.items() if isinstance(method, Consistency))


def of_pairs(score: str, field: str, check: Check = "turn_persona") -> pl.Expr:
    """A value of the pairs of one check that a score stored with a row, a list."""
    one = pl.element().struct
    value = one.field("values").list.get(Consistency.details[check].index(field), null_on_oob=True)
    of_check = (one.field("score") == score) & (one.field("kind") == check)
    return pl.col("details").list.eval(value.filter(of_check))


def stored_pairs(row: Row, score: str, check: Check) -> list[StoredPair]:
    """The pairs of one check that a score stored with a row, in the order of `of_pairs`, with their texts."""
    return [one for one in scored_pairs(row, score) if one.pair.check == check]


def worst(score: str | None = None, check: str | None = None) -> str:
    """The column with the highest P(contradiction) of a check's pairs, as conditions write it; without a check, of
    turns and facts."""
    return f"{score or Consistency.name}.{_COLUMNS.get(check or 'turn_persona', 'contradiction')}"


def bands(policy: Conditions, score: str, check: Check = "turn_persona") -> tuple[float, float]:
    """From which P(contradiction) of a pair on conditions flag and reject a row: MARKED where none flags, NEVER where
    none rejects."""
    flag, reject = (policy.least(band, worst(score, check)) for band in ("flag", "reject"))
    rejects = NEVER if reject is None else reject
    return min(MARKED if flag is None else flag, rejects), rejects


def marks(row: Row, scores: Sequence[str], policy: Conditions) -> Iterator[dict[str, Any]]:
    """The pairs that contradict each other, the clearest first: the `turn`, the `fact` and its `origin` (or the earlier
    turn `said`), the fact `extracted` from the turn, the entry `by` which it is known, P(contradiction) as `score`, the
    `check`, and whether it `rejects`."""
    pairs = [(score, one) for score in scores for one in scored_pairs(row, score) if one.pair.check in _COLUMNS]
    for score, one in sorted(pairs, key=lambda pair: -pair[1].found.contradiction):
        flag, reject = bands(policy, score, one.pair.check)
        if one.found.contradiction >= flag:
            yield {
                "turn": one.pair.turn,
                "check": one.pair.check,
                "fact": one.pair.premise,
                "origin": one.pair.origin,
                "said": one.pair.other if one.pair.check == "turn_turn" else None,
                "extracted": one.pair.hypothesis if _COLUMNS[one.pair.check] == _COLUMNS["extracted_persona"] else None,
                "by": score,
                "score": round(one.found.contradiction, 4),
                "rejects": one.found.contradiction >= reject,
            }
