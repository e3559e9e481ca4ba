"""Signs of bad talk in one turn, by its words: it repeats another, recites the persona, or is an assistant's.

What the score `naturalness` measures, and what `converse` asks again for. Limitations: assistants' phrases are English.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from factory.base.words import content

WORD = re.compile(r"\w+(?:['’]\w+)*")
PARROTS, RECITES = 0.75, 0.7
"""From which on a turn is taken for a copy of the one before it, and for a recital (benchmarks/README.md,
planted faults). Another turn costs little, so the second is lower than that by which jobs flag."""
_LOOP_WORDS = 4
"""Words of a turn that can be said to repeat another: people say "thank you" twice."""
_FACTS = 3
"""Facts of a speaker who can recite them."""
_STATED = 0.6
"""Share of a fact's content words that a turn has which states it."""
_ASSISTANT = re.compile(
    r"\b(?:how (?:can|may) i (?:help|assist)|(?:here|ready) to (?:help|assist)|(?:happy|glad) to assist|"
    r"(?:can|may) i (?:help|assist) you|assist you (?:today|with)|help you today|feel free to (?:ask|reach|let|share)|"
    r"let me know if you (?:need|have|want|would)|if you have any (?:more |other |further )?(?:questions|concerns)|"
    r"anything else (?:i can|you(?:'d| would) like|you need)|"
    r"(?:as|i'm|i am) an? (?:virtual assistant|chatbot|(?:large )?language model|"
    r"ai(?= (?:language )?(?:model|assistant)|\s*[,.;!]))|that(?:'s| is) an? (?:great|good|excellent) question|"
    r"thank you for (?:reaching out|sharing)|i understand (?:that )?you(?:'re| are)|here are (?:some|a few)|"
    r"certainly[!,]|it(?:'s| is) important to (?:note|remember))",
    re.IGNORECASE,
)


def pairs_of_words(text: str) -> frozenset[tuple[str, str]]:
    """The pairs of words that follow each other; none of a text that is too short to repeat another."""
    words = WORD.findall(text.casefold())
    return frozenset(pairwise(words)) if len(words) >= _LOOP_WORDS else frozenset()


def alike(pairs: frozenset[tuple[str, str]], others: frozenset[tuple[str, str]]) -> float:
    """Dice's coefficient of two sets of pairs."""
    return 2 * len(pairs & others) / (len(pairs) + len(others)) if pairs and others else 0.0


def recited(text: str, facts: Sequence[str]) -> float:
    """The share of the facts that a text states, but for the first of them, which is what people do; times the share of
    its content words that are theirs, since people say more beside."""
    if len(facts) < _FACTS:
        return 0.0
    said = content(text)
    stated = [words for fact in facts if _states(said, words := content(fact))]
    if len(stated) < 2:
        return 0.0
    return (len(stated) - 1) / (len(facts) - 1) * len(said & set().union(*stated)) / len(said)


def _states(said: set[str], fact: set[str]) -> bool:
    return bool(fact) and len(said & fact) / len(fact) >= _STATED


def is_assistants(text: str) -> bool:
    """Whether a text has a phrase of assistants."""
    return _ASSISTANT.search(text) is not None


def is_suspect(text: str, before: str, facts: Sequence[str]) -> bool:
    """Whether a turn that answers `before` shows a sign of bad talk, for a speaker with these facts."""
    copies = alike(pairs_of_words(text), pairs_of_words(before)) > PARROTS
    return copies or recited(text, facts) > RECITES or is_assistants(text)
