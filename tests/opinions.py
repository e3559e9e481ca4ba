"""A score with a language model, for tests, that asks one short question and may read other scores.

A test asks for the fixture `opinions`, so that no other test finds the method; Ray calls `register` in each worker.
Limitations: the job file cannot name it; `with_opinions` puts it into a job that is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import Field

from factory.engines import Message, Request, Sampling
from factory.methods import Calls, Column, Kit, LanguageModelName, ModelKind, Params, Scored, registry
from factory.spec.job import Job
from factory.store.records import Row


class OpinionParams(Params):
    """Parameters of `opinion`."""

    method: Literal["opinion"] = Field("opinion", description="The method.")
    model: LanguageModelName = Field("writer", description="The language model.")
    of: tuple[str, ...] = Field((), description="Scores that it reads, and repeats in its prompt.")


class Opinion:
    """Asks a language model what it thinks of a dialogue."""

    name = "opinion"
    version = 1
    Params = OpinionParams
    columns = (Column("words", "int", "Words of the answer.", 0),)
    details: dict[str, tuple[str, ...]] = {}

    def __init__(self, params: OpinionParams) -> None:
        self.params = params

    @property
    def needs(self) -> frozenset[ModelKind]:
        """A language model."""
        return frozenset({"language"})

    @property
    def reads(self) -> frozenset[str]:
        """What was said, and other scores."""
        return frozenset({"turns", *self.params.of})

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """One call."""
        each = np.ones_like(turns)
        return each, each

    def prompts(self, row: Row) -> Iterator[tuple[str, tuple[Message, ...]]]:
        """One prompt."""
        first, second = (speaker.seed_id for speaker in row.speakers)
        asked = [f"What does {first} think of {second}?", *(turn.text for turn in row.turns)]
        asked += [f"{name} says {row.scores.get(name)}." for name in self.params.of]
        yield "opinion", ({"role": "user", "content": "\n".join(asked)},)

    async def score(self, row: Row, kit: Kit) -> Scored:
        """Ask it."""
        ((_, messages),) = self.prompts(row)
        reply = await kit.engine.generate(Request(messages, Sampling()))
        return Scored({"words": len(reply.completions[0].text.split())})


@pytest.fixture
def opinions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process know the method, for a test."""
    monkeypatch.setitem(registry._search("scores").classes, "opinion", Opinion)


def register() -> None:
    """Have this process know the method."""
    registry._search("scores").classes["opinion"] = Opinion


def with_opinions(job: Job, **entries: dict[str, Any]) -> Job:
    """The job with these scores besides its own, by name."""
    scores = {name: OpinionParams(**params) for name, params in entries.items()}
    return job.model_copy(update={"scores": {**job.scores, **scores}})
