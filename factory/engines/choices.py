"""Which choice an answer is, how probable each is, and completions that are drawn by these probabilities.

The model's own probabilities are those with which each choice comes out if nothing else may. Limitations: a server
shows the alternatives of one token, so its probabilities are those of how an answer begins: one that begins like a
choice counts as that choice. What it does not show is left out where it is a thousandth or less.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import accumulate
from random import Random

from factory.engines import Completion, Request

_ENDS = ".,;:!?…。！？ \n\t"
"""What may follow a choice in an answer, and does not change which one it is."""

_UNKNOWN = 0.001
"""Largest share of the choices' probability that may be missing in what a server shows."""

JSON_FIELD = "answer"
"""Where the choice stands in an answer that was asked for as JSON."""


def find(text: str, choices: Sequence[str]) -> int | None:
    """The place of the choice that an answer is, whatever its case and final punctuation; none if it is none of them,
    or could be two."""
    for said in (text.strip(), _unwrapped(text).strip()):
        if said in choices:
            return choices.index(said)
    found = [place for place, choice in enumerate(choices) if _plain(choice) == _plain(said)]
    return found[0] if len(found) == 1 else None


def counted(texts: Sequence[str], choices: Sequence[str]) -> tuple[float, ...] | None:
    """The choices' shares of those answers that are choices; none if no answer is one."""
    found = Counter(place for text in texts if (place := find(text, choices)) is not None)
    return tuple(found[place] / found.total() for place in range(len(choices))) if found else None


def begun(first: Sequence[tuple[str, float]], choices: Sequence[str]) -> tuple[float, ...] | None:
    """The choices' probabilities by the likeliest first tokens of an answer, with their log probabilities; none where
    these leave more than a thousandth open."""
    masses, left_open = [0.0] * len(choices), 0.0
    for token, logprob in first:
        fitting = _beginning(token.lstrip(), choices)
        if len(fitting) == 1:
            masses[fitting[0]] += math.exp(logprob)
        elif fitting:
            left_open += math.exp(logprob)
    total = sum(masses)
    # A token that is not shown is no likelier than the last one that is.
    left_open += masses.count(0.0) * math.exp(min((logprob for _, logprob in first), default=0.0))
    return tuple(mass / total for mass in masses) if total and left_open <= _UNKNOWN * total else None


def drawn(request: Request, probabilities: Sequence[float], tokens: int, chance: Random) -> tuple[Completion, ...]:
    """The request's `n` completions, drawn by the probabilities of its choices as its sampling says. `tokens` is what
    was generated to know them: each has a share."""
    sampling, top = request.sampling, max(probabilities)
    order = sorted(range(len(probabilities)), key=lambda place: -probabilities[place])
    order = order[: 1 if sampling.temperature == 0 else sampling.top_k or None]
    weights = [(probabilities[place] / top) ** (1 / (sampling.temperature or 1)) for place in order]
    before = accumulate(weights, initial=0.0)
    kept = sum(mass < (sampling.top_p or 1) * sum(weights) for mass, _ in zip(before, weights, strict=False))
    picked = chance.choices(order[:kept], weights[:kept], k=request.n)
    return tuple(
        Completion(request.choices[place], share, "stop", place)
        for place, share in zip(picked, shares(tokens, request.n), strict=True)
    )


def shares(tokens: int, number: int) -> list[int]:
    """Tokens that were counted together, as that many whole shares."""
    return [(tokens + place) // number for place in range(number)]


def _unwrapped(text: str) -> str:
    with suppress(ValueError):
        value = json.loads(text)
        value = value.get(JSON_FIELD) if isinstance(value, dict) else value
        if isinstance(value, str):
            return value
    return text


def _plain(text: str) -> str:
    return text.rstrip(_ENDS).casefold() or text


def _beginning(token: str, choices: Sequence[str]) -> list[int]:
    """The choices that an answer with this first token may be, by case if that is enough to tell."""
    exact = [place for place, choice in enumerate(choices) if choice.startswith(token)]
    if len(exact) == 1:
        return exact
    return [place for place, choice in enumerate(choices) if choice.casefold().startswith(token.casefold())]
