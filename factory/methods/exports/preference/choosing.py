"""Which of several replies to one prompt is chosen, and which is rejected."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

_WORD = re.compile(r"\w+")
_WITHIN = 0.3
"""Share of the span of rewards within which a reply counts as good, or as bad (DivPO's p; its headline is at 30 %)."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A reply: where it stands, what it says, and its score, of which more is better."""

    place: int
    text: str
    score: float


def best_and_worst(replies: Sequence[Scored]) -> tuple[int, int] | None:
    """Indices of the replies of the highest and the lowest score; none if all score alike (as APC, NeurIPS 2024, makes
    the pairs of its DPO)."""
    scores = [reply.score for reply in replies]
    best, worst = scores.index(max(scores)), scores.index(min(scores))
    return None if best == worst else (best, worst)


def most_and_least_diverse(replies: Sequence[Scored]) -> tuple[int, int] | None:
    """Indices of the most diverse of the good replies and the least diverse of the bad; none if all score alike (DivPO;
    its p is taken of the span between the highest and the lowest score)."""
    told = diversity([reply.text for reply in replies])
    scores = [reply.score for reply in replies]
    low, high = min(scores), max(scores)
    if low == high:
        return None
    reach = _WITHIN * (high - low)
    good = [index for index, score in enumerate(scores) if score >= high - reach]
    bad = [index for index, score in enumerate(scores) if score <= low + reach]
    # Of equally diverse ones the score decides.
    return max(good, key=lambda index: (told[index], scores[index])), min(
        bad, key=lambda index: (told[index], scores[index])
    )


def diversity(texts: Sequence[str]) -> list[float]:
    """DivPO's inverse word frequency: of each text the mean, over its distinct words, of one over the number of texts
    with that word. Between 1 / len(texts), for one that says what all say, and 1."""
    words = [set(_WORD.findall(text.lower())) for text in texts]
    frequency = Counter(word for own in words for word in own)
    return [fsum(1 / frequency[word] for word in own) / max(len(own), 1) for own in words]
