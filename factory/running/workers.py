"""The Ray actor that runs one phase on shards, many dialogues at once.

A worker opens exactly the models that its rows still need, on the first shard that needs them, or ahead of it where the
driver knows that rows will need them all. Each dialogue is a coroutine; a semaphore lets a new one start as an old one
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

from factory.base.packages import needing
from factory.engines import Health, Reply, ServerError
from factory.methods import ModelKind
from factory.planning.shard import STAGING, ShardSpec, Todo, todo
from factory.running.merging import Merged, merge
from factory.running.metrics import Metrics
from factory.running.models import Models
from factory.running.pipeline import Failure, dead_letter, fail_scores, run_row
from factory.spec.budget import Used
from factory.spec.identity import Entry, entries
from factory.spec.job import Job
from factory.spec.phases import Making
from factory.store.corpus import Corpus
from factory.store.dead_letters import DeadLetter
from factory.store.records import Row, ScoreColumns, rows_to_table

_SCORING_IN_FLIGHT = 64
"""Dialogues that a worker without a language model scores at once: enough to fill the batches of a cross-encoder."""

_HEARD_S = 0.1
"""Time for the pool to hear that the models are open, before a row can take the process down."""


@dataclass(frozen=True, slots=True)
class ShardTask:
    """The rows `[first, last)` of those that a phase has to work on in a shard; all to the end if `last` is none.

    With all phases behind it, the shard is to be merged. Rows that have killed their workers are run `without_scores`,
    since it may have been one of these; if it was not, the task is `condemned` and not run: its rows become dead
    letters. `cause` is what the worker last said, if it could.
    """

    spec: ShardSpec
    phase: int
    first: int = 0
    last: int | None = None
    attempts: int = 0
    without_scores: bool = False
    condemned: bool = False
    cause: str = ""

    @property
    def merges(self) -> bool:
        """Whether the shard is to be merged."""
        return self.phase == len(self.spec.rows)


@dataclass(slots=True)
class Heartbeat:
    """A worker's counters: rows through this phase, completion tokens, all tokens by model, and seconds since anything
    was finished; why its server gives no answer, while that is so, and what was found out about it."""

    rows: int = 0
    failed: int = 0
    tokens: int = 0
    used: Used = field(default_factory=dict)
    idle_s: float = 0.0
    waiting: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class TaskResult:
    """What a task came to: how many rows are staged, and where; what could not be made; the worker's counters by
    then; what the model's server said if it will not be asked any more, so that rows are left undone."""

    rows: int
    staged: str | None
    letters: list[DeadLetter]
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    refusal: str | None = None


class Worker:
    """One worker of a phase. Raises EngineStartError or ScorerStartError when a model cannot be opened."""

    def __init__(self, job: Job, phase: int, making: Making) -> None:
        self._job = job
        self._phase = phase
        self._corpus = Corpus(job.corpus)
        self._entries = entries(job)
        self._making = making
        self._opening = asyncio.Lock()
        self._opened = asyncio.Event()
        self._slots: asyncio.Semaphore | None = None
        self._room = 0
        self._winding_down = False
        self._health = Health()
        asked = {stage: self._entries[stage] for stage in making.phases[phase].stages}
        self._models = Models(job, asked, self._health, self._answered)
        self._metrics = Metrics(job.corpus)
        self._refusal: str | None = None
        self._heartbeat = Heartbeat()
        self._last_beat = time.monotonic()

    def beat(self) -> None:
        """Note that something was finished."""
        self._last_beat = time.monotonic()

    def _answered(self, model: str, reply: Reply) -> None:
        used = self._heartbeat.used.setdefault(model, Counter())
        used.update({name: getattr(reply, name) for name in ("prompt_tokens", "cached_tokens", "completion_tokens")})
        self._heartbeat.tokens += reply.completion_tokens
        self._metrics.answered(model, reply)
        self.beat()

    async def heartbeat(self) -> Heartbeat:
        """The counters, now. A worker that asks a server is not idle, however long that takes."""
        if self._health.asking:
            self.beat()
        self._heartbeat.idle_s = time.monotonic() - self._last_beat
        self._metrics.asked(self._models.requests)
        self._heartbeat.waiting, self._heartbeat.notes = self._health.waiting, tuple(self._health.notes)
        return self._heartbeat

    async def opened(self) -> None:
        """Return once the models of the first rows are open."""
        await self._opened.wait()

    async def prepare(self) -> None:
        """Open the models of the whole phase, ahead of its first rows. What cannot be opened, they will say."""
        passed = {recipe.stage for recipes in self._making.recipes.values() for recipe in recipes}
        await self._open(passed.intersection(self._making.phases[self._phase].stages))

    async def wind_down(self) -> None:
        """Start no more dialogues; those that run are finished, if the server answers."""
        self._winding_down = True
        self._health.patient = False

    async def run(self, task: ShardTask) -> TaskResult:
        """Run this phase on a task, and stage what came of it."""
        self.beat()
        work, columns = await asyncio.to_thread(todo, self._corpus, task.spec, task.phase, self._making)
        work = work[task.first : task.last]
        if task.condemned:
            return await self._condemn(task, work, columns)
        if task.without_scores:
            work = [self._without_scores(one, task.cause) for one in work]
        try:
            await self._open({stage for one in work for stage in one.stages})
        except ServerError as error:
            return TaskResult(0, None, [], heartbeat=await self.heartbeat(), refusal=str(error))
        assert self._slots is not None
        before = [len(one.row.stages) for one in work]
        results = await asyncio.gather(*map(self._row, work))
        letters = [result for result in results if isinstance(result, DeadLetter)]
        self._metrics.failed(letters)
        done = [one.row for one, result in zip(work, results, strict=True) if result is True]
        begun = [
            one.row
            for one, result, count in zip(work, results, before, strict=True)
            if result is False and len(one.row.stages) > count
        ]
        # What is begun is for the next run: it is not in the result, or it would go with the shard.
        await self._stage(task, begun, columns, "begun")
        staged = await self._stage(task, done, columns, "rows")
        return TaskResult(len(done), staged, letters, await self.heartbeat(), self._refusal)

    async def _stage(self, task: ShardTask, rows: list[Row], columns: ScoreColumns, what: str) -> str | None:
        if not rows:
            return None
        path = f"{STAGING}/{task.spec.id}-{task.phase}-{task.first}.{what}.arrow"
        await asyncio.to_thread(self._corpus.storage.write_arrow, path, rows_to_table(rows, columns))
        return path

    async def merge(self, spec: ShardSpec) -> Merged:
        """Write the shard's new file from its staged ones."""
        self.beat()
        merged = await asyncio.to_thread(merge, self._corpus, spec, self._making)
        self._metrics.merged(merged)
        return merged

    async def _row(self, one: Todo) -> DeadLetter | bool:
        assert self._slots is not None
        async with self._slots:
            if self._winding_down:
                return False
            try:
                letter = await run_row(one, self._making.recipes[one.row.kind], self._entries, self._models.kit)
            except ServerError as error:
                self._refusal, self._winding_down = str(error), True
                return False
            self.beat()
            self._heartbeat.rows += letter is None
            self._heartbeat.failed += letter is not None
            return letter or True

    async def _condemn(self, task: ShardTask, work: Sequence[Todo], columns: ScoreColumns) -> TaskResult:
        """Give up rows that have killed their workers: those that were in a maker's hands become dead letters, of the
        others the scores stay without values."""
        failure, letters, done = _worker_died(task.cause), [], []
        for one in work:
            made = self._makers(one)
            if made:
                letters.append(dead_letter(one.row, made[0], failure, one.wanted))
            else:
                done.append(self._without_scores(one, task.cause).row)
        self._metrics.failed(letters)
        self._heartbeat.failed += len(letters)
        self._heartbeat.rows += len(done)
        staged = await self._stage(task, done, columns, "rows")
        return TaskResult(len(done), staged, letters, await self.heartbeat())

    def _without_scores(self, one: Todo, cause: str) -> Todo:
        """The same without its scores, which stay without values."""
        makers = self._makers(one)
        scores = one._replace(stages=[stage for stage in one.stages if stage not in makers])
        fail_scores(scores, self._making.recipes[one.row.kind], _worker_died(cause))
        return one._replace(stages=makers)

    def _makers(self, one: Todo) -> list[str]:
        return [stage for stage in one.stages if self._entries[stage].section == "makers"]

    async def _open(self, to_run: set[str]) -> None:
        """Open the models that these entries ask, those that are not open yet. Raises ServerError, from then on too."""
        async with self._opening:
            if self._refusal is not None:
                raise ServerError(self._refusal)
            gc.disable()  # imports make no garbage to speak of, and to look for it takes a fifth of their time
            try:
                asked = [self._entries[stage] for stage in sorted(to_run)]
                needed = [(kind, entry) for entry in asked for kind in sorted(entry.models)]
                engine = [(kind, entry) for kind, entry in needed if kind == "language"]
                scorers = [(kind, entry) for kind, entry in needed if kind != "language"]
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
            room = self._job.run.dialogues_in_flight or self._models.capacity or _SCORING_IN_FLIGHT
            if self._slots is not None:
                for _ in range(room - self._room):  # the engine has opened after scorers alone were at work
                    self._slots.release()
                self._room = room
            else:
                self._slots, self._room = asyncio.Semaphore(room), room
                self._opened.set()
                await asyncio.sleep(_HEARD_S)
            self.beat()

    async def _open_models(self, needed: Sequence[tuple[ModelKind, Entry]]) -> None:
        for kind, entry in needed:
            with needing(f"{entry.section}.{entry.name}"):
                await self._models.open(entry.models[kind])


def _worker_died(cause: str) -> Failure:
    said = f", at last of: {cause}" if cause else ""
    return Failure("worker_died", f"the worker died or hung each time it worked on this row{said}", 2)
