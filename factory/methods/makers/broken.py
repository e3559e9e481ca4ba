"""Broken turns: what a model writes when it stops being a person in a conversation.

Cheap lexical rules for English and for the chat markers of common models. Limitations: they know the usual ways of
breaking, not all; what reads well but contradicts the persona is left to the score `consistency`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from factory.base.sentences import ends_sentence
from factory.engines import Completion

Fault = Literal[
    "turn_empty", "turn_thought", "turn_marker", "turn_refusal", "turn_repeat", "turn_loop", "turn_truncated"
]

MAX_OVERLAP = 0.9
"""Two turns whose sets of words have a higher Jaccard index are one turn said twice (ours)."""

END = "[END]"
"""What a speaker writes behind its turn, or instead of one, to end the dialogue."""

_END = re.compile(rf"[\s*_`]*{re.escape(END)}[*_`]*", re.IGNORECASE)
_WORD = re.compile(r"\w+")
# The shortest words are left alone: people laugh ("ha ha ha ha") and hesitate.
_LOOP = re.compile(r"\b(\w{3,}|\w+(?:\W+\w+){1,4}?)(?:\W+\1\b){3}", re.IGNORECASE)
_MARKER = re.compile(
    r"<\||\|>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>"
    r"|\[(?:insert|your|user|name|city|country|company)\b[^\]\n]*\]"
    r"|^\W*(?:user|assistant|system|human|bot|ai|you|me|(?:speaker|person|user)\s*[12ab])\W{0,2}:",
    re.IGNORECASE | re.MULTILINE,
)
_ANSWER = ("response", "reply", "answer")
"""What models write before an answer, as if it were a form."""
# What follows "an AI" tells the assistant ("an AI, I ...", "an AI model") from the engineer ("an AI engineer").
_REFUSAL = re.compile(
    r"\b(?:as|i am|i'm|just|only) an? (?:ai|artificial intelligence|(?:\w+ )?language model)\b"
    r"(?=\s*(?:[,.;:!?)]|$|and\b|so\b|i\b|assistant|language|model|chatbot|created|trained|developed|without))"
    r"|\b(?:i can(?:'t|not| not)|i am unable to|i'm unable to|i'm not able to)"
    r" (?:assist|comply|fulfill?|help (?:you )?with (?:that|this|your)|provide (?:that|this|any|information))\b"
    r"|\bi(?:'m| am) sorry, but i can(?:'t|not)"
    r"(?: (?:assist|comply|fulfill?|provide|generate|engage|discuss|continue)\b|[.!]?$)"
    r"|\bmy training data\b|\bmy programming (?:does not|doesn't|prevents|forbids|limits)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Said:
    """What one completion says: the text before any [END], whether it had one, and what is wrong with it."""

    text: str
    ended: bool
    fault: Fault | None


def read(
    completion: Completion, earlier: Sequence[str], own: tuple[str, ...] = (), others: tuple[str, ...] = ()
) -> Said:
    """Read a completion as a turn that follows the `earlier` ones of both speakers. A label before it, of the speaker's
    `own`, is taken off; from a later one on, its own or of the `others`, it is no turn of this speaker any more."""
    labelled = _label((*own, *_ANSWER)).sub("", completion.text.strip(), count=1)
    speech = _line_label((*own, *others)).split(labelled, maxsplit=1) if own or others else [labelled]
    before, *after = _END.split(speech[0], maxsplit=1)
    text, ended = before.strip(), bool(after)
    cut_off = completion.finish_reason == "length" and not ended and len(speech) == 1
    if completion.reasoning is not None and not text and not ended:
        return Said("", False, "turn_thought")
    if not text and len(speech) > 1:
        return Said(labelled, False, "turn_marker")
    return Said(text, ended, _fault(text, cut_off, earlier))


@lru_cache(256)
def _label(names: tuple[str, ...]) -> re.Pattern[str]:
    """One of these names at the very start, as a script has it: before a colon, or in bold or brackets."""
    return re.compile(rf"\A{_labels(names)}", re.IGNORECASE)


@lru_cache(256)
def _line_label(names: tuple[str, ...]) -> re.Pattern[str]:
    """The same at the start of any line."""
    return re.compile(rf"^{_labels(names)}", re.IGNORECASE | re.MULTILINE)


def _labels(names: tuple[str, ...]) -> str:
    one = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return rf"[ \t]*(?:[*_\[(]*(?:{one})[*_\])]*[ \t]*:[*_]*|[*\[(]+(?:{one})[*\])]+)[ \t]*"


def excerpt(text: str) -> str:
    """The beginning of a text, quoted, for a message."""
    return repr(text if len(text) <= 80 else text[:79] + "…")


def _fault(text: str, cut_off: bool, earlier: Sequence[str]) -> Fault | None:  # noqa: PLR0911 -- one case a fault
    words = _words(text)
    if not words:
        return "turn_empty"
    if _MARKER.search(text):
        return "turn_marker"
    if _REFUSAL.search(text.replace("’", "'")):
        return "turn_refusal"
    if any(_overlap(words, _words(other)) > MAX_OVERLAP for other in earlier):
        return "turn_repeat"
    if _LOOP.search(text):
        return "turn_loop"
    if cut_off and not ends_sentence(text):
        return "turn_truncated"
    return None


@lru_cache(4096)  # a turn is read again with each one after it
def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))


def _overlap(words: frozenset[str], others: frozenset[str]) -> float:
    return len(words & others) / len(words | others)
