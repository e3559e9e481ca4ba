"""A pool of workers for one leg: started as there is work, replaced when they die or hang.

A shard that was in a worker's hands when it died is handed out again, alone, so that it cannot take others with it. If
it kills a second worker it is split, down to the one row that does it, and that row is condemned: it becomes a dead
letter. A worker that dies before its models are open is no row's fault: another is started, but not for ever. Gives up:
neighbours of a bad shard are run alone too, until they have shown that it was not them.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError

from factory.engines import EngineDeadError, EngineStartError
from factory.job import LEGS, Job, Workers
from factory.nli import ScorerStartError
from factory.shard import Chains, Merged
from factory.workers import Piece, Pulse, Receipt, Worker

_ATTEMPTS = 2
"""Deaths or faults after which a shard is split."""

_RESTARTS = 5
"""Workers of a pool that may fail to start, or to write a shard, one after another, before the job stops."""

_FRUITLESS = 20
"""Workers, for each that a pool may have, that may be lost one after another while no piece of work is done."""

_LOST = (RayActorError, OutOfMemoryError, NodeDiedError)
"""What Ray says of a worker whose process or node is gone."""

_CONCURRENT_CALLS = 1000

_LOGS = "the logs of Ray say more (on this machine: /tmp/ray/session_latest/logs)"


class RunError(Exception):
    """The run cannot go on: why, and what to do. What was committed stays."""


@dataclass(slots=True)
class Outcome:
    """A piece that is through, and what came of it."""

    piece: Piece
    result: Receipt | Merged


@dataclass(slots=True)
class _Handle:
    actor: Any
    opened: Any
    asked: Any
    asked_at: float
    ready: bool = False
    open: bool = False
    pulse: Pulse = field(default_factory=Pulse)
    tasks: dict[Any, Piece] = field(default_factory=dict)

    def suspect(self) -> bool:
        """Whether the worker holds a piece that a worker has died of."""
        return any(piece.attempts for piece in self.tasks.values())


class Pool:
    """The workers of one leg. `outstanding` counts, by shard, the pieces that are queued or in a worker's hands;
    `lost` the workers that died or hung, and `again` the rows that were handed out again for it. While work is
    `expected`, workers start and open their models ahead of it."""

    def __init__(self, job: Job, leg: int, knobs: Workers, chains: Chains) -> None:
        self.leg = leg
        self.knobs = knobs
        self.queue: deque[Piece] = deque()
        self.outstanding: Counter[str] = Counter()
        self.lost = 0
        self.again = 0
        self.expected = False
        self._job = job
        self._chains = chains
        self._handles: list[_Handle] = []
        self._past = Pulse()
        self._failed_starts = 0
        self._fruitless = 0
        self._proven = False
        self._winding_down = False

    def put(self, piece: Piece) -> None:
        """Queue a piece."""
        self.outstanding[piece.spec.id] += 1
        self.queue.append(piece)

    def tick(self) -> list[Outcome]:
        """Start workers, hand out, and collect what is through. Raises RunError."""
        self._grow()
        self._hand_out()
        outcomes = [outcome for handle in list(self._handles) for outcome in self._collect(handle)]
        for handle in list(self._handles):
            self._feel(handle)
        return outcomes

    def busy(self) -> bool:
        """Whether anything is queued or in hand."""
        return bool(self.queue) or any(handle.tasks for handle in self._handles)

    def waiting(self) -> bool:
        """Whether there is work, and no worker has found room in the cluster yet."""
        return bool(self.queue) and not any(handle.ready for handle in self._handles)

    def has_opened(self) -> bool:
        """Whether a worker has its models open."""
        return any(self._opened(handle) for handle in self._handles)

    def refs(self) -> list[Any]:
        """What to wait for."""
        return [ref for handle in self._handles for ref in (*handle.tasks, *([] if handle.ready else [handle.asked]))]

    def alive(self) -> int:
        """Workers that have started."""
        return sum(handle.ready for handle in self._handles)

    def pulse(self) -> Pulse:
        """The counters of all workers, the dead included."""
        pulses = [self._past, *(handle.pulse for handle in self._handles)]
        return Pulse(*(sum(getattr(pulse, name) for pulse in pulses) for name in ("rows", "failed", "tokens")))

    def wind_down(self) -> None:
        """Hand out no more; workers finish the dialogues they are in."""
        self._winding_down = True
        self.outstanding.subtract(piece.spec.id for piece in self.queue)
        self.queue.clear()
        for handle in self._handles:
            handle.actor.wind_down.remote()

    def release(self) -> None:
        """Let all workers go, and with them the room they hold."""
        for handle in list(self._handles):
            self._drop(handle)

    def _grow(self) -> None:
        pieces = len(self.queue) + sum(len(handle.tasks) for handle in self._handles)
        useful = -(-pieces // self._job.run.shards_per_worker)
        wanted = min(self.knobs.max, max(self.knobs.min, useful)) if self.queue or self.expected else 0
        while len(self._handles) < wanted:
            actor = (
                ray.remote(Worker)
                .options(num_cpus=self.knobs.cpus, num_gpus=self.knobs.gpus, max_concurrency=_CONCURRENT_CALLS)
                .remote(self._job, self.leg, self._chains)
            )
            self._handles.append(_Handle(actor, actor.opened.remote(), actor.pulse.remote(), time.monotonic()))
            if not self.queue:
                actor.prepare.remote()

    def _hand_out(self) -> None:
        for handle in sorted(self._handles, key=lambda handle: len(handle.tasks)):
            while self.queue and handle.ready and self._room(handle, self.queue[0]):
                piece = self.queue.popleft()
                if piece.leg == len(LEGS):
                    ref = handle.actor.merge.remote(piece.spec)
                else:
                    ref = handle.actor.run.remote(piece)
                handle.tasks[ref] = piece

    def _room(self, handle: _Handle, piece: Piece) -> bool:
        if piece.attempts or handle.suspect():
            return not handle.tasks
        return len(handle.tasks) < self._job.run.shards_per_worker

    def _collect(self, handle: _Handle) -> Iterator[Outcome]:
        done, _ = ray.wait(list(handle.tasks), num_returns=len(handle.tasks), timeout=0) if handle.tasks else ([], [])
        for ref in done:
            piece = handle.tasks[ref]
            try:
                result = ray.get(ref)
            except (*_LOST, EngineDeadError):
                self._bury(handle)
                return
            except (EngineStartError, ScorerStartError) as error:
                self._start_failed(handle, _beneath(error))
                return
            except Exception as error:
                self._fault(handle, ref, _beneath(error))
                continue
            del handle.tasks[ref]
            self._failed_starts = 0
            self._proven = True
            if not piece.condemned:  # such a piece no engine has seen
                self._fruitless = 0
            self.outstanding[piece.spec.id] -= 1
            yield Outcome(piece, result)

    def _feel(self, handle: _Handle) -> None:
        """Read the worker's pulse; a worker that gives none, or finishes nothing, for too long is replaced."""
        limit = self._job.run.stall_timeout_s
        try:
            handle.pulse = ray.get(handle.asked, timeout=0)
        except GetTimeoutError:
            if handle.ready and time.monotonic() - handle.asked_at > limit:
                self._bury(handle, hung=True)
            return
        except _LOST:
            self._bury(handle)
            return
        if not handle.ready and self._winding_down:
            handle.actor.wind_down.remote()
        handle.ready = True
        if handle.tasks and handle.pulse.idle_s > limit:
            self._bury(handle, hung=True)
        elif time.monotonic() - handle.asked_at > 1:
            handle.asked, handle.asked_at = handle.actor.pulse.remote(), time.monotonic()

    def _bury(self, handle: _Handle, *, hung: bool = False) -> None:
        """A worker is lost. What it had in hand is handed out again, and under suspicion if its models were open."""
        opened = self._opened(handle)
        self._drop(handle)
        self.lost += 1
        if self._winding_down:
            return
        if not opened and not any(piece.leg == len(LEGS) for piece in handle.tasks.values()):
            self._failed_starts += 1
            if hung and not self._proven:
                limit = self._job.run.stall_timeout_s
                raise RunError(f"no worker opens its models within run.stall_timeout_s ({limit:g} s); {_LOGS}")
            if self._failed_starts > _RESTARTS:
                raise RunError(f"{_RESTARTS + 1} workers died or hung, one after another, while they started; {_LOGS}")
        self._fruitless += 1
        if self._fruitless > _FRUITLESS * self.knobs.max:
            raise RunError(f"{self._fruitless} workers were lost, one after another, and no dialogue done; {_LOGS}")
        for piece in handle.tasks.values():
            self._again(piece, suspect=opened)

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
        self.queue.extendleft(handle.tasks.values())

    def _fault(self, handle: _Handle, ref: Any, error: Exception) -> None:
        piece = handle.tasks.pop(ref)
        if piece.attempts + 1 >= _ATTEMPTS:
            raise RunError(f"a shard cannot be read or written: {error}") from error
        self.queue.append(replace(piece, attempts=piece.attempts + 1))

    def _drop(self, handle: _Handle) -> None:
        self._handles.remove(handle)
        for name in ("rows", "failed", "tokens"):
            setattr(self._past, name, getattr(self._past, name) + getattr(handle.pulse, name))
        ray.kill(handle.actor)

    def _again(self, piece: Piece, *, suspect: bool) -> None:
        if piece.leg == len(LEGS):
            if piece.attempts == _RESTARTS:
                raise RunError(f"{_RESTARTS + 1} workers died while they wrote one shard; {_LOGS}")
            self.queue.append(replace(piece, attempts=piece.attempts + 1))
            return
        last = piece.spec.rows[piece.leg] if piece.last is None else piece.last
        self.again += last - piece.first
        if not suspect:
            self.queue.appendleft(piece)
        elif piece.attempts + 1 < _ATTEMPTS:
            self.queue.append(replace(piece, attempts=piece.attempts + 1))
        elif last - piece.first <= 1:
            self.queue.append(replace(piece, condemned=True))
        else:
            middle = (piece.first + last) // 2
            self.outstanding[piece.spec.id] += 1
            self.queue.append(replace(piece, last=middle, attempts=_ATTEMPTS - 1))
            self.queue.append(replace(piece, first=middle, attempts=_ATTEMPTS - 1))


def _beneath(error: Exception) -> Exception:
    """What the worker raised: Ray's own error is its traceback."""
    return error.cause if isinstance(error, RayTaskError) else error
