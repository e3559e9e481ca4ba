"""The models that a format asks: those that an entry of the corpus asked, opened again, and closed with the export.

Limitations: one pair of models an export, those of the first row that they are asked about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from contextlib import ExitStack, closing
from typing import Any, TypeVar

from factory.methods import ModelKind
from factory.methods.exports import ExportError
from factory.planning.recipes import kept
from factory.scorers.embeddings import EmbeddingModel, Embeddings
from factory.scorers.nli import Nli, NliModel
from factory.store.corpus import Corpus
from factory.store.records import Row

_Result = TypeVar("_Result")


class OpenedScorers:
    """Implements `Scorers` of factory.methods.exports. A context, which closes what was opened."""

    def __init__(self, corpus: Corpus, needs: frozenset[ModelKind]) -> None:
        self._corpus, self._needs = corpus, needs
        self._models: dict[str, Any] = {}
        self._nli: Nli | None = None
        self._embedder: Embeddings | None = None
        self._runner: asyncio.Runner | None = None
        self._opened = ExitStack()

    def __enter__(self) -> OpenedScorers:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def of(self, row: Row, stage: str) -> OpenedScorers | None:
        """These, once they are the models that the entry asked about a row; none where its record does not tell."""
        if not self._models:
            recipe = next((record.recipe for record in row.stages if record.stage == stage), None)
            if recipe is None:
                return None
            models = kept(self._corpus, recipe)[0].models
            if not self._needs <= models.keys():
                return None
            self._models = dict(models)
        return self

    @property
    def nli(self) -> Nli:
        """The NLI model. Raises ScorerStartError."""
        if self._nli is None:
            self._nli = self._opened.enter_context(closing(Nli(NliModel.model_validate(self._model("nli")))))
        return self._nli

    @property
    def embedder(self) -> Embeddings:
        """The embedding model. Raises ScorerStartError."""
        if self._embedder is None:
            model = EmbeddingModel.model_validate(self._model("embedding"))
            self._embedder = self._opened.enter_context(closing(Embeddings(model)))
        return self._embedder

    def together(self, asked: Iterable[Awaitable[_Result]]) -> list[_Result]:
        """The results of all, which run at once, so that the models read them in batches."""
        if self._runner is None:  # only now: a notebook has a loop of its own, which most formats leave alone
            self._runner = self._opened.enter_context(asyncio.Runner())
        return self._runner.run(_all(asked))

    def _model(self, role: ModelKind) -> Any:
        if role not in self._needs:
            raise ExportError(f"the format asks the {role} model, which its `needs` does not name")
        return self._models[role]


async def _all(asked: Iterable[Awaitable[_Result]]) -> list[_Result]:
    return await asyncio.gather(*asked)
