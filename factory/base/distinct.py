"""Distinct n-grams (Li et al., NAACL 2016).

Limitations: they fall with the length of the text, so only figures over as many words compare.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from factory.base.minhash import words

WORDS = 50_000
"""How many words distinct-n is counted in, since it falls with the length of the text (Li et al., NAACL 2016)."""


def distinct(texts: Iterable[str], limit: int = WORDS) -> dict[str, Any]:
    """Distinct-1 and distinct-2 (Li et al., NAACL 2016) of the first `limit` words: the number of
    different n-grams over that of all; no n-gram spans two turns. None if there are none."""
    one: set[str] = set()
    two: set[tuple[str, str]] = set()
    count = pairs = 0
    for text in texts:
        said = words(text)[: limit - count]
        one.update(said)
        two.update(pairwise(said))
        count, pairs = count + len(said), pairs + max(len(said) - 1, 0)
        if count >= limit:
            break
    return {
        "words": count,
        "distinct_1": len(one) / count if count else None,
        "distinct_2": len(two) / pairs if pairs else None,
    }
