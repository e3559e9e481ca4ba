"""Expand: new facts, written by a language model, that fit the seed persona.

The rule by which Synthetic-Persona-Chat assembles profiles (Jandaghi et al., arXiv 2312.10007) decides which stay: no
near duplicate of a held fact by embedding cosine, and no contradiction with one. There a language model writes
negations for an entailment model; here a three-way NLI model is asked in both directions. A speaker may end up with
fewer facts than asked for, never with a contradictory one the NLI model can see; that is no failure. Limitations: facts
are checked against the speaker's own, not for plausibility.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from factory.base.sentences import split_sentences
from factory.engines import Message, Request, Sampling
from factory.methods import (
    Calls,
    EmbeddingModelName,
    Kit,
    LanguageModelName,
    ModelKind,
    NliModelName,
    Params,
    completing,
    together,
)
from factory.methods.makers.compatible import compatible
from factory.methods.makers.listed import FIRST_PERSON, any_text, beginning, facts_in, facts_schema
from factory.methods.prompts import bundled, render
from factory.store.records import Fact, Row, Speaker, is_opened

_SAMPLING = Sampling(max_tokens=128)


class ExpandParams(Params):
    """Parameters of `expand`."""

    method: Literal["expand"] = Field("expand", description="The method.")
    count: int = Field(3, ge=1, description="New facts per speaker.")
    max_similarity: float = Field(
        0.9,
        ge=0,
        le=1,
        description="A fact whose embedding cosine with a held fact is above this is a near duplicate, and dropped "
        "(Synthetic-Persona-Chat, arXiv 2312.10007).",
    )
    contradiction: float = Field(
        0.5,
        ge=0,
        le=1,
        description="A fact is dropped if P(contradiction) with a held fact is above this in either direction; the "
        "two-way check is Synthetic-Persona-Chat's, the value ours.",
    )
    begins: tuple[str, ...] = Field(
        FIRST_PERSON,
        min_length=1,
        description="What a new fact must begin with, in upper or lower case. Another language has others.",
    )
    attempts: int = Field(2, ge=1, description="Calls per speaker, as long as facts are missing.")
    prompt: str | None = Field(None, description="Template file, relative to the job file; the bundled one by default.")
    model: LanguageModelName = Field("writer", description="The language model that writes them.")
    nli: NliModelName = Field("nli", description="The NLI model that checks them.")
    embedding: EmbeddingModelName = Field("embedding", description="The embedding model that finds near duplicates.")
    sampling: Annotated[Sampling, BeforeValidator(completing(_SAMPLING))] = Field(
        _SAMPLING, description="How facts are sampled; fields left out keep this maker's defaults."
    )


class Expand:
    """Adds facts of origin `expand`.

    >>> from factory.methods.example import dialogue, made
    >>> answers = '{"facts": ["I sail."]}', '{"facts": ["I sing.", "I never work at night."]}'
    >>> row = made(Expand, dialogue(), *answers, count=2, attempts=1)
    >>> [speaker.facts_of("expand") for speaker in row.speakers]
    [['I sail.'], ['I sing.']]
    """

    name = "expand"
    version = 3
    Params = ExpandParams
    variables = frozenset({"facts", "count"})
    reads = frozenset({"facts.seed"})
    writes = frozenset({"facts.expand"})
    of_imported = False
    donors = 0

    def __init__(self, params: ExpandParams) -> None:
        self.params = params
        self.template = params.prompt or bundled("expand")

    @property
    def needs(self) -> frozenset[ModelKind]:
        """The language model writes, the other two check."""
        return frozenset({"language", "nli", "embedding"})

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """One for each speaker, and more where too few of the proposed facts fit."""
        return np.full_like(turns, 2), np.full_like(turns, 2 * self.params.attempts)

    @staticmethod
    def clear(row: Row) -> None:
        """Take the expanded facts off the row."""
        for speaker in row.speakers:
            speaker.facts = [fact for fact in speaker.facts if fact.origin != "expand"]

    async def run(self, row: Row, kit: Kit) -> None:
        """Add up to `count` facts to each speaker, both speakers at once. Raises RequestError and EngineDeadError."""
        self.clear(row)
        await together(self._expand(speaker, kit) for _, speaker in _holding(row))

    def messages(self, facts: list[str], count: int) -> tuple[Message, ...]:
        """The prompt for `count` facts beside those given."""
        return render(self.template, facts=facts, count=count)

    def prompts(self, row: Row) -> Iterator[tuple[str, tuple[Message, ...]]]:
        """What each call was for, and what it was sent; of a speaker's calls the first."""
        for number, speaker in _holding(row):
            yield f"speaker {number}", self.messages(speaker.facts_of("seed"), self.params.count)

    async def _expand(self, speaker: Speaker, kit: Kit) -> None:
        seed = speaker.facts_of("seed")
        new: list[str] = []
        for _ in range(self.params.attempts):
            missing = self.params.count - len(new)
            if not missing:
                break
            schema = facts_schema(any_text(self.params.begins), missing, missing)
            request = Request(self.messages(seed + new, missing), self.params.sampling, json_schema=schema)
            reply = await kit.engine.generate(request)
            shown = [message["content"] for message in request.messages]
            proposed = [
                fact
                for fact, whole in facts_in(reply.completions[0], bulleted=True)
                if whole and self._states(fact) and not any(fact in text for text in shown)
            ]
            fitting = await compatible(proposed, seed + new, kit, self.params.max_similarity, self.params.contradiction)
            new += [proposed[index] for index in fitting[:missing]]
        speaker.facts += [Fact(text, "expand", speaker.seed_id) for text in new]

    def _states(self, fact: str) -> bool:
        return beginning(self.params.begins).match(fact) is not None and len(split_sentences(fact)) == 1


def _holding(row: Row) -> list[tuple[int, Speaker]]:
    """The speakers, by number, but for who asks an opening: nobody of the seeds."""
    return list(enumerate(row.speakers))[1 if is_opened(row) else 0 :]
