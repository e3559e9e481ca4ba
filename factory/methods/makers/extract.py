"""Extract: the facts that each turn reveals about its speaker, or none (PPDS, arXiv 2412.09034, NAACL 2025).

As in PPDS, extraction is cast as writing: utterance in, facts or nothing out, in a strict format, through four cheap
gates; what passes is merged per speaker. PPDS fine-tunes a T5 for it; here a language model is asked, by instruction or
as `factory train-extractor` trained it. Two gates of NLI are added: the turn must entail the fact, and by what it says
of its speaker, not of the partner; and one before the call, by words. Every line it wrote stays on the row with the
gate that stopped it, since precision at scale is the method's point. Limitations:
facts that need more than the one turn to be understood; PPDS's set of relations is not known to us; in other languages
than English `begins`, the prompt and an NLI model of that language must be given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from factory.base.sentences import split_sentences
from factory.base.words import content
from factory.engines import Message, Request, Sampling
from factory.methods import (
    Calls,
    EmbeddingModelName,
    ExtractorName,
    Kit,
    ModelKind,
    NliModelName,
    Params,
    completing,
    together,
)
from factory.methods.makers.listed import FIRST_PERSON, any_text, beginning, facts_in, facts_schema
from factory.methods.makers.telling import telling
from factory.methods.makers.triples import RELATIONS, as_sentence, relation_name
from factory.methods.prompts import bundled, render
from factory.store.records import UNASKED, Extraction, Fact, Row

_SAMPLING = Sampling(temperature=0, max_tokens=128)
_QUESTION = re.compile("[?？]")
_COURTESY = frozenset(
    ("know", "see", "agree", "think", "guess", "hope", "bet", "mean", "glad", "sure", "hear", "happy", "sorry", "thank",
     "thanks", "well", "fine", "good", "great", "okay", "right", "true", "same", "doing", "going", "here", "there",
     "yes", "no", "if", "either", "never", "always", "definitely", "myself", "one")
)  # fmt: skip
"""Words that state nothing of a speaker, beside those that all talk shares."""
_OF_OTHERS = re.compile(r"\W*(?:\w+\W+)?(?:it|that|this|they|those|these|he|she|there)\b(?!\s*,)", re.IGNORECASE)
"""The beginning of a sentence about something else, behind one word perhaps ("Yes, it is fun.")."""
_OWN = re.compile(r"\b(?:I|me|my|mine|we|us|our|ours|myself)\b", re.IGNORECASE)
_PARTNER = re.compile(r"\b(?:you|your|yours|yourself)\b", re.IGNORECASE)
_MOST = 5
"""Facts of one turn, at most (ours)."""


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
    begins: tuple[str, ...] = Field(
        FIRST_PERSON,
        min_length=1,
        description="What a sentence must begin with, in upper or lower case: one that does not is stopped at the gate "
        "`format`. Another language has others, as `Ich `, `Mein`, `Wir `, `Unser`.",
    )
    min_similarity: float = Field(
        0.1, ge=-1, le=1, description="Least embedding cosine of a fact and its utterance (PPDS, arXiv 2412.09034)."
    )
    min_entailment: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Least P(entailment) of a fact by its turn (ours).",
    )
    merge_similarity: float = Field(
        0.9, ge=0, le=1, description="Facts of one speaker with a higher cosine are one fact; the first stays (ours)."
    )
    min_telling: float = Field(
        0,
        ge=0,
        le=1,
        description="Least probability, by the words of a turn, that it tells of its speaker: about other turns the "
        "model is not asked. 0 asks about every turn. Fitted to English: on held-out Synthetic-Persona-Chat, "
        "0.3 asks about a third of the turns and keeps 97.8 % of what all of them tell.",
    )
    trained: bool = Field(
        False,
        description="The model was trained for it by `factory train-extractor`: it is sent the turn alone, without "
        "instruction and examples, and answers a fact a line, or [None], without being guided.",
    )
    prompt: str | None = Field(None, description="Template file, relative to the job file; the bundled one by default.")
    model: ExtractorName = Field(
        "writer",
        description="The language model that reads them off the turns; if it is left out, `extractor` in jobs that "
        "have a model of this name.",
    )
    nli: NliModelName = Field("nli", description="The NLI model of the gates `entailment` and `speaker`.")
    embedding: EmbeddingModelName = Field(
        "embedding", description="The embedding model of the gate `similarity` and of merging."
    )
    sampling: Annotated[Sampling, BeforeValidator(completing(_SAMPLING))] = Field(
        _SAMPLING, description="How facts are sampled; fields left out keep this maker's defaults."
    )


class Extract:
    """Fills `extracted`, and adds facts of origin `extract`, each with the turn it was read off.

    One request a turn, but for turns below `min_telling`, which the gate `telling` stops. PPDS's gates are `format`,
    `relation` (triples: one of a fixed set), `subject_length` (triples) and `similarity` (of fact and utterance). Ours
    are `telling`, `hollow` (sentences: "I agree.", "I am sure."), and the last two: `entailment`, where the turn does
    not entail the fact, and `speaker`, where only what it says of the partner or of something else ("It is really
    fun.") does.

    >>> from factory.methods.example import dialogue, made
    >>> row = made(Extract, dialogue(), "[None]", '{"facts": ["I sew.", "Do I?"]}', '{"facts": ["I ski a lot."]}')
    >>> [(line.turn, line.text, line.gate) for line in row.extracted]
    [(1, 'I sew.', 'accepted'), (1, 'Do I?', 'format'), (2, 'I ski a lot.', 'accepted')]
    """

    name = "extract"
    version = 6
    Params = ExtractParams
    variables = frozenset({"utterance", "form", "relations"})
    reads = frozenset({"turns"})
    writes = frozenset({"facts.extract", "extracted"})
    of_imported = True
    donors = 0

    def __init__(self, params: ExtractParams) -> None:
        self.params = params
        self.template = params.prompt or bundled("extract_trained" if params.trained else "extract")

    @property
    def needs(self) -> frozenset[ModelKind]:
        """The language model reads, the other two check."""
        return frozenset({"language", "nli", "embedding"})

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """One for each turn; with a gate before it, perhaps for none."""
        return (turns if self.params.min_telling == 0 else np.zeros_like(turns)), turns

    @staticmethod
    def clear(row: Row) -> None:
        """Take the written lines and the extracted facts off the row."""
        row.extracted = []
        for speaker in row.speakers:
            speaker.facts = [fact for fact in speaker.facts if fact.origin != "extract"]

    async def run(self, row: Row, kit: Kit) -> None:
        """Ask about every turn that may tell something, at once, then gate and merge. Raises RequestError and
        EngineDeadError."""
        self.clear(row)
        asked = [number for number, turn in enumerate(row.turns) if self._tells(turn.text)]
        replies = await together(kit.engine.generate(self.request(row.turns[number].text)) for number in asked)
        read = {number: facts_in(reply.completions[0]) for number, reply in zip(asked, replies, strict=True)}
        for number, turn in enumerate(row.turns):
            if number not in read:
                row.extracted.append(Extraction(turn.speaker, number, "", UNASKED))
            row.extracted += [self._gated(line, turn.speaker, number, whole) for line, whole in read.get(number, ())]
        passed = [line for line in row.extracted if line.gate == "accepted"]
        if passed:
            texts = [fact_of(line) for line in passed]
            vectors = await kit.embedder.encode([turn.text for turn in row.turns] + texts)
            self._compare(passed, vectors[: len(row.turns)], vectors[len(row.turns) :])
            await self._entail(row, passed, texts, kit)
            self._merge(row, passed, texts, vectors[len(row.turns) :])

    def _tells(self, utterance: str) -> bool:
        return self.params.min_telling == 0 or telling(utterance) >= self.params.min_telling

    def request(self, utterance: str) -> Request:
        """What the model is asked about one turn."""
        schema = None if self.params.trained else facts_schema(self._pattern(), 0, _MOST)
        return Request(self.messages(utterance), self.params.sampling, json_schema=schema)

    def messages(self, utterance: str) -> tuple[Message, ...]:
        """The prompt for one turn."""
        return render(self.template, utterance=utterance, form=self.params.form, relations=self.params.relations)

    def prompts(self, row: Row) -> Iterator[tuple[str, tuple[Message, ...]]]:
        """What each call was for, and what it was sent."""
        for number, turn in enumerate(row.turns):
            if self._tells(turn.text):
                yield f"turn {number}", self.messages(turn.text)

    def _pattern(self) -> str:
        """The form of a line, for guided decoding."""
        if self.params.form == "sentence":
            return any_text(self.params.begins)
        relations = "|".join(re.escape(relation) for relation in self.params.relations)
        return rf'^[^|"\\\n]{{1,40}} \| ({relations}) \| [^|"\\\n]{{1,80}}$'

    def _gated(self, line: str, speaker: int, turn: int, whole: bool) -> Extraction:
        """A line before the first of PPDS's gates that stops it; the last gate, similarity, is still to come."""
        found = Extraction(speaker, turn, line, "accepted")
        if not whole:
            found.gate = "format"
            return found
        if self.params.form == "sentence":
            stated = beginning(self.params.begins).match(line) and not _QUESTION.search(line)
            if not (stated and len(split_sentences(line)) == 1):
                found.gate = "format"
            elif not content(line) - _COURTESY:
                found.gate = "hollow"
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

    async def _entail(self, row: Row, lines: list[Extraction], texts: list[str], kit: Kit) -> None:
        """The two gates of NLI. The turn before is no part of the premise: the model was not shown it, and behind a
        question NLI finds too much entailed (nli-small: "What do you like to do for fun? I play chess." entails "I won
        at chess last year." at 0.82, the answer alone at 0.11)."""
        asked = [(line, text) for line, text in zip(lines, texts, strict=True) if line.gate == "accepted"]
        stated = [_stated(row.turns[line.turn].text, self.params.begins) for line, _ in asked]
        pairs = [
            (premise, text) for (_, text), premises in zip(asked, stated, strict=True) for premise in chain(*premises)
        ]
        scores = (score.entailment for score in await kit.nli.score(pairs))
        for (line, _), (whole, own) in zip(asked, stated, strict=True):
            line.entailment = max(islice(scores, len(whole)), default=0.0)
            by_own = max(islice(scores, len(own)), default=0.0)
            if line.entailment < self.params.min_entailment:
                line.gate = "entailment"
            elif by_own < self.params.min_entailment:
                line.gate = "speaker"

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


def _stated(turn: str, begins: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """What a turn states, sentence by sentence and as a whole; and what of that is not of others alone ("You have two
    dogs!", "It is fun."). Questions state nothing, though NLI models find that one entails its answer, unless they
    begin as facts do ("I ski, do you?")."""
    sentences = split_sentences(turn)
    stated = [one for one in sentences if not _QUESTION.search(one) or beginning(begins).match(one)]
    own = [one for one in stated if _OWN.search(one) or not (_PARTNER.search(one) or _OF_OTHERS.match(one))]
    return _premises(stated), _premises(own)


def _premises(sentences: list[str]) -> list[str]:
    return list(dict.fromkeys([*sentences, " ".join(sentences)])) if sentences else []
