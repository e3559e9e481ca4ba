"""What several answers to one question come to: a value, or none and why.

The rules count answers by content, over all orders in which the options were shown, so a judge that goes by the place
of an option agrees with itself in no value. What cannot be read, or is not certain enough, stands behind no value.
Limitations: answers of one model are no independent draws, as the test takes them to be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Reason = Literal["unreadable", "uncertain", "order", "disagreement"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its value by content, whatever the order of the options, none where it cannot be read; how certain
    the model says it is (1 to 100, none if it does not), and what it wrote."""

    value: int | None
    certainty: int | None = None
    raw: str = ""
    order: int = 0
    sample: int = 0


class Binomial(BaseModel):
    """The two-sided binomial test on the two most frequent answers (selective ensembles, arXiv 2111.08230)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    test: float = Field(gt=0, lt=1, description="The p from which on it abstains.")


Rule = Literal["unanimous", "majority", "mean"] | Binomial


@dataclass(frozen=True, slots=True)
class Verdict:
    """The value, or none and the reason; `agreement` is the share of all answers that were the most frequent one."""

    value: float | None
    agreement: float
    reason: Reason | None = None


def settle(answers: Sequence[Answer], rule: Rule, certainty: int | None = None) -> Verdict:
    """What answers to one question come to. `unanimous` wants all that were asked for, `majority` more than half of
    them; `mean` takes the mean of those that count. Raises ValueError for no answers.

    The reasons: no answer, or too few, `unreadable`; all or too many below the certainty that is wanted `uncertain`;
    each order by itself agrees, but not with the others, `order`; else `disagreement`."""
    if not answers:
        raise ValueError("no answers to settle")
    readable = [one for one in answers if one.value is not None]
    sure = [one for one in readable if certainty is None or (one.certainty or 0) >= certainty]
    counts = Counter(one.value for one in sure if one.value is not None)
    agreement = max(counts.values(), default=0) / len(answers)
    value = _agreed(counts, len(answers), rule)
    if value is not None:
        return Verdict(float(value), agreement)
    return Verdict(None, agreement, _reason(answers, readable, sure))


def _agreed(counts: Counter[int], asked: int, rule: Rule) -> float | None:
    if not counts:
        return None
    if rule == "mean":
        return sum(value * count for value, count in counts.items()) / counts.total()
    (value, first), (_, second) = (*counts.most_common(2), (0, 0))[:2]
    if isinstance(rule, Binomial):
        return value if two_sided(first, first + second) <= rule.test else None
    return value if (first == asked if rule == "unanimous" else 2 * first > asked) else None


def _reason(answers: Sequence[Answer], readable: Sequence[Answer], sure: Sequence[Answer]) -> Reason:
    lost: Reason = "unreadable" if len(readable) < len(answers) else "uncertain"
    if not sure:
        return "uncertain" if readable else "unreadable"
    by_order: dict[int, set[int | None]] = {}
    for one in sure:
        by_order.setdefault(one.order, set()).add(one.value)
    values = set[int | None]().union(*by_order.values())
    if len(values) == 1:
        return lost if len(sure) < len(answers) else "disagreement"
    return "order" if all(len(found) == 1 for found in by_order.values()) else "disagreement"


def two_sided(most: int, of: int) -> float:
    """The p of the two-sided binomial test at one half, where `most` of `of` answers, the more frequent ones, agree."""
    return min(1.0, 2 * sum(comb(of, number) for number in range(most, of + 1)) / float(2**of))


def fewest(level: float) -> int:
    """How many answers the test needs at least, to find that they agree: six at 0.05."""
    return next(number for number in range(1, 1100) if two_sided(number, number) <= level)
