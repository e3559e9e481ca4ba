"""Questions: how often speakers ask, and how often they repeat their own words.

See et al. (NAACL 2019, arXiv 1902.08654) control how much a model asks and repeats itself, and people prefer the
conversations that come of it; both measures are theirs. Limitations: a question is told by its mark, in the scripts
that have one; words are what spaces and punctuation part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from factory.methods import Calls, Column, Kit, ModelKind, Params, Scored
from factory.store.records import Detail, Row

_QUESTION = re.compile("[?？؟]")
_WORD = re.compile(r"\w+(?:['’]\w+)*")


class QuestionsParams(Params):
    """Parameters of `questions`."""

    method: Literal["questions"] = Field("questions", description="The method.")


class Questions:
    """Measures how often speakers ask, and how often they repeat themselves; asks no model.

    >>> from factory.methods.example import dialogue, scored
    >>> found = scored(Questions, dialogue())
    >>> {name: round(value, 2) for name, value in found.values.items()}
    {'question_rate': 0.33, 'own_repetition': 0.0}
    """

    name = "questions"
    version = 1
    Params = QuestionsParams
    reads = frozenset({"turns"})
    columns = (
        Column("question_rate", "double", "Share of the turns that ask a question (See et al., NAACL 2019).", 0, 1),
        Column(
            "own_repetition",
            "double",
            "Share of the bigrams of speakers' later turns that they have said in an earlier one (external repetition "
            "in See et al., NAACL 2019); null where nobody speaks twice.",
            0,
            1,
            "lower",
        ),
    )
    details: ClassVar = {"speaker": ("question_rate", "own_repetition")}

    def __init__(self, params: QuestionsParams) -> None:
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
        """Measure the turns of both speakers together, and of each by itself."""
        if not row.turns:
            return Scored(missing="input_missing")
        said = [[turn.text for turn in row.turns if turn.speaker == one] for one in range(len(row.speakers))]
        repeated = [list(_repeated(texts)) for texts in said]
        return Scored(
            {
                "question_rate": _share(_asks(turn.text) for turn in row.turns),
                "own_repetition": _share(again for own in repeated for again in own),
            },
            [
                Detail(self.name, "speaker", [_share(map(_asks, texts)), _share(own)], speaker=speaker)
                for speaker, (texts, own) in enumerate(zip(said, repeated, strict=True))
            ],
        )


def _asks(text: str) -> bool:
    return _QUESTION.search(text) is not None


def _repeated(texts: list[str]) -> Iterator[bool]:
    """For each bigram of the second turn and those after it, whether the speaker has said it before."""
    before: set[tuple[str, str]] = set()
    for place, text in enumerate(texts):
        bigrams = list(pairwise(_WORD.findall(text.casefold())))
        if place:
            yield from (bigram in before for bigram in bigrams)
        before.update(bigrams)


def _share(found: Iterable[bool]) -> float | None:
    """The share that holds; none of none."""
    held = list(found)
    return sum(held) / len(held) if held else None
