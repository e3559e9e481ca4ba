"""What a stage is: it fills its part of one row, given models to ask.

A stage knows nothing of Ray, storage or other rows. It can take what it left on a row off again, so that running it
anew is the same as running it once. Concurrency is the caller's: a row is a coroutine, many run at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from factory.base.fingerprint import blake
from factory.engines import Engine, Sampling
from factory.scorers.nli import Probabilities
from factory.store.records import Row

Role = Literal["dialogue", "nli", "embedding"]
_Result = TypeVar("_Result")


class NliScorer(Protocol):
    """A three-way NLI model."""

    async def score(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        """Probabilities for each (premise, hypothesis)."""


class Embedder(Protocol):
    """A sentence embedding model."""

    async def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit-length embeddings, shape (texts, dimensions), so that a dot product is a cosine."""


@dataclass(frozen=True, slots=True)
class Kit:
    """The models a stage may ask; a stage touches only those it `needs`."""

    engine: Engine
    nli: NliScorer
    embedder: Embedder


class Stage(Protocol):
    """One step of the pipeline, made from its parameters."""

    name: str
    version: int
    """Raised when the code changes what it would write for the same inputs: part of a row's identity."""

    @property
    def needs(self) -> frozenset[Role]:
        """The models this configuration of the stage asks."""

    @staticmethod
    def clear(row: Row) -> None:
        """Take off the row what an earlier run of this stage left on it."""

    async def run(self, row: Row, kit: Kit) -> None:
        """Clear the stage's part of the row, and fill it. Raises RowError to give the row up."""


async def together(asked: Iterable[Awaitable[_Result]]) -> list[_Result]:
    """The results of all, which run at once. An error is raised only when all have come to an end: a row that fails
    leaves no request behind whose cost would be counted nowhere."""
    results: list[_Result] = []
    for result in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results


def draw(row: Row, purpose: str) -> float:
    """A number in [0, 1) that depends on the row's slot and the purpose alone, so that a row is always drawn alike."""
    return int(blake("draw", row.row_id, purpose)[:13], 16) / 16**13


def completing(default: Sampling) -> Callable[[object], object]:
    """For a field's BeforeValidator: what a job leaves out of `sampling` is the stage's default, not Sampling's."""
    return lambda value: default.model_dump() | value if isinstance(value, dict) else value
