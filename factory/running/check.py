"""A job tried out before money is spent on it: its storage, its seeds, its models, and one row through all of it.

Everything happens in this process, phase by phase, as workers would do it, and nothing is kept but what planning keeps.
What is wrong with one thing does not keep the others from being tried, but for a row that nothing can be made of.
Limitations: one row says little of how many will fail; what opens here may not open on another machine of a cluster;
memory is that of this process and its children, so what several share is counted for each.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
import psutil
import pyarrow as pa

from factory.base.packages import MissingPackageError, needing
from factory.base.redact import redact
from factory.engines import EngineDeadError, EngineStartError, Health, LanguageModel, ServerError
from factory.models import licence_of, short
from factory.planning.plan import plan
from factory.planning.shard import STAGING, Todo
from factory.planning.wanted import PlanError, Wanted
from factory.running.models import Models
from factory.running.pipeline import LACKING, run_row
from factory.scorers.classifier import ScorerStartError
from factory.seeds.files import SourceError
from factory.spec.identity import Entry, entries, row_fingerprints
from factory.spec.job import Job
from factory.spec.phases import Making, making
from factory.store.records import Row, StageRecord
from factory.store.shards import Shard
from factory.store.storage import StorageError
from factory.store.table import ConflictError, CorpusError, Table

_PATIENCE_S = 10
"""Seconds that a server which does not answer is waited for, at most."""
_WRONG = (
    CorpusError, EngineDeadError, EngineStartError, MissingPackageError, PlanError, ScorerStartError, ServerError,
    SourceError, StorageError,
)  # fmt: skip
_RACES = 5
"""Times that two writers race: once, the later one may come too late to try."""
_PROBE = pa.table({"version": pa.array([0], pa.int64())})
_GIB = 2**30


@dataclass(slots=True)
class Step:
    """One thing that was tried: what was found, how long it took, and what is wrong with it, if something is."""

    what: str
    found: str = ""
    seconds: float = 0.0
    wrong: str | None = None


@dataclass(slots=True)
class Checked:
    """What was tried, in order, and the row that came of it, as far as it came."""

    steps: list[Step] = field(default_factory=list)
    row: Row | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing was wrong."""
        return all(step.wrong is None for step in self.steps)


def check(job: Job, report: Callable[[Step], None] = lambda _: None) -> Checked:
    """Try a job out; `report` hears of each step as it ends."""
    return _Check(job, report).run()


class _Check:
    def __init__(self, job: Job, report: Callable[[Step], None]) -> None:
        patience_s = min(_PATIENCE_S, job.run.server_patience_s)
        self.job = job.model_copy(update={"run": job.run.model_copy(update={"server_patience_s": patience_s})})
        self.report = report
        self.entries = entries(job)
        self.checked = Checked()

    def run(self) -> Checked:
        with self._step("corpus") as step:
            _write_twice(self.job.corpus)
            step.found = f"{self.job.corpus} can be written, and of two writers of one version one is refused"
        with self._step("seeds") as step:
            planned = plan(self.job)
            seeds, summary = planned.wanted.seeds, planned.summary
            unread = f", {summary.bad_seeds:,} that cannot be read" if summary.bad_seeds else ""
            step.found = f"{len(seeds):,} seeds{unread}; {summary.rows:,} rows to make, redo or drop"
            self.checked.row = _first(planned.wanted)
        asyncio.run(self._phases(making(self.job)))
        return self.checked

    @contextmanager
    def _step(self, what: str) -> Iterator[Step]:
        step, began = Step(what), time.perf_counter()
        try:
            yield step
        except _WRONG as error:
            step.wrong = redact(str(error))
        step.seconds = time.perf_counter() - began
        self._add(step)

    def _add(self, step: Step) -> None:
        self.checked.steps.append(step)
        self.report(step)

    async def _phases(self, making: Making) -> None:
        """Open the models of each phase, and have the row pass it, until it fails or a model that it needs does."""
        going = self.checked.row is not None
        for phase in making.phases:
            asked = {name: self.entries[name] for name in phase.stages}
            models = Models(self.job, asked, Health(), lambda *_: None)
            try:
                opened = [await self._open(models, name, phase.workers) for name in _models_of(asked.values())]
                if going := going and all(opened):
                    going = await self._pass(making, asked, models)
            finally:
                await models.close()

    async def _open(self, models: Models, name: str, workers: str) -> bool:
        with self._step(f"models.{name}") as step, needing(f"models.{name}"):
            before = _held()
            await models.open(name)
            step.found = f"{self._told(name)}; {_grown(before)} in each of the workers {workers}"
        return step.wrong is None

    def _told(self, name: str) -> str:
        """What a model is."""
        model = self.job.models[name]
        told = [f"{model.kind} {short(model.name)}"]
        if isinstance(model, LanguageModel):
            told += [f"engine {model.engine}"]
            told += [f"adapter {short(model.adapter)}"] if model.adapter is not None else []
        if getattr(model, "engine", "vllm") == "vllm" and (licence := licence_of(model.name, model.revision)):
            told.append(f"licence {licence}")
        return ", ".join(told)

    async def _pass(self, making: Making, asked: Mapping[str, Entry], models: Models) -> bool:
        """Have the row pass these entries; whether it goes on."""
        row = self.checked.row
        assert row is not None
        recipes = making.recipes[row.kind]
        todo = Todo(row, row_fingerprints(recipes, row), [one.stage for one in recipes if one.stage in asked])
        began, letter, wrong = time.perf_counter(), None, None
        try:
            letter = await run_row(todo, recipes, self.entries, models.kit)
        except _WRONG as error:
            wrong = redact(str(error))
        passed = [record for record in row.stages if record.stage in asked]
        for record in passed:
            self._add(_cost(record))
        spent = time.perf_counter() - began - sum(record.seconds for record in passed)
        if letter is not None:
            said = f"; the model's last answer: {letter.text}" if letter.text else ""
            self._add(Step(letter.stage, wrong=f"{letter.reason}: {letter.detail}{said}", seconds=spent))
        if wrong is not None:
            self._add(Step("row", wrong=wrong, seconds=spent))
        return letter is None and wrong is None


def _models_of(asked: Iterable[Entry]) -> Iterable[str]:
    return dict.fromkeys(name for entry in asked for name in entry.models.values())


def _write_twice(corpus: str) -> None:
    """Have two writers write the same version of a table at once, some times over: a place without conditional writes
    lets both do it, unless one of them is too late to try. Raises CorpusError or StorageError."""
    root = f"{corpus.rstrip('/')}/{STAGING}/check-{uuid.uuid4().hex}"
    tables = Table(root, _PROBE.schema), Table(root, _PROBE.schema)
    try:
        tables[0].commit([tables[0].write(_PROBE)], [], "check")
        for _ in range(_RACES):
            shards = [table.write(_PROBE) for table in tables]
            for table in tables:
                table.shards()
            with ThreadPoolExecutor(len(tables)) as pool:
                won = sum(pool.map(_wins, tables, shards))
            if won != 1:
                raise CorpusError(
                    f"{corpus}: {won} of 2 writers wrote one version, where 1 must: runs at the same time would lose "
                    "each other's rows; use a store with conditional writes (If-None-Match)"
                )
    finally:
        with suppress(StorageError):
            tables[0].storage.delete_folder("")


def _wins(table: Table, shard: Shard) -> bool:
    try:
        table.commit([shard], [], "check")
    except ConflictError:
        return False
    return True


def _first(wanted: Wanted) -> Row:
    """The first row, in the order of the seeds that it starts with. Raises PlanError if there is none."""
    order = wanted.seeds.sorted
    for place in np.argsort(order.seed):
        point = int(order.point[place])
        slots = wanted.slots(point, point)
        if len(slots):
            return next(iter(wanted.rows(slots.at(np.arange(1)))))
    raise PlanError("the seeds make no row: a dialogue needs two personas that take part; add seeds")


def _cost(record: StageRecord) -> Step:
    """What an entry took of the row. A row may lack what a score measures, and be sound."""
    asked = f"{record.prompt_tokens:,} tokens in and {record.completion_tokens:,} out" if record.calls else "no tokens"
    found, failed = f"{record.calls} calls, {asked}", record.failed
    if failed is not None and failed.endswith(LACKING):
        found, failed = f"{found}; no values: {failed}", None
    return Step(record.stage, found, record.seconds, failed)


def _held() -> tuple[int, int]:
    """Bytes of memory that this process and its children hold, and bytes of the GPU that are taken."""
    import torch

    held, own = 0, psutil.Process()
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            held += process.memory_info().rss
    free, whole = torch.cuda.mem_get_info() if torch.cuda.is_available() else (0, 0)
    return held, whole - free


def _grown(before: tuple[int, int]) -> str:
    memory, gpu = (now - was for now, was in zip(_held(), before, strict=True))
    on_gpu = f" and {gpu / _GIB:.1f} GiB of the GPU" if gpu > 0 else ""
    return f"holds {max(0, memory) / _GIB:.1f} GiB{on_gpu}"
