"""A small dialogue and models without weights to try a method on: for docstrings, and for tests of methods.

>>> from factory.methods.exports.plain import Plain
>>> records(Plain, [dialogue()])[0]["turns"]
['Hi! Do you ski?', 'I sew.', 'Nice, I ski a lot.']
>>> from factory.methods.makers.expand import Expand
>>> made(Expand, dialogue(), "- I swim.", "- I sing.", count=1, attempts=1).speakers[0].facts_of("expand")
['I swim.']
>>> from factory.methods.scores.consistency import Consistency
>>> scored(Consistency, dialogue()).values["coverage"]
0.5

Limitations: the three scorers go by words alone.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from factory.base.fingerprint import key
from factory.engines import Completion, Engine, LanguageModel, Reply, Request, RequestError
from factory.engines.scripted import ScriptedEngine
from factory.methods import Kit, Maker, Score, Scored
from factory.methods.exports import ExportFormat, Record, Source
from factory.scorers.nli import Probabilities
from factory.store.records import (
    Candidate,
    Detail,
    Extraction,
    Fact,
    Row,
    SeedRef,
    Speaker,
    StageRecord,
    Turn,
)


def dialogue(number: int | None = None) -> Row:
    """An accepted row of two speakers with all that makers and scores add to one; of a number, one that shares no seed
    and no text with those of others."""
    own = "" if number is None else f" {number} hats"
    names = [f"{side}{own}" for side in ("a", "b")]
    turns = [f"Hi! Do you ski{own}?", f"I sew{own}.", f"Nice, I ski a lot{own}."]
    row = Row(f"row{own}", "generated", 0, [SeedRef(name, ["d"] * 3, "personas.jsonl", 1) for name in names], [])
    for name, fact in zip(names, (f"I ski{own}.", "I work at night."), strict=True):
        row.speakers.append(Speaker(name, name, facts=[Fact(fact, "seed", name)]))
    row.speakers[1].facts.append(Fact(turns[1], "extract", names[1], 1))
    row.turns = [Turn(place % 2, text, "stop", 90, 9, attempts=1) for place, text in enumerate(turns)]
    row.turns[2].candidates = [
        Candidate(turns[2], chosen=True, coherence=0.8, entailment=0.9, contradiction=0.0),
        Candidate(f"I never ski{own}.", chosen=False, coherence=0.7, entailment=0.1, contradiction=0.9),
    ]
    row.extracted = [Extraction(1, 1, turns[1], "accepted", similarity=1.0)]
    row.details = [Detail("consistency", "turn_persona", [0.8, 0.9, 0.1, 0.0], 0, 2, origin="seed", fact=0)]
    row.scores["consistency"] = {
        "contradiction": 0.0,
        "c_score": 0.3,
        "profile_length": 1.0,
        "apc": 0.9,
        "entailed_share": 1.0,
        "contradicted_share": 0.0,
        "coverage": 0.5,
        "pairs": 1,
    }
    row.decision = "accept"
    row.stages = [StageRecord("extract", "recipe", "fingerprint")]
    return row


def records(export: type[ExportFormat], rows: Sequence[Row], **options: object) -> list[Record]:
    """What an export with these options makes of rows, shown to it at once, as Arrow gives it back. Raises
    ExportError for a record that does not fit the schema of the export."""
    made = export(export.Params.model_validate(options))
    found: list[Record] = made.table(list(made.records(rows, Source()))).to_pylist()
    return found


def scored(score: type[Score], row: Row, *answers: str, **params: object) -> Scored:
    """What a score with these parameters makes of a row, with a language model that gives `answers`. Raises RowError,
    RequestError."""
    found: Scored = asyncio.run(_method(score, params).score(row, kit(*answers)))
    return found


def made(maker: type[Maker], row: Row, *answers: str, **params: object) -> Row:
    """The row, after a maker with these parameters and a language model that gives `answers`. Raises RowError,
    RequestError."""
    asyncio.run(_method(maker, params).run(row, kit(*answers)))
    return row


def kit(*answers: str) -> Kit:
    """Models without weights: a language model that gives `answers`, one a request, or without any is the engine
    `scripted`; scorers that go by words."""
    engine: Engine = _Answers(answers) if answers else ScriptedEngine(LanguageModel(name="scripted"))
    return Kit(engine, _WordsNli(), _WordsEmbedder(), _WordsClassifier())


def _method(cls: Any, params: dict[str, object]) -> Any:
    return cls(cls.Params.model_validate(params))


class _Answers:
    """A language model that gives answers in turn; one that is among a request's choices is certain."""

    capacity = 1

    def __init__(self, answers: Sequence[str]) -> None:
        self._answers = list(answers)

    async def generate(self, request: Request) -> Reply:
        if len(self._answers) < request.n:
            raise RequestError("more answers are asked for than the example gives")
        said, self._answers = self._answers[: request.n], self._answers[request.n :]
        choices = [request.choices.index(text) if text in request.choices else None for text in said]
        completions = [
            Completion(text, len(text.split()), "stop", choice) for text, choice in zip(said, choices, strict=True)
        ]
        prompt = sum(len(message["content"].split()) for message in request.messages)
        if choices[0] is None:
            return Reply(tuple(completions), prompt)
        certain = tuple(float(place == choices[0]) for place in range(len(request.choices)))
        return Reply(tuple(completions), prompt, probabilities=certain, source="logprobs")

    async def close(self) -> None:
        pass


_WORD = re.compile(r"[\w’']+")
_NEGATIONS = frozenset({"no", "not", "never", "nobody", "nothing"})
_DIMENSIONS = 256


def _words(text: str) -> list[str]:
    return [word.replace("’", "'") for word in _WORD.findall(text.casefold())]


class _WordsEmbedder:
    """Bags of hashed words."""

    async def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), _DIMENSIONS), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            np.add.at(vector, [key(word) % _DIMENSIONS for word in _words(text) or [""]], 1)
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


class _WordsNli:
    """A text that has most words of the other is entailed by it, or contradicts it if one of the two says not."""

    async def score(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        return [self._score(*pair) for pair in pairs]

    def _score(self, premise: str, hypothesis: str) -> Probabilities:
        negated, words = [], []
        for text in (premise, hypothesis):
            said = set(_words(text))
            negations = {word for word in said if word in _NEGATIONS or word.endswith("n't")}
            negated.append(bool(negations))
            words.append(said - negations)
        if 2 * len(words[0] & words[1]) < max(len(words[0]), 1):
            return Probabilities(0.05, 0.9, 0.05)
        return Probabilities(0.05, 0.05, 0.9) if negated[0] != negated[1] else Probabilities(0.9, 0.05, 0.05)


class _WordsClassifier:
    """A reply with a word of what it replies to is natural, one without is unrelated."""

    async def score(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, float]]:
        found = [set(_words(before)) & set(_words(reply)) for before, reply in pairs]
        return [
            {"natural": 0.9 if shared else 0.1, "senseless": 0.05, "unrelated": 0.05 if shared else 0.85}
            for shared in found
        ]
