"""A pool of workers for one phase: started as there is work, replaced when they die or hang.

A shard that was in a worker's hands when it died is handed out again, alone, so that it cannot take others with it. If
it kills a second worker it is split, down to the one row that does it. That row goes on without its scores, or, if a
maker did it, is condemned: it becomes a dead letter. A worker that dies before its models are open is no row's fault:
another is started, but not for ever.
Limitations: neighbours of a bad shard are run alone too, until they have shown that it was not them.
"""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import ray
from ray.exceptions import GetTimeoutError, NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError

from factory.base.packages import explain_missing
from factory.engines import EngineDeadError, EngineStartError
from factory.running.merging import Merged
from factory.running.workers import Heartbeat, ShardTask, TaskResult, Worker
from factory.scorers.classifier import ScorerStartError
from factory.spec.budget import added
from factory.spec.job import Job, Workers
from factory.spec.phases import Making
from factory.store.storage import StorageError
from factory.store.table import CorpusError

_ATTEMPTS = 2
"""Deaths or faults after which a shard is split."""

_RESTARTS = 5
"""Workers of a pool that may fail to start, or to write a shard, one after another, before the job stops."""

_FRUITLESS = 20
"""Workers, for each that a pool may have, that may be lost one after another while no task is done."""

_LOST = (RayActorError, OutOfMemoryError, NodeDiedError)
"""What Ray says of a worker whose process or node is gone."""

_MISSING = re.compile(r"^ModuleNotFoundError: No module named '(\w+)", re.MULTILINE)

_CONCURRENT_CALLS = 1000


class RunError(Exception):
    """The run cannot go on: why, and what to do. What was committed stays."""


@dataclass(slots=True)
class Outcome:
    """A task that is through, and what came of it."""

    task: ShardTask
    result: TaskResult | Merged


@dataclass(slots=True)
class _Handle:
    """A worker. `asked` is the heartbeat that it was asked for at `asked_at`, none once it is heard; `rows` and
    `failed` are those of the tasks that came through; `busy_at` is when it was given work and had none."""

    actor: Any
    opened: Any
    asked: Any
    asked_at: float
    rows: int = 0
    failed: int = 0
    busy_at: float = 0.0
    ready: bool = False
    open: bool = False
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    tasks: dict[Any, ShardTask] = field(default_factory=dict)

    def suspect(self) -> bool:
        """Whether the worker holds a task that a worker has died of."""
        return any(task.attempts for task in self.tasks.values())

    def hear(self, heartbeat: Heartbeat) -> None:
        """Keep the later of the worker's counters: a heartbeat may come after the result that overtook it."""
        self.heartbeat = max(heartbeat, self.heartbeat, key=lambda one: (one.rows + one.failed, one.tokens))
        self.heartbeat.waiting = heartbeat.waiting


class Pool:
    """The workers of one phase. `outstanding` counts, by shard, the tasks that are queued or in a worker's hands;
    `lost` the workers that died or hung, and `again` the rows that were handed out again for it. While work is
    `expected`, workers start and open their models ahead of it."""

    def __init__(self, job: Job, phase: int, knobs: Workers, making: Making) -> None:
        self.phase = phase
        self.knobs = knobs
        self.queue: deque[ShardTask] = deque()
        self.outstanding: Counter[str] = Counter()
        self.lost = 0
        self.again = 0
        self.expected = False
        self._job = job
        self._making = making
        self._has_scores = any(stage in job.scores for stage in making.phases[phase].stages)
        self._alone: deque[ShardTask] = deque()
        self._actors = ray.remote(Worker).options(
            num_cpus=knobs.cpus, num_gpus=knobs.gpus, max_concurrency=_CONCURRENT_CALLS
        )
        self._handles: list[_Handle] = []
        self._past = Heartbeat()
        self._failed_starts = 0
        self._fruitless = 0
        self._proven = False
        self._winding_down = False

    def put(self, task: ShardTask) -> None:
        """Queue a task. Merges come first: what is nearly done is the sooner committed."""
        self.outstanding[task.spec.id] += 1
        if task.merges:
            self.queue.appendleft(task)
        else:
            self.queue.append(task)

    def tick(self) -> list[Outcome]:
        """Start workers, hand out, and collect what is through. Raises RunError."""
        self._grow()
        self._hand_out()
        refs = [ref for handle in self._handles for ref in (*handle.tasks, handle.asked) if ref is not None]
        done = set(ray.wait(refs, num_returns=len(refs), timeout=0)[0]) if refs else set()
        outcomes = [outcome for handle in list(self._handles) for outcome in self._collect(handle, done)]
        for handle in list(self._handles):
            self._listen(handle, done)
        return outcomes

    def busy(self) -> bool:
        """Whether anything is queued or in hand."""
        return bool(self.queue or self._alone) or any(handle.tasks for handle in self._handles)

    def waiting(self) -> bool:
        """Whether there is work, and no worker has found room in the cluster yet."""
        return bool(self.queue or self._alone) and not any(handle.ready for handle in self._handles)

    def has_opened(self) -> bool:
        """Whether a worker has its models open."""
        return any(self._opened(handle) for handle in self._handles)

    def refs(self) -> list[Any]:
        """What to wait for."""
        return [ref for handle in self._handles for ref in (*handle.tasks, *([] if handle.ready else [handle.asked]))]

    def alive(self) -> int:
        """Workers that have started."""
        return sum(handle.ready for handle in self._handles)

    def heartbeat(self) -> Heartbeat:
        """The counters of all workers, the dead included, what one of them waits for, and all that they found out."""
        heartbeats = [self._past, *(handle.heartbeat for handle in self._handles)]
        rows, failed, tokens = (sum(getattr(one, name) for one in heartbeats) for name in ("rows", "failed", "tokens"))
        waiting = next((one.waiting for one in heartbeats if one.waiting), None)
        notes = tuple(dict.fromkeys(note for one in heartbeats for note in one.notes))
        used = added(one.used for one in heartbeats)
        return Heartbeat(rows, failed, tokens, used, waiting=waiting, notes=notes)

    def wind_down(self) -> None:
        """Hand out no more rows; workers finish the dialogues they are in, and what is made is merged."""
        self._winding_down = True
        for queue in (self.queue, self._alone):
            merges = [task for task in queue if task.merges]
            self.outstanding.subtract(task.spec.id for task in queue if not task.merges)
            queue.clear()
            queue.extend(merges)
        for handle in self._handles:
            handle.actor.wind_down.remote()

    def release(self) -> None:
        """Let all workers go, and with them the room they hold."""
        for handle in list(self._handles):
            self._drop(handle)

    def _grow(self) -> None:
        queued = len(self.queue) + len(self._alone)
        tasks = queued + sum(len(handle.tasks) for handle in self._handles)
        useful = -(-tasks // self._job.run.shards_per_worker)
        wanted = min(self.knobs.max, max(self.knobs.min, useful)) if queued or self.expected else 0
        while len(self._handles) < wanted:
            actor = self._actors.remote(self._job, self.phase, self._making)
            self._handles.append(_Handle(actor, actor.opened.remote(), actor.heartbeat.remote(), time.monotonic()))
            if not queued:
                actor.prepare.remote()

    def _hand_out(self) -> None:
        """Fill the workers' hands. For each task that must run alone, the worker that holds least is kept from more
        until it holds nothing; the others go on."""
        kept = len(self._alone)
        for handle in sorted(self._handles, key=lambda handle: len(handle.tasks)):
            if not handle.ready or handle.suspect():
                continue
            if kept:
                kept -= 1
                if not handle.tasks:
                    self._give(handle, self._alone.popleft())
                continue
            while (task := self._next(handle)) is not None:
                self._give(handle, task)

    def _next(self, handle: _Handle) -> ShardTask | None:
        """Off the queue, the first task that the worker has room for. It holds so many shards to work on, and as many
        to merge: those keep no model busy."""
        room = dict.fromkeys((True, False), self._job.run.shards_per_worker)
        for held in handle.tasks.values():
            room[held.merges] -= 1
        for place, task in enumerate(self.queue):
            if room[task.merges] > 0:
                del self.queue[place]
                return task
            if not task.merges:
                break
        return None

    @staticmethod
    def _give(handle: _Handle, task: ShardTask) -> None:
        if not handle.tasks:
            handle.busy_at = time.monotonic()
        ref = handle.actor.merge.remote(task.spec) if task.merges else handle.actor.run.remote(task)
        handle.tasks[ref] = task

    def _collect(self, handle: _Handle, done: set[Any]) -> Iterator[Outcome]:
        for ref in [ref for ref in handle.tasks if ref in done]:
            task = handle.tasks[ref]
            try:
                result = ray.get(ref)
            except _LOST:
                self._lose(handle)
                return
            except EngineDeadError as error:
                self._lose(handle, cause=str(_beneath(error)))
                return
            except (EngineStartError, ScorerStartError) as error:
                self._start_failed(handle, _beneath(error))
                return
            except Exception as error:
                self._fault(handle, ref, _beneath(error))
                continue
            del handle.tasks[ref]
            if isinstance(result, TaskResult):
                handle.hear(result.heartbeat)
                handle.rows += result.rows
                handle.failed += len(result.letters)
            self._failed_starts = 0
            self._proven = True
            if not (task.without_scores or task.condemned):  # such a task may have seen no engine
                self._fruitless = 0
            self.outstanding[task.spec.id] -= 1
            if not self.outstanding[task.spec.id]:
                del self.outstanding[task.spec.id]
            yield Outcome(task, result)

    def _listen(self, handle: _Handle, done: set[Any]) -> None:
        """Read the worker's heartbeat; a worker that gives none, or finishes nothing, for too long is replaced."""
        limit, now = self._job.run.stall_timeout_s, time.monotonic()
        if handle.asked in done:
            try:
                handle.hear(ray.get(handle.asked))
            except _LOST as error:
                if not handle.ready and (missing := _MISSING.search(str(error))):  # in what a worker is made of
                    raise RunError(explain_missing(ModuleNotFoundError(name=missing[1]), "a worker")) from error
                self._lose(handle)
                return
            if not handle.ready and self._winding_down:
                handle.actor.wind_down.remote()
            handle.ready, handle.asked = True, None
            if handle.tasks and min(handle.heartbeat.idle_s, now - handle.busy_at) > limit:
                self._lose(handle, hung=True)
                return
        elif handle.asked is not None and handle.ready and now - handle.asked_at > limit:
            self._lose(handle, hung=True)
            return
        if handle.asked is None and now - handle.asked_at > 1:
            handle.asked, handle.asked_at = handle.actor.heartbeat.remote(), now

    def _lose(self, handle: _Handle, *, hung: bool = False, cause: str = "") -> None:
        """A worker is lost. What it had in hand is handed out again, and under suspicion if its models were open.
        `cause` is what it said, if it could."""
        more = f"the last one said: {cause}" if cause else _logs()
        opened = self._opened(handle)
        self._drop(handle)
        self.lost += 1
        if self._winding_down:
            return
        if not opened and not any(task.merges for task in handle.tasks.values()):
            self._failed_starts += 1
            if hung and not self._proven:
                limit = self._job.run.stall_timeout_s
                raise RunError(f"no worker opens its models within run.stall_timeout_s ({limit:g} s); {_logs()}")
            if self._failed_starts > _RESTARTS:
                raise RunError(f"{_RESTARTS + 1} workers died or hung, one after another, while they started; {more}")
        self._fruitless += 1
        if self._fruitless > _FRUITLESS * self.knobs.max:
            raise RunError(f"{self._fruitless} workers were lost, one after another, and no dialogue done; {more}")
        for task in handle.tasks.values():
            self._again(replace(task, cause=cause), suspect=opened)

    @staticmethod
    def _opened(handle: _Handle) -> bool:
        if not handle.open:
            with suppress(GetTimeoutError, *_LOST):
                ray.get(handle.opened, timeout=0)
                handle.open = True
        return handle.open

    def _start_failed(self, handle: _Handle, error: Exception) -> None:
        self._failed_starts += 1
        if not self._proven or self._failed_starts > _RESTARTS:
            raise RunError(str(error)) from error
        self._drop(handle)
        for task in handle.tasks.values():
            self._back(task)

    def _fault(self, handle: _Handle, ref: Any, error: Exception) -> None:
        """A worker has raised. Unless a package is missing, the task is tried again, alone."""
        task = handle.tasks.pop(ref)
        if isinstance(error, ImportError):
            raise RunError(explain_missing(error, "a worker")) from error
        if task.attempts + 1 >= _ATTEMPTS:
            raise RunError(_told(task, error)) from error
        self._alone.append(replace(task, attempts=task.attempts + 1))

    def _drop(self, handle: _Handle) -> None:
        self._handles.remove(handle)
        # What it did of other tasks is done again; its tokens are spent.
        self._past.notes = tuple(dict.fromkeys((*self._past.notes, *handle.heartbeat.notes)))
        self._past.rows += handle.rows
        self._past.failed += handle.failed
        self._past.tokens += handle.heartbeat.tokens
        self._past.used = added((self._past.used, handle.heartbeat.used))
        ray.kill(handle.actor)

    def _back(self, task: ShardTask) -> None:
        (self._alone if task.attempts else self.queue).appendleft(task)

    def _again(self, task: ShardTask, *, suspect: bool) -> None:
        if task.merges:
            if task.attempts == _RESTARTS:
                raise RunError(f"{_RESTARTS + 1} workers died while they wrote one shard; {_logs()}")
            self._alone.append(replace(task, attempts=task.attempts + 1))
            return
        last = task.spec.rows[task.phase] if task.last is None else task.last
        self.again += last - task.first
        if not suspect:
            self._back(task)
        elif task.attempts + 1 < _ATTEMPTS:
            self._alone.append(replace(task, attempts=task.attempts + 1))
        elif last - task.first <= 1 and self._has_scores and not task.without_scores:
            self._alone.append(replace(task, without_scores=True))
        elif last - task.first <= 1:
            self._alone.append(replace(task, condemned=True))
        else:
            middle = (task.first + last) // 2
            self.outstanding[task.spec.id] += 1
            self._alone.append(replace(task, last=middle, attempts=_ATTEMPTS - 1))
            self._alone.append(replace(task, first=middle, attempts=_ATTEMPTS - 1))


def _logs() -> str:
    folder = ray.get_runtime_context().get_temp_dir()
    return f"the logs of Ray say more (on this machine: {folder}/session_latest/logs)"


def _told(task: ShardTask, error: Exception) -> str:
    if isinstance(error, (StorageError, CorpusError, pa.ArrowException)):
        return f"a shard cannot be read or written: {error}"
    done = "merging" if task.merges else f"phase {task.phase + 1} of"
    said = " ".join(str(error).split())
    return f"a worker failed twice while {done} shard {task.spec.id}: {type(error).__name__}: {said}; {_logs()}"


def _beneath(error: Exception) -> Exception:
    """What the worker raised: Ray's own error is its traceback."""
    return error.cause if isinstance(error, RayTaskError) else error
