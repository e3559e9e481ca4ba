"""Naturalness: signs of bad talk that consistency does not see, each a column of its own; asks no model.

Drift into another language or into none (py3langid, a naive Bayes over byte n-grams), a speaker that loops, takes over
what the partner said, recites its persona, or talks like an assistant. A filter that knows contradiction alone accepts
all of these. Limitations: a column says how bad the worst turn is, so thresholds belong to a register, to be found on
talk that one trusts; assistants' phrases are English; shuffled words and replies to nothing are not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from factory.methods import Calls, Column, Kit, ModelKind, Params, Scored
from factory.methods.signs import WORD, alike, is_assistants, pairs_of_words, recited
from factory.store.records import Detail, Row

_VALUES = ("language", "loop", "parroting", "recital", "assistant")
_LEAST_WORDS, _LEAST_LETTERS = 5, 12
"""Words, or letters of other scripts than Latin, of a turn whose language can be told: of 1,370 turns of
Synthetic-Persona-Chat with five words none has P(English) below 0.1, of those with four 0.2 %."""


class NaturalnessParams(Params):
    """Parameters of `naturalness`."""

    method: Literal["naturalness"] = Field("naturalness", description="The method.")
    language: str = Field("en", min_length=2, description="The language of the talk, by its ISO 639-1 code.")


class Naturalness:
    """Measures the worst turn of a dialogue, in five ways.

    `language` is the probability that a turn is in the language of the job; `loop` how far its pairs of words are those
    of an earlier turn of its speaker (Dice); `parroting` the same with the partner's turn before it; `recital` the
    share of the speaker's given and expanded facts that it states, beyond the first; `assistant` whether it has a
    phrase of assistants. Turns of fewer than four words repeat nothing.

    >>> from factory.methods.example import dialogue, scored
    >>> row = dialogue()
    >>> row.turns[2].text = "I sew. How can I help you today?"
    >>> found = scored(Naturalness, row).values
    >>> {name: round(value, 2) for name, value in found.items()}
    {'language': 0.98, 'loop': 0.0, 'parroting': 0.0, 'recital': 0.0, 'assistant': 0.33}
    """

    name = "naturalness"
    version = 1
    Params = NaturalnessParams
    reads = frozenset({"turns", "facts.seed", "facts.expand"})
    columns = (
        Column(
            "language",
            "double",
            "Lowest probability that a turn of five words or more is in the language of the job; 1 if all are shorter.",
            0,
            1,
            "higher",
        ),
        Column(
            "loop",
            "double",
            "Highest share of pairs of words that a turn and an earlier one of its speaker have in common (Dice).",
            0,
            1,
            "lower",
        ),
        Column(
            "parroting",
            "double",
            "Highest share of pairs of words that a turn and the partner's before it have in common (Dice).",
            0,
            1,
            "lower",
        ),
        Column(
            "recital",
            "double",
            "Highest share of a speaker's facts, of three or more, that one turn states, but for the first of them.",
            0,
            1,
            "lower",
        ),
        Column("assistant", "double", "Share of the turns with a phrase of assistants.", 0, 1, "lower"),
    )
    details: ClassVar = {"turn": _VALUES}

    def __init__(self, params: NaturalnessParams) -> None:
        self.params = params

    @property
    def needs(self) -> frozenset[ModelKind]:
        """No model."""
        return frozenset()

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """None."""
        each = np.zeros_like(turns)
        return each, each

    async def score(self, row: Row, kit: Kit) -> Scored:  # noqa: ARG002
        """Measure each turn; of the dialogue the worst counts."""
        if not row.turns:
            return Scored(missing="input_missing")
        said = [pairs_of_words(turn.text) for turn in row.turns]
        found = [
            (
                _probability(turn.text, self.params.language),
                max((alike(said[number], said[other]) for other in _own_before(row, number)), default=0.0),
                alike(said[number], said[number - 1]) if number else 0.0,
                recited(turn.text, row.speakers[turn.speaker].facts_of("seed", "expand")),
                float(is_assistants(turn.text)),
            )
            for number, turn in enumerate(row.turns)
        ]
        language, loop, parroting, recital, assistant = zip(*found, strict=True)
        return Scored(
            {
                "language": min((one for one in language if one is not None), default=1.0),
                "loop": max(loop),
                "parroting": max(parroting),
                "recital": max(recital),
                "assistant": sum(assistant) / len(assistant),
            },
            [
                Detail(self.name, "turn", list(values), row.turns[number].speaker, number)
                for number, values in enumerate(found)
            ],
        )


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _probability(text: str, language: str) -> float | None:
    """How probable it is that a text is in a language; none where it is too short to tell."""
    other = sum(letter.isalpha() and letter > "ɏ" for letter in text)
    if len(WORD.findall(text)) < _LEAST_WORDS and other < _LEAST_LETTERS:
        return None
    return next((float(one[1]) for one in _identifier().rank(text) if one[0] == language), 0.0)


def _own_before(row: Row, number: int) -> Iterator[int]:
    speaker = row.turns[number].speaker
    return (other for other in range(number) if row.turns[other].speaker == speaker)
