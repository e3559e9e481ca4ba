"""Natural language inference: does a premise entail or contradict a hypothesis.

Any Hugging Face sequence classifier with the three NLI labels will do. Limitations: as of all classifiers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from factory.scorers.classifier import Classifier, SequenceModel

_LABELS = ("entailment", "neutral", "contradiction")


class NliModel(SequenceModel):
    """A three-way NLI model."""

    WHAT = "NLI model"
    kind: Literal["nli"] = Field("nli", description="What the model is.")


@dataclass(frozen=True, slots=True)
class Probabilities:
    """What an NLI model makes of one pair; the three add up to 1."""

    entailment: float
    neutral: float
    contradiction: float


class Nli:
    """A started NLI model. Raises ScorerStartError."""

    def __init__(self, model: NliModel) -> None:
        self._classifier = Classifier(model, _LABELS, only=True)

    async def score(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        """Probabilities for each (premise, hypothesis)."""
        return [Probabilities(*(one[label] for label in _LABELS)) for one in await self._classifier.score(pairs)]

    def close(self) -> None:
        """Answer what is queued and stop."""
        self._classifier.close()
