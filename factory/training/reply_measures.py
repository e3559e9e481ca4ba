"""What replies are worth: the words they share with people's, and what they say of a persona.

Limitations: English; the errors of an NLI model are part of the C score, whichever persona the model was shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from factory.methods.scores.consistency import verdict
from factory.scorers.nli import Probabilities

_PUNCTUATION = re.compile(r"""[!"#$%&()*+,\-./:;<=>?@\[\]\\^`{|}~_']""")
_ARTICLES = frozenset({"a", "an", "the"})
_WORTH = {"entailment": 1, "neutral": 0, "contradiction": -1}


def token_f1(reply: str, true: str) -> float:
    """The harmonic mean of the shares of words that either has of the other, without case, punctuation and articles:
    the F1 of ConvAI2, as ParlAI computes it (Dinan et al., arXiv 1902.00098)."""
    one, other = (Counter(_words(text)) for text in (reply, true))
    same = (one & other).total()
    return 2 * same / (one.total() + other.total()) if same else 0.0


def _words(text: str) -> list[str]:
    return [word for word in _PUNCTUATION.sub(" ", text.lower()).split() if word not in _ARTICLES]


class Held(NamedTuple):
    """What a reply says of the facts of a persona: `c` is the sum over the facts of +1 where it is entailed, 0, and -1
    where it contradicts (the C score of one utterance, PAML, Madotto et al., ACL 2019); whether any fact entails it,
    and whether it contradicts any (Entail@1 and Contradict@1, Welleck et al., ACL 2019)."""

    c: int
    entailed: bool
    contradicted: bool


def held(found: Sequence[Probabilities]) -> Held:
    """By what NLI makes of each fact (the premise) and the reply."""
    labels = [verdict(one) for one in found]
    return Held(sum(_WORTH[one] for one in labels), "entailment" in labels, "contradiction" in labels)
