"""Whether a turn tells anything of its speaker, by its words alone: what is asked before any model is.

Logistic regression over the words, and pairs of neighbouring words, of each sentence that is no question. The weights
lie beside this file, fitted by `factory.training.telling` on Synthetic-Persona-Chat.
Limitations: English; a fact that only the talk around it makes one ("Me too!").
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from factory.base.sentences import split_sentences
from factory.methods.makers.listed import FIRST_PERSON, beginning

WEIGHTS = Path(__file__).with_name("telling.txt")
"""A line for each weight: the number, a tab, and the feature."""

INTERCEPT = ""
"""The feature of every sentence."""

_WORD = re.compile(r"[a-z]+|\d+|[?!]")
_WHOLE = ((re.compile(r"[’`]"), "'"), (re.compile(r"'m\b"), " am"), (re.compile(r"'ve\b"), " have"),
          (re.compile(r"'re\b"), " are"), (re.compile(r"n't\b|\bcannot\b"), " not"))  # fmt: skip
_LONGEST = 15
_OWN = frozenset(("i", "me", "my", "mine", "we", "us", "our", "ours", "myself"))


def telling(turn: str) -> float:
    """The probability that a turn tells a fact of its speaker: that of its most telling sentence."""
    weights = _weights()
    logits = (sum(weights.get(feature, 0.0) for feature in features(words)) for words in statements(turn))
    return max((1 / (1 + math.exp(-logit)) for logit in logits), default=0.0)


def features(words: list[str]) -> set[str]:
    """What the regression knows of a sentence: its words and their pairs, whether it is of the first person, and how
    long it is."""
    found = {INTERCEPT, *words, *(f"{one} {other}" for one, other in pairwise(["^", *words, "$"]))}
    if not _OWN.isdisjoint(words):
        found.add("#own")
    return found | {f"#{length}" for length in range(3, min(len(words), _LONGEST) + 1, 2)}


def statements(turn: str) -> Iterator[list[str]]:
    """The words of each sentence of a turn that is no question."""
    for sentence in split_sentences(turn):
        if words := words_of(sentence):
            yield words


def words_of(sentence: str) -> list[str]:
    """The words of a sentence as the regression knows them; none of a question, unless it begins as a statement does
    ("I ski, do you?")."""
    if "?" in sentence and not beginning(FIRST_PERSON).match(sentence):
        return []
    text = sentence.lower()
    for short, whole in _WHOLE:
        text = short.sub(whole, text)
    return ["0" if word.isdigit() else word for word in _WORD.findall(text)]


@cache
def _weights() -> dict[str, float]:
    lines = (line.partition("\t") for line in WEIGHTS.read_text(encoding="utf-8").splitlines())
    return {feature: float(weight) for weight, _, feature in lines}
