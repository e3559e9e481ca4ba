"""Natural language inference: does a premise entail or contradict a hypothesis.

Any Hugging Face sequence classifier with the three NLI labels will do. Callers' pairs are batched together and sorted
by length. Scores are not kept: the same pair is rarely asked twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from factory.base.hardware import has_bfloat16
from factory.models import OPENING, resolve
from factory.scorers.batching import Batcher

_LABELS = ("entailment", "neutral", "contradiction")
_BATCHES = 8
"""Batches' worth of pairs sorted by length together: more saves padding, but makes the first caller wait longer."""


class NliModel(BaseModel):
    """A three-way NLI model."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    IDENTITY: ClassVar = ("name", "revision", "max_length")
    """Fields that can change what it says; the others are knobs."""

    kind: Literal["nli"] = Field("nli", description="What the model is.")
    name: str = Field(min_length=1, description="A folder (from the job file), a bundled model or a Hugging Face id.")
    revision: str | None = Field(None, description="Branch, tag or commit of a Hugging Face model.")
    max_length: int = Field(128, ge=8, description="Longest pair in tokens; longer ones are cut (128: PAML, ACL 2019).")
    batch_size: int = Field(64, ge=1, description="Pairs the model reads at once.")
    trust_remote_code: bool = Field(False, description="Run Python code from the model's repository.")


@dataclass(frozen=True, slots=True)
class Probabilities:
    """What an NLI model makes of one pair; the three add up to 1."""

    entailment: float
    neutral: float
    contradiction: float


class ScorerStartError(Exception):
    """An NLI or embedding model cannot start: one readable message that says why and what to do."""


class Nli:
    """A started NLI model. Raises ScorerStartError."""

    def __init__(self, model: NliModel) -> None:
        with OPENING:
            self._encoder, self._columns = _open(model)
        self._batch_size = model.batch_size
        self._batcher: Batcher[tuple[str, str], Probabilities] = Batcher(self._score, _BATCHES * model.batch_size)

    async def score(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        """Probabilities for each (premise, hypothesis)."""
        return await self._batcher.ask(pairs)

    def close(self) -> None:
        """Answer what is queued and stop."""
        self._batcher.close()

    def _score(self, pairs: list[tuple[str, str]]) -> list[Probabilities]:
        rows = self._encoder.predict(pairs, batch_size=self._batch_size, apply_softmax=True, show_progress_bar=False)
        return [Probabilities(*row) for row in rows[:, self._columns].tolist()]


def _open(model: NliModel) -> tuple[Any, list[int]]:
    """The encoder, and the columns of the three labels in what it predicts."""
    from sentence_transformers import CrossEncoder
    from transformers import AutoConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    source = {"revision": model.revision, "trust_remote_code": model.trust_remote_code}
    try:
        path = resolve(model.name)
        columns = _columns(model.name, AutoConfig.from_pretrained(path, **source).id2label)
        dtype = {"dtype": "bfloat16" if has_bfloat16() else "float32"}  # the fastest it keeps its accuracy in
        return CrossEncoder(path, max_length=model.max_length, model_kwargs=dtype, **source), columns
    except (ScorerStartError, ImportError):
        raise
    except Exception as error:  # files, transformers and a repository's own code raise many kinds
        raise ScorerStartError(f"NLI model {model.name} cannot be loaded: {error}") from error


def _columns(name: str, id2label: dict[int, str]) -> list[int]:
    column = {label.lower(): index for index, label in id2label.items()}
    if len(id2label) != len(_LABELS) or not column.keys() >= set(_LABELS):
        raise ScorerStartError(
            f"NLI model {name}: its labels are {', '.join(id2label.values())}; an NLI model has entailment, neutral "
            "and contradiction (see id2label in its config.json)"
        )
    return [column[label] for label in _LABELS]
