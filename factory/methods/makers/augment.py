"""Augment: distractor facts from other speakers, marked as such (PPDS, arXiv 2412.09034, NAACL 2025).

Extracted facts are all relevant to the reply they come from, so a model trained on them never sees an irrelevant one:
PPDS's "invalid persona bias". Its remedy is distractors; how it chooses them, how many and how often is not
published, so those are parameters here, with defaults of ours. Donors are drawn when rows are planned, three for each
distractor that may be placed; those are taken that fit by the rule of `expand`. Limitations: a distractor is irrelevant
by chance, not by check: it fits the persona and may suit the talk.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from factory.methods import Calls, EmbeddingModelName, Kit, ModelKind, NliModelName, Params, draw
from factory.methods.makers.compatible import compatible
from factory.store.records import Fact, Row, is_opened


class AugmentParams(Params):
    """Parameters of `augment`."""

    method: Literal["augment"] = Field("augment", description="The method.")
    probability: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of dialogues that get distractors. PPDS states none; its 211M augmented for 189M plain "
        "samples would be 0.116.",
    )
    count: int = Field(2, ge=1, description="Most distractors per speaker; one to so many are drawn (ours).")
    max_similarity: float = Field(
        0.9,
        ge=0,
        le=1,
        description="A fact whose cosine with a held fact is above this is no distractor (threshold of "
        "Synthetic-Persona-Chat, arXiv 2312.10007).",
    )
    contradiction: float = Field(
        0.5,
        ge=0,
        le=1,
        description="A fact is no distractor if P(contradiction) with a held fact, either way round, is above (ours).",
    )
    nli: NliModelName = Field("nli", description="The NLI model that checks them.")
    embedding: EmbeddingModelName = Field("embedding", description="The embedding model that finds near duplicates.")


_DONORS_PER_DISTRACTOR = 3
"""Donors drawn for each distractor that may be placed, since some will contradict."""


class Augment:
    """Adds facts of origin `augment`, with the seed they are taken from.

    A row is drawn with `probability`; each speaker then gets one to `count` donors, or fewer where too few fit.

    >>> from factory.methods.example import dialogue, made
    >>> row = dialogue()
    >>> row.donors = [[Fact("I never ski.", "seed", "c"), Fact("I own a boat.", "seed", "d")], []]
    >>> made(Augment, row, probability=1).speakers[0].facts_of("augment")
    ['I own a boat.']
    """

    name = "augment"
    version = 2
    Params = AugmentParams
    reads = frozenset({"facts.seed", "facts.expand", "facts.extract"})
    writes = frozenset({"facts.augment"})
    of_imported = True

    def __init__(self, params: AugmentParams) -> None:
        self.params = params

    @property
    def needs(self) -> frozenset[ModelKind]:
        """Both judge whether a distractor fits."""
        return frozenset({"nli", "embedding"})

    @property
    def donors(self) -> int:
        """A few for each distractor that may be placed."""
        return self.params.count * _DONORS_PER_DISTRACTOR

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """A batch of pairs for each speaker, or none where the row is not drawn or has no donors."""
        return np.zeros_like(turns), np.full_like(turns, 2)

    @staticmethod
    def clear(row: Row) -> None:
        """Take the distractors off the row."""
        for speaker in row.speakers:
            speaker.facts = [fact for fact in speaker.facts if fact.origin != "augment"]

    async def run(self, row: Row, kit: Kit) -> None:
        """Give the row distractors, if it is drawn; fewer than drawn where too few donors fit."""
        self.clear(row)
        if draw(row, "augment") >= self.params.probability:
            return
        for number, (speaker, donors) in enumerate(zip(row.speakers, row.donors, strict=True)):
            if number == 0 and is_opened(row):  # nobody of the seeds
                continue
            wanted = 1 + int(draw(row, f"distractors of {number}") * self.params.count)
            fitting = await compatible(
                [donor.text for donor in donors],
                [fact.text for fact in speaker.facts],
                kit,
                self.params.max_similarity,
                self.params.contradiction,
            )
            chosen = [donors[index] for index in fitting[:wanted]]
            speaker.facts += [Fact(donor.text, "augment", donor.source_id) for donor in chosen]
