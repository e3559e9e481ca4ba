"""The models of a job that a process has opened: engines, which models that differ in their adapters alone share, and
scorers.

Limitations: what is open stays so until all is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import cast

from factory.engines import Engine, Health, LanguageModel, Reply, Request
from factory.engines.opening import open_engine
from factory.methods import Kit
from factory.scorers.classifier import Classifier, ClassifierModel
from factory.scorers.embeddings import EmbeddingModel, Embeddings
from factory.scorers.nli import Nli, NliModel
from factory.spec.identity import Entry
from factory.spec.job import Job

Scorer = Nli | Embeddings | Classifier


class Counted:
    """An engine, with an adapter perhaps, that tells of each answer; `asked` requests have none yet."""

    def __init__(self, engine: Engine, told: Callable[[Reply], None], adapter: str | None = None) -> None:
        self._engine = engine
        self._told = told
        self._adapter = adapter
        self.capacity = engine.capacity
        self.asked = 0

    async def generate(self, request: Request) -> Reply:
        """Answer one request."""
        if self._adapter is not None:
            request = replace(request, adapter=self._adapter)
        self.asked += 1
        try:
            reply = await self._engine.generate(request)
        finally:
            self.asked -= 1
        self._told(reply)
        return reply

    async def close(self) -> None:
        """Close the engine, for all that share it."""
        await self._engine.close()


class Models:
    """Models by their names in the job, for these entries. `told` hears each model's name and answer, `health` how
    servers are."""

    def __init__(
        self, job: Job, entries: Mapping[str, Entry], health: Health, told: Callable[[str, Reply], None]
    ) -> None:
        self._job = job
        self._entries = entries
        self._health = health
        self._told = told
        self._shared: dict[str, Engine] = {}
        self._engines: dict[str, Counted] = {}
        self.scorers: dict[str, Scorer] = {}

    @property
    def capacity(self) -> int | None:
        """Requests that the roomiest of the engines takes at once; none where no engine is open."""
        return max((engine.capacity for engine in self._engines.values()), default=None)

    @property
    def requests(self) -> dict[str, tuple[int, int]]:
        """By open language model, the requests that it has not answered, and how many it takes at once."""
        return {name: (engine.asked, engine.capacity) for name, engine in self._engines.items()}

    async def open(self, name: str) -> None:
        """Open a model, if it is not open. Raises EngineStartError, EngineDeadError, ServerError or ScorerStartError,
        and MissingPackageError."""
        model = self._job.models[name]
        if isinstance(model, LanguageModel):
            if name not in self._engines:
                engine = await self._engine(self._job.engine_of(name))
                self._engines[name] = Counted(engine, partial(self._told, name), model.adapter)
        elif name not in self.scorers:
            asking = [entry for entry in self._entries.values() if name in entry.models.values()]
            # Only methods that ask a classifier name labels.
            wanted = {label: None for entry in asking for label in getattr(entry.method, "labels", ())}
            self.scorers[name] = await asyncio.to_thread(_open_scorer, model, list(wanted))

    async def _engine(self, name: str) -> Engine:
        """The engine of a language model, which answers for those too that differ from it in their adapter."""
        if name not in self._shared:
            asked = [entry.models["language"] for entry in self._entries.values() if "language" in entry.models]
            sharing = [self._job.models[other] for other in asked if self._job.engine_of(other) == name]
            adapters = list(dict.fromkeys(cast(LanguageModel, other).adapter for other in sharing))
            model, patience_s = cast(LanguageModel, self._job.models[name]), self._job.run.server_patience_s
            self._shared[name] = await asyncio.to_thread(open_engine, model, patience_s, self._health, adapters)
        return self._shared[name]

    def kit(self, entry: Entry) -> Kit:
        """What an entry asks. A method touches only the models it needs, and those are open; the others are absent."""
        return Kit(
            engine=cast(Engine, self._engines.get(entry.models.get("language", ""))),
            nli=cast(Nli, self.scorers.get(entry.models.get("nli", ""))),
            embedder=cast(Embeddings, self.scorers.get(entry.models.get("embedding", ""))),
            classifier=cast(Classifier, self.scorers.get(entry.models.get("classifier", ""))),
        )

    async def close(self) -> None:
        """Close all that is open."""
        for engine in self._shared.values():
            await engine.close()
        for scorer in self.scorers.values():
            scorer.close()


def _open_scorer(model: NliModel | EmbeddingModel | ClassifierModel, labels: list[str]) -> Scorer:
    if isinstance(model, ClassifierModel):
        return Classifier(model, labels)
    return Nli(model) if isinstance(model, NliModel) else Embeddings(model)
