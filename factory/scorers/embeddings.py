"""Sentence embeddings, for relevance and near duplicates.

The same persona facts are asked for at every turn, so recent texts are kept. Stays in float32 everywhere: thresholds on
a cosine are finer than bfloat16 (a cosine moves by up to 0.01), and a sentence model is small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from factory.models import OPENING, resolve
from factory.scorers.batching import Batcher
from factory.scorers.classifier import ScorerStartError

_BATCHES = 8
_KEPT = 65_536
"""Texts remembered; of 384 dimensions, 100 MB."""


class EmbeddingModel(BaseModel):
    """A sentence embedding model."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    IDENTITY: ClassVar = ("name", "revision")
    """Fields that can change what it says; the others are knobs."""

    kind: Literal["embedding"] = Field("embedding", description="What the model is.")
    name: str = Field(
        "minilm", min_length=1, description="A folder (from the job file), a bundled model or a Hugging Face id."
    )
    revision: str | None = Field(None, description="Branch, tag or commit of a Hugging Face model.")
    batch_size: int = Field(64, ge=1, description="Texts the model reads at once.")
    trust_remote_code: bool = Field(False, description="Run Python code from the model's repository.")


class Embeddings:
    """A started embedding model. Raises ScorerStartError."""

    def __init__(self, model: EmbeddingModel) -> None:
        with OPENING:
            self._encoder = _open(model)
        self._dimensions: int = self._encoder.get_embedding_dimension()
        self._batch_size = model.batch_size
        self._recent: LRUCache[str, NDArray[np.float32]] = LRUCache(_KEPT)
        self._batcher: Batcher[str, NDArray[np.float32]] = Batcher(self._encode, _BATCHES * model.batch_size)

    async def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit-length embeddings, float32, shape (texts, dimensions)."""
        if not texts:
            return np.empty((0, self._dimensions), np.float32)
        return np.stack(await self._batcher.ask(texts))

    def close(self) -> None:
        """Answer what is queued and stop."""
        self._batcher.close()

    def _encode(self, texts: list[str]) -> list[NDArray[np.float32]]:
        found = {text: self._recent[text] for text in dict.fromkeys(texts) if text in self._recent}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            rows = self._encoder.encode(
                missing, batch_size=self._batch_size, normalize_embeddings=True, show_progress_bar=False
            )
            # Copies, since a row that is kept would hold all of its batch in memory.
            new = {text: row.copy() for text, row in zip(missing, rows, strict=True)}
            found |= new
            self._recent.update(new)
        return [found[text] for text in texts]


def _open(model: EmbeddingModel) -> Any:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return SentenceTransformer(
            resolve(model.name),
            revision=model.revision,
            trust_remote_code=model.trust_remote_code,
            model_kwargs={"dtype": torch.float32},
        )
    except ImportError:
        raise
    except Exception as error:  # files, transformers and a repository's own code raise many kinds
        raise ScorerStartError(f"embedding model {model.name} cannot be loaded: {error}") from error
