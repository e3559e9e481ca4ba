"""Expand personas: new people from a person or a text, as Persona Hub makes its billion (arXiv 2406.20094).

Persona to persona asks who is in some relationship with the person of a seed; six rounds of that after text to persona
are Persona Hub's. Text to persona asks who would read, write, like or dislike a text: the seed is a document then, of
which the sentences are the seed's facts. Each row is one new persona, and `pairing.samples` is how many each seed gets;
a round more is another job on this one's corpus. Of its two gates against duplicates, both at 0.9, the words' MinHash
over all rows is the pass `near_duplicates`; the embeddings' cosine is taken here, between a persona and its parent.
Limitations: personas of different parents are not compared by embedding; what a person is to another is drawn, not
chosen to suit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from factory.base.fingerprint import blake
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
)
from factory.methods.makers.broken import excerpt
from factory.methods.makers.compatible import compatible
from factory.methods.makers.listed import FIRST_PERSON, any_text, beginning, facts_in, facts_schema
from factory.methods.prompts import bundled, render
from factory.store.records import Fact, Row, RowError

_SAMPLING = Sampling(max_tokens=256)
_OF_PERSONA = (
    "a colleague", "a parent", "a close friend", "a neighbour", "a customer", "a teacher", "a brother or sister",
    "a rival", "a child", "a patient or client", "a partner", "a former classmate",
)  # fmt: skip
_OF_TEXT = ("read", "write", "like", "dislike", "be helped by", "be asked about")


class ExpandPersonasParams(Params):
    """Parameters of `expand_personas`."""

    method: Literal["expand_personas"] = Field("expand_personas", description="The method.")
    of: Literal["persona", "text"] = Field(
        "persona", description="What a seed is: a person, or a text whose sentences are its facts."
    )
    relations: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (),
        description="What the new person is to the other (a colleague), or would do with the text (read); the samples "
        "of a seed take them in turn, from one that is drawn. Twelve of persons and six of texts unless set (ours).",
    )
    count: int = Field(5, ge=1, description="Facts of the new persona.")
    least: int = Field(2, ge=1, description="Facts without which it is no persona (ours).")
    max_similarity: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Greatest embedding cosine of the persona with its parent, and of two of its facts (Persona Hub).",
    )
    contradiction: float = Field(
        0.5,
        ge=0,
        le=1,
        description="A fact is dropped if P(contradiction) with one before it is above this, either way round (ours).",
    )
    begins: tuple[str, ...] = Field(
        FIRST_PERSON,
        min_length=1,
        description="What a fact must begin with, in upper or lower case. Another language has others.",
    )
    attempts: int = Field(3, ge=1, description="Calls per persona, until one is a persona and no copy.")
    prompt: str | None = Field(None, description="Template file, relative to the job file; the bundled one by default.")
    model: LanguageModelName = Field("writer", description="The language model that writes them.")
    nli: NliModelName = Field("nli", description="The NLI model that finds contradictions.")
    embedding: EmbeddingModelName = Field("embedding", description="The embedding model that finds copies.")
    sampling: Annotated[Sampling, BeforeValidator(completing(_SAMPLING))] = Field(
        _SAMPLING, description="How personas are sampled; fields left out keep this maker's defaults."
    )


class ExpandPersonas:
    """Makes a speaker anew: facts of origin `expand_personas`, with the relation to the parent as their `dimension`.

    What the parent says stands in the row's `donors`. After all attempts a row becomes a dead letter, `persona_facts`
    where too few facts could be kept, or `persona_copy` where it is too much like its parent.

    >>> from factory.methods.example import dialogue, made
    >>> row = dialogue()
    >>> row.speakers, row.donors = row.speakers[:1], [[Fact("I ski.", "seed", "a")]]
    >>> row.speakers[0].facts = []
    >>> answer = '{"facts": ["I teach skiing.", "I never teach skiing.", "I have two sons."]}'
    >>> made(ExpandPersonas, row, answer, relations=["a teacher"]).speakers[0].facts_of("expand_personas")
    ['I teach skiing.', 'I have two sons.']
    """

    name = "expand_personas"
    version = 1
    Params = ExpandPersonasParams
    variables = frozenset({"of", "facts", "relation", "count"})
    reads = frozenset({"facts.seed"})
    writes = frozenset({"facts.expand_personas"})
    of_imported = False
    donors = 0
    personas: Literal["new"] = "new"

    def __init__(self, params: ExpandPersonasParams) -> None:
        self.params = params
        self.template = params.prompt or bundled("expand_personas")
        self._relations = params.relations or (_OF_PERSONA if params.of == "persona" else _OF_TEXT)

    @property
    def needs(self) -> frozenset[ModelKind]:
        """The language model writes, the other two check."""
        return frozenset({"language", "nli", "embedding"})

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """One for each speaker, and more where what is proposed is no persona or a copy."""
        return np.full_like(turns, 2), np.full_like(turns, 2 * self.params.attempts)

    @staticmethod
    def clear(row: Row) -> None:
        """Take the facts off the row."""
        for speaker in row.speakers:
            speaker.facts = [fact for fact in speaker.facts if fact.origin != "expand_personas"]

    async def run(self, row: Row, kit: Kit) -> None:
        """Make each speaker, from the facts at its place in `donors`. Raises RowError (`persona_facts`,
        `persona_copy`), RequestError and EngineDeadError."""
        self.clear(row)
        for number, speaker in enumerate(row.speakers):
            relation, parent = self._relation(row, number), [fact.text for fact in row.donors[number]]
            facts = await self._person(self._messages(parent, relation), parent, kit)
            origin, seed = "expand_personas", speaker.seed_id
            speaker.facts += [Fact(text, origin, seed, dimension=relation) for text in facts]

    def prompts(self, row: Row) -> Iterator[tuple[str, tuple[Message, ...]]]:
        """What each call was for, and what it was sent; of several attempts the first."""
        for number, parent in enumerate(row.donors):
            yield f"speaker {number}", self._messages([fact.text for fact in parent], self._relation(row, number))

    def _relation(self, row: Row, number: int) -> str:
        """The relation of a sample: all that there are come in turn before one comes again."""
        first = int(blake("relation", row.speakers[number].seed_id)[:13], 16)
        return self._relations[(first + row.sample) % len(self._relations)]

    def _messages(self, facts: list[str], relation: str) -> tuple[Message, ...]:
        return render(self.template, of=self.params.of, facts=facts, relation=relation, count=self.params.count)

    async def _person(self, messages: tuple[Message, ...], parent: list[str], kit: Kit) -> list[str]:
        least, most = min(self.params.least, self.params.count), self.params.count
        schema = facts_schema(any_text(self.params.begins), least, most)
        request, begun = Request(messages, self.params.sampling, json_schema=schema), beginning(self.params.begins)
        reason = detail = ""
        for _ in range(self.params.attempts):
            said = (await kit.engine.generate(request)).completions[0]
            proposed = [fact for fact, whole in facts_in(said, bulleted=True) if whole and begun.match(fact)]
            fitting = await compatible(proposed, [], kit, self.params.max_similarity, self.params.contradiction)
            facts = [proposed[place] for place in fitting[:most]]
            if len(facts) < least:
                reason, detail = "persona_facts", f"{len(facts)} facts could be kept of {excerpt(said.text)}"
                continue
            own, other = await kit.embedder.encode([" ".join(facts), " ".join(parent)])
            if float(own @ other) <= self.params.max_similarity:
                return facts
            reason, detail = "persona_copy", f"it is too much like its parent: {excerpt(' '.join(facts))}"
        raise RowError(reason, detail, self.params.attempts)
