"""Extract: the facts that each turn reveals about its speaker, or none (PPDS, arXiv 2412.09034, NAACL 2025).

As in PPDS, extraction is cast as writing: utterance in, facts or `[None]` out, in a strict format, through four cheap
gates; what passes is merged per speaker. PPDS fine-tunes a T5 for it; here a language model is asked. Every line it
wrote stays on the row with the gate that stopped it, since precision at scale is the method's point. Limitations: facts
that need more than the one turn to be understood; PPDS's set of relations is not known to us.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from factory.base.sentences import split_sentences
from factory.engines import Completion, Message, Request, Sampling
from factory.methods import Calls, EmbeddingModelName, Kit, LanguageModelName, ModelKind, Params, completing, together
from factory.methods.makers.triples import RELATIONS, as_sentence, relation_name
from factory.methods.prompts import bundled, render
from factory.store.records import Extraction, Fact, Row

_SAMPLING = Sampling(temperature=0, max_tokens=96)
_BULLET = re.compile(r"^(?:[-*•]|\d+[.)])\s+")
_NONE = re.compile(r"\W*none\W*", re.IGNORECASE)
_STATEMENT = re.compile(r"(?:I|My|We|Our)\b(?:['’]\w+)?\s+\w[^?]*", re.IGNORECASE)
"""In the first person, more than the pronoun, and no question."""


class ExtractParams(Params):
    """Parameters of `extract`."""

    method: Literal["extract"] = Field("extract", description="The method.")
    form: Literal["sentence", "triple"] = Field(
        "sentence", description="sentence: first-person sentences; triple: subject | relation | object, as in PPDS."
    )
    relations: tuple[str, ...] = Field(
        RELATIONS, min_length=1, description="Relations that triples may have (PPDS has such a set; this one is ours)."
    )
    max_subject_tokens: int = Field(
        5, ge=1, description="Longest subject of a triple, in words (PPDS, arXiv 2412.09034)."
    )
    min_similarity: float = Field(
        0.1, ge=-1, le=1, description="Least embedding cosine of a fact and its utterance (PPDS, arXiv 2412.09034)."
    )
    merge_similarity: float = Field(
        0.9, ge=0, le=1, description="Facts of one speaker with a higher cosine are one fact; the first stays (ours)."
    )
    prompt: str | None = Field(None, description="Template file, relative to the job file; the bundled one without it.")
    model: LanguageModelName = Field("writer", description="The language model that reads them off the turns.")
    embedding: EmbeddingModelName = Field(
        "embedding", description="The embedding model of the last gate and of merging."
    )
    sampling: Annotated[Sampling, BeforeValidator(completing(_SAMPLING))] = Field(
        _SAMPLING, description="How facts are sampled; fields left out keep this maker's defaults."
    )


class Extract:
    """Fills `extracted`, and adds facts of origin `extract`, each with the turn it was read off.

    One request a turn. The gates are `format`, `relation` (triples: one of a fixed set), `subject_length` (triples) and
    `similarity` (of fact and utterance).

    >>> from factory.methods.example import dialogue, made
    >>> row = made(Extract, dialogue(), "[None]", "- I sew.\\n- Do I?", "- I ski a lot.")
    >>> [(line.turn, line.text, line.gate) for line in row.extracted]
    [(1, 'I sew.', 'accepted'), (1, 'Do I?', 'format'), (2, 'I ski a lot.', 'accepted')]
    """

    name = "extract"
    version = 3
    Params = ExtractParams
    variables = frozenset({"utterance", "form", "relations"})
    reads = frozenset({"turns"})
    writes = frozenset({"facts.extract", "extracted"})
    of_imported = True
    donors = 0

    def __init__(self, params: ExtractParams) -> None:
        self.params = params
        self.template = params.prompt or bundled("extract")

    @property
    def needs(self) -> frozenset[ModelKind]:
        """The language model reads, the embedder checks."""
        return frozenset({"language", "embedding"})

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """One for each turn."""
        return turns, turns

    @staticmethod
    def clear(row: Row) -> None:
        """Take the written lines and the extracted facts off the row."""
        row.extracted = []
        for speaker in row.speakers:
            speaker.facts = [fact for fact in speaker.facts if fact.origin != "extract"]

    async def run(self, row: Row, kit: Kit) -> None:
        """Ask about every turn at once, then gate and merge. Raises RequestError and EngineDeadError."""
        self.clear(row)
        requests = [Request(self.messages(turn.text), self.params.sampling) for turn in row.turns]
        replies = await together(kit.engine.generate(request) for request in requests)
        row.extracted = [
            self._gated(line, row.turns[number].speaker, number, whole)
            for number, reply in enumerate(replies)
            for line, whole in written(reply.completions[0])
        ]
        passed = [line for line in row.extracted if line.gate == "accepted"]
        if passed:
            texts = [fact_of(line) for line in passed]
            vectors = await kit.embedder.encode([turn.text for turn in row.turns] + texts)
            self._compare(passed, vectors[: len(row.turns)], vectors[len(row.turns) :])
            self._merge(row, passed, texts, vectors[len(row.turns) :])

    def messages(self, utterance: str) -> tuple[Message, ...]:
        """The prompt for one turn."""
        return render(self.template, utterance=utterance, form=self.params.form, relations=self.params.relations)

    def prompts(self, row: Row) -> Iterator[tuple[str, tuple[Message, ...]]]:
        """What each call was for, and what it was sent."""
        for number, turn in enumerate(row.turns):
            yield f"turn {number}", self.messages(turn.text)

    def _gated(self, line: str, speaker: int, turn: int, whole: bool) -> Extraction:
        """A line before the first of PPDS's gates that stops it; the last gate, similarity, is still to come."""
        found = Extraction(speaker, turn, line, "accepted")
        if not whole:
            found.gate = "format"
            return found
        if self.params.form == "sentence":
            stated = _STATEMENT.fullmatch(line) and len(split_sentences(line)) == 1
            found.gate = "accepted" if stated else "format"
            return found
        parts = [part.strip() for part in line.split("|")]
        if len(parts) != 3 or not all(parts):
            found.gate = "format"
            return found
        found.subject, found.relation, found.object = parts[0], relation_name(parts[1]), parts[2]
        if found.relation not in self.params.relations:
            found.gate = "relation"
        elif len(found.subject.split()) > self.params.max_subject_tokens:
            found.gate = "subject_length"
        return found

    def _compare(self, lines: list[Extraction], turns: NDArray[np.float32], facts: NDArray[np.float32]) -> None:
        for line, vector in zip(lines, facts, strict=True):
            line.similarity = float(turns[line.turn] @ vector)
            if line.similarity < self.params.min_similarity:
                line.gate = "similarity"

    def _merge(self, row: Row, lines: list[Extraction], texts: list[str], facts: NDArray[np.float32]) -> None:
        kept: list[int] = []
        for index, line in enumerate(lines):
            own = [facts[other] for other in kept if lines[other].speaker == line.speaker]
            if line.gate == "accepted" and all(fact @ facts[index] <= self.params.merge_similarity for fact in own):
                kept.append(index)
                speaker = row.speakers[line.speaker]
                speaker.facts.append(Fact(texts[index], "extract", speaker.seed_id, line.turn))


def fact_of(line: Extraction) -> str:
    """The sentence of a line that passed the format gate."""
    if line.subject is None or line.relation is None or line.object is None:
        return line.text
    return as_sentence(line.subject, line.relation, line.object)


def written(completion: Completion) -> list[tuple[str, bool]]:
    """The lines of a completion without bullets, empty lines and `[None]`, each with whether it is whole: the token
    limit may have cut off the last one."""
    stripped = [_BULLET.sub("", line.strip()) for line in completion.text.splitlines()]
    cut = len(stripped) - 1 if completion.finish_reason == "length" else len(stripped)
    return [(line, place < cut) for place, line in enumerate(stripped) if line and not _NONE.fullmatch(line)]
