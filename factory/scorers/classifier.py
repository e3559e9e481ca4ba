"""Sequence classifiers: how probable each label of a model is for a pair of texts.

Any Hugging Face sequence classifier will do. Callers' pairs are batched together and sorted by length. Scores are not
kept: the same pair is rarely asked twice. Limitations: labels exclude each other (softmax).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from factory.base.hardware import has_bfloat16
from factory.models import OPENING, resolve
from factory.scorers.batching import Batcher

_BATCHES = 8
"""Batches' worth of pairs sorted by length together: more saves padding, but makes the first caller wait longer."""


class SequenceModel(BaseModel):
    """What all sequence classifiers are told by."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    WHAT: ClassVar[str]
    """What messages call it."""
    IDENTITY: ClassVar[tuple[str, ...]] = ("name", "revision", "max_length")
    """Fields that can change what it says; the others are knobs."""

    name: str = Field(min_length=1, description="A folder (from the job file), a bundled model or a Hugging Face id.")
    revision: str | None = Field(None, description="Branch, tag or commit of a Hugging Face model.")
    max_length: int = Field(128, ge=8, description="Longest pair in tokens; longer ones are cut (128: PAML, ACL 2019).")
    batch_size: int = Field(64, ge=1, description="Pairs the model reads at once.")
    trust_remote_code: bool = Field(False, description="Run Python code from the model's repository.")


class ClassifierModel(SequenceModel):
    """A sequence classifier with any labels; a score says which it reads."""

    WHAT = "classifier"
    kind: Literal["classifier"] = Field("classifier", description="What the model is.")


class ScorerStartError(Exception):
    """An NLI model, a classifier or an embedding model cannot start: one readable message that says why and what to
    do."""


class Classifier:
    """A started classifier, which must have the labels that are `wanted`, in lower case, and with `only` no
    others, which would take a share of the probability. Raises ScorerStartError."""

    def __init__(self, model: SequenceModel, wanted: Collection[str] = (), *, only: bool = False) -> None:
        with OPENING:
            self._encoder, self._labels = _open(model, wanted, only)
        self._batch_size = model.batch_size
        self._batcher: Batcher[tuple[str, str], list[float]] = Batcher(self._score, _BATCHES * model.batch_size)

    async def score(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, float]]:
        """How probable each label is for each pair, such as what was said before and a reply."""
        return [dict(zip(self._labels, found, strict=True)) for found in await self._batcher.ask(pairs)]

    def close(self) -> None:
        """Answer what is queued and stop."""
        self._batcher.close()

    def _score(self, pairs: list[tuple[str, str]]) -> list[list[float]]:
        rows = self._encoder.predict(pairs, batch_size=self._batch_size, apply_softmax=True, show_progress_bar=False)
        return [[float(value) for value in row] for row in rows]


def _open(model: SequenceModel, wanted: Collection[str], only: bool) -> tuple[Any, tuple[str, ...]]:
    """The encoder, and its labels in the order of what it predicts."""
    from sentence_transformers import CrossEncoder
    from transformers import AutoConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    source = {"revision": model.revision, "trust_remote_code": model.trust_remote_code}
    try:
        path = resolve(model.name)
        names = AutoConfig.from_pretrained(path, **source).id2label
        labels = tuple(names[number] for number in sorted(names))
        lower = tuple(label.lower() for label in labels)
        if not set(wanted) <= set(lower) or (only and len(lower) != len(wanted)):
            raise ScorerStartError(
                f"{model.WHAT} {model.name}: its labels are {', '.join(labels)}; {', '.join(wanted)} are wanted "
                "(see id2label in its config.json)"
            )
        dtype = {"dtype": "bfloat16" if has_bfloat16() else "float32"}  # the fastest it keeps its accuracy in
        return CrossEncoder(path, max_length=model.max_length, model_kwargs=dtype, **source), lower
    except (ScorerStartError, ImportError):
        raise
    except Exception as error:  # files, transformers and a repository's own code raise many kinds
        raise ScorerStartError(f"{model.WHAT} {model.name} cannot be loaded: {error}") from error
