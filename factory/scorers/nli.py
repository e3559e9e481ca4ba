"""Natural language inference: does a premise entail or contradict a hypothesis.

Any Hugging Face sequence classifier with the three NLI labels will do. A contradiction has no direction, though models
find one more often one way round than the other, and call what people contradict in other words neutral. So a pair that
may be one is asked both ways, and what counts is how much more likely contradiction is than entailment. On nli-small's
card that finds 43 % of the contradictions at 1 % false rejections, P(contradiction) as the model gives it 36 %.
Limitations: as of all classifiers; one scale for all models, fitted to nli-small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from factory.scorers.classifier import Classifier, SequenceModel

_LABELS = ("entailment", "neutral", "contradiction")
DOUBTFUL = 0.01
"""Least P(contradiction) of a pair that is asked the other way round, too (ours): 1.4 % of real talk reach it, and
asking all pairs finds no more contradictions."""
SLOPE, OFFSET = 0.32, -2.08
"""From the log odds of contradiction against entailment to P(contradiction) (Platt, 1999): fitted to nli-small on
pairs that are not those of its operating point, by `python -m benchmarks.nli_small`."""
_LEAST = 1e-9


class NliModel(SequenceModel):
    """A three-way NLI model."""

    WHAT = "NLI model"
    IDENTITY: ClassVar[tuple[str, ...]] = (*SequenceModel.IDENTITY, "both_ways")
    kind: Literal["nli"] = Field("nli", description="What the model is.")
    both_ways: bool = Field(
        True,
        description="Ask pairs that may contradict with premise and hypothesis exchanged, too, and take "
        "P(contradiction) from how much more likely contradiction is than entailment. false: as the model gives it.",
    )


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
        self._both_ways = model.both_ways

    async def score(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        """Probabilities for each (premise, hypothesis)."""
        found = await self._one_way(pairs)
        if not self._both_ways:
            return found
        odds = [_log_odds(one) for one in found]
        doubtful = [place for place, one in enumerate(found) if one.contradiction >= DOUBTFUL]
        turned = [pairs[place][::-1] for place in doubtful]
        for place, other in zip(doubtful, await self._one_way(turned), strict=True):
            odds[place] += _log_odds(other)
        return [_at(one, log_odds) for one, log_odds in zip(found, odds, strict=True)]

    async def _one_way(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        return [Probabilities(*(one[label] for label in _LABELS)) for one in await self._classifier.score(pairs)]

    def close(self) -> None:
        """Answer what is queued and stop."""
        self._classifier.close()


def _log_odds(found: Probabilities) -> float:
    return math.log(max(found.contradiction, _LEAST) / max(found.entailment, _LEAST))


def _at(found: Probabilities, log_odds: float) -> Probabilities:
    """With P(contradiction) at these log odds; entailment as it was where there is room, and the rest is neutral."""
    contradiction = 1 / (1 + math.exp(-SLOPE * log_odds - OFFSET))
    entailment = min(found.entailment, 1 - contradiction)
    return Probabilities(entailment, 1 - contradiction - entailment, contradiction)
