"""The Ray actor that runs one leg of the pipeline on shards, many dialogues at once.

A worker opens exactly the models that its rows still need, on the first shard that needs them, or ahead of it where the
driver knows that rows will need them all; the recipes it works by are the driver's, so that a model that changes on
disk meanwhile is the next plan's business. Each dialogue is a coroutine; a semaphore lets a new one start as an old one
ends, across shard borders, so that no tail drains the engine's batch. Limitations: rows of a shard that wait for a slot
are held in memory.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from factory.base.packages import needing
from factory.engines import Engine, Health, Reply, Request, ServerError, open_engine
from factory.methods import Kit, Role
from factory.planning.shard import STAGED, STAGING, Chains, Merged, ShardSpec, leg_start, merge, todo
from factory.running.pipeline import dead_letter, run_row, trim
from factory.scorers.embeddings import Embeddings
from factory.scorers.nli import Nli, NliModel
from factory.spec.job import LEGS, Job, Recipe, build_stages, nli_model
from factory.store.corpus import Corpus
from factory.store.records import DeadLetter, Row, rows_to_table

_SCORING_IN_FLIGHT = 64
"""Dialogues that a worker without a language model scores at once: enough to fill the batches of a cross-encoder."""

_HEARD_S = 0.1
"""Time for the pool to hear that the models are open, before a row can take the process down."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows `[first, last)` of those that a leg has to work on in a shard; all to the end if `last` is none.

    With all legs behind it, the shard is to be merged. A `condemned` piece is not run: its rows become dead letters,
    for they have killed their worker before; `cause` is what that worker last said, if it could.
    """

    spec: ShardSpec
    leg: int
    first: int = 0
    last: int | None = None
    attempts: int = 0
    condemned: bool = False
    cause: str = ""

    @property
    def merges(self) -> bool:
        """Whether the shard is to be merged."""
        return self.leg == len(LEGS)


@dataclass(slots=True)
class Pulse:
    """A worker's counters: rows through this leg, completion tokens, and seconds since anything was finished; why its
    server gives no answer, while that is so, and what was found out about it."""

    rows: int = 0
    failed: int = 0
    tokens: int = 0
    idle_s: float = 0.0
    waiting: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Receipt:
    """What a piece came to: how many rows are staged, and where; what could not be made; the worker's counters by
    then; what the model's server said if it will not be asked any more, so that rows are left undone."""

    rows: int
    staged: str | None
    letters: list[DeadLetter]
    decisions: Counter[str] = field(default_factory=Counter)
    pulse: Pulse = field(default_factory=Pulse)
    refusal: str | None = None


class _Counted:
    """An engine that leaves a mark on the worker's pulse with every answer."""

    def __init__(self, engine: Engine, worker: Worker) -> None:
        self._engine = engine
        self._worker = worker
        self.capacity = engine.capacity

    async def generate(self, request: Request) -> Reply:
        reply = await self._engine.generate(request)
        self._worker.beat(tokens=reply.completion_tokens)
        return reply

    async def close(self) -> None:
        await self._engine.close()


class Worker:
    """One worker of a leg. Raises EngineStartError or ScorerStartError when a model cannot be opened."""

    def __init__(self, job: Job, leg: int, chains: Chains) -> None:
        self._job = job
        self._leg = leg
        self._corpus = Corpus(job.corpus)
        self._stages = build_stages(job)
        self._chains = chains
        self._opening = asyncio.Lock()
        self._opened = asyncio.Event()
        self._engine: Engine | None = None
        self._nli: dict[NliModel, Nli] = {}
        self._embedder: Embeddings | None = None
        self._slots: asyncio.Semaphore | None = None
        self._room = 0
        self._winding_down = False
        self._health = Health()
        self._refusal: str | None = None
        self._pulse = Pulse()
        self._last_beat = time.monotonic()

    def beat(self, *, tokens: int = 0) -> None:
        """Note that something was finished."""
        self._pulse.tokens += tokens
        self._last_beat = time.monotonic()

    async def pulse(self) -> Pulse:
        """The counters, now. A worker that asks a server is not idle, however long that takes."""
        if self._health.asking:
            self.beat()
        self._pulse.idle_s = time.monotonic() - self._last_beat
        self._pulse.waiting, self._pulse.notes = self._health.waiting, tuple(self._health.notes)
        return self._pulse

    async def opened(self) -> None:
        """Return once the models of the first rows are open."""
        await self._opened.wait()

    async def prepare(self) -> None:
        """Open the models of the whole leg, ahead of its first rows. What cannot be opened, they will say."""
        chains = self._chains.values()
        await self._open(
            {recipe.stage for chain in chains for recipe in self._left(chain, leg_start(chain, self._leg))}
        )

    async def wind_down(self) -> None:
        """Start no more dialogues; those that run are finished, if the server answers."""
        self._winding_down = True
        self._health.patient = False

    async def run(self, piece: Piece) -> Receipt:
        """Run this leg on a piece, and stage what came of it."""
        self.beat()
        work = await asyncio.to_thread(todo, self._corpus, piece.spec, piece.leg, self._chains)
        work = work[piece.first : piece.last]
        if piece.condemned:
            condemned = [self._condemn(row, wanted, count, piece.cause) for row, wanted, count in work]
            self._pulse.failed += len(condemned)
            return Receipt(0, None, condemned, pulse=await self.pulse())
        try:
            await self._open(
                {recipe.stage for row, _, count in work for recipe in self._left(self._chains[row.kind], count)}
            )
        except ServerError as error:
            return Receipt(0, None, [], pulse=await self.pulse(), refusal=str(error))
        assert self._slots is not None
        results = await asyncio.gather(*(self._row(row, wanted, count) for row, wanted, count in work))
        letters = [result for result in results if isinstance(result, DeadLetter)]
        done = [row for (row, _, _), result in zip(work, results, strict=True) if result is True]
        begun = [
            row
            for (row, _, count), result in zip(work, results, strict=True)
            if result is False and len(row.stages) > count
        ]
        # What is begun is for the next run: it is not in the receipt, or it would go with the shard.
        await self._stage(piece, begun, "begun")
        staged = await self._stage(piece, done, "rows")
        decisions: Counter[str] = Counter(row.decision for row in done if row.decision)
        return Receipt(len(done), staged, letters, decisions, await self.pulse(), self._refusal)

    async def _stage(self, piece: Piece, rows: list[Row], what: str) -> str | None:
        if not rows:
            return None
        path = f"{STAGING}/{piece.spec.id}-{piece.leg}-{piece.first}.{what}.parquet"
        await asyncio.to_thread(self._corpus.storage.write_parquet, path, rows_to_table(rows), STAGED)
        return path

    async def merge(self, spec: ShardSpec) -> Merged:
        """Write the shard's new file from its staged ones."""
        self.beat()
        return await asyncio.to_thread(merge, self._corpus, spec, self._chains)

    async def _row(self, row: Row, wanted: list[str], count: int) -> DeadLetter | bool:
        assert self._slots is not None
        async with self._slots:
            if self._winding_down:
                return False
            trim(row, count)
            chain = self._chains[row.kind][: leg_start(self._chains[row.kind], self._leg + 1)]
            try:
                letter = await run_row(row, chain, wanted, self._stages, self._kit)
            except ServerError as error:
                self._refusal, self._winding_down = str(error), True
                return False
            self.beat()
            self._pulse.rows += letter is None
            self._pulse.failed += letter is not None
            return letter or True

    def _condemn(self, row: Row, wanted: list[str], count: int, cause: str) -> DeadLetter:
        trim(row, count)
        stage = self._chains[row.kind][count].stage
        detail = "the worker died or hung each time it had this row in hand" + (
            f", at last of: {cause}" if cause else ""
        )
        return dead_letter(row, stage, "worker_died", detail, 2, fingerprint=wanted[-1])

    def _left(self, chain: list[Recipe], count: int) -> list[Recipe]:
        """What this leg has left to do for a row with the first `count` stages of the chain."""
        return chain[count : leg_start(chain, self._leg + 1)]

    async def _open(self, to_run: set[str]) -> None:
        """Open the models that these stages ask, those that are not open yet. Raises ServerError, from then on too."""
        async with self._opening:
            if self._refusal is not None:
                raise ServerError(self._refusal)
            gc.disable()  # imports make no garbage to speak of, and to look for it takes a fifth of their time
            try:
                needed = [(role, stage) for stage in sorted(to_run) for role in sorted(self._stages[stage].needs)]
                engine = [(role, stage) for role, stage in needed if role == "dialogue"]
                scorers = [(role, stage) for role, stage in needed if role != "dialogue"]
                # The engine opens in a process of its own, the scorers here; where one cannot, both come to their end,
                # or the next try would open beside what is left of this one.
                opened = await asyncio.gather(
                    self._open_models(engine), self._open_models(scorers), return_exceptions=True
                )
                for error in opened:
                    if isinstance(error, ServerError):
                        self._refusal = str(error)
                    if error is not None:
                        raise error
            finally:
                gc.enable()
            room = self._engine.capacity if self._engine is not None else _SCORING_IN_FLIGHT
            room = self._job.run.dialogues_in_flight or room
            if self._slots is not None:
                for _ in range(room - self._room):  # the engine has opened after scorers alone were at work
                    self._slots.release()
                self._room = room
            else:
                self._slots, self._room = asyncio.Semaphore(room), room
                self._opened.set()
                await asyncio.sleep(_HEARD_S)
            self.beat()

    async def _open_models(self, needed: Sequence[tuple[Role, str]]) -> None:
        for role, stage in needed:
            with needing(f"stages.{stage}"):
                await self._open_model(role, stage)

    async def _open_model(self, role: Role, stage: str) -> None:
        if role == "dialogue":
            if self._engine is None:
                assert self._job.models.dialogue is not None
                language_model, patience_s = self._job.models.dialogue, self._job.run.server_patience_s
                engine = await asyncio.to_thread(open_engine, language_model, patience_s, self._health)
                self._engine = _Counted(engine, self)
        elif role == "nli":
            model = nli_model(self._job, stage)
            if model not in self._nli:
                self._nli[model] = await asyncio.to_thread(Nli, model)
        elif self._embedder is None:
            self._embedder = await asyncio.to_thread(Embeddings, self._job.models.embedding)

    def _kit(self, stage: str) -> Kit:
        # A stage touches only the models it needs, and those are open; the others are absent.
        return Kit(
            engine=cast(Engine, self._engine),
            nli=cast(Nli, self._nli.get(nli_model(self._job, stage))),
            embedder=cast(Embeddings, self._embedder),
        )
