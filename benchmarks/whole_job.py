"""Dialogues accepted per core-second by the job of the quick start, and where the core-seconds go.

    python -m benchmarks.whole_job [--dialogues 120] [--rounds 2] [--set FIELD=VALUE ...]

The job is `jobs/quickstart.yaml`, all makers and scores, with personas of `personas.py` in place of its two dozen.
Core-seconds are what the kernel counts for the driver, Ray's processes and each worker, from their starts to their
ends, split by thread: a worker's event loop, those of the two scorers, and the engine's process. The event loop's are
split by entry: each step of each coroutine is timed on the thread's own clock. Limitations: the last half second of a
worker; and threads of native libraries, which are not told apart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import threading
import time
import types
from collections import defaultdict
from collections.abc import Generator
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import psutil

from benchmarks.machine import print_machine
from benchmarks.personas import write_personas
from factory.running import pipeline, workers
from factory.running.run import Progress, run
from factory.scorers.nli import Nli
from factory.spec.jobfile import load_job
from factory.spec.phases import Making

FOLDER, PERIOD_S = "BENCHMARK_PROFILE", 0.5
ENTRY: ContextVar[str] = ContextVar("entry", default="no entry")


def in_worker() -> None:
    """For Ray to call in each worker: write down where its CPU time goes."""
    make, open_models, new_record = workers.Worker.__init__, workers.Worker._open, pipeline._new_record
    run_task = workers.Worker.run
    spent: defaultdict[str, float] = defaultdict(float)
    at_start: dict[int, float] = {}

    def made(self: workers.Worker, job: Any, phase: int, making: Making) -> None:
        make(self, job, phase, making)
        threading.Thread(target=write, args=(self, making.phases[phase].workers), daemon=True).start()

    async def opened(self: workers.Worker, to_run: set[str]) -> None:
        await open_models(self, to_run)
        if not at_start:
            at_start.update(threads())

    async def stepwise(self: workers.Worker, task: workers.ShardTask) -> workers.TaskResult:
        asyncio.get_running_loop().set_task_factory(
            lambda loop, coroutine, **given: asyncio.Task(timed(coroutine, spent), loop=loop, **given)
        )
        return await run_task(self, task)

    def write(worker: workers.Worker, group: str) -> None:
        while True:
            parts: defaultdict[str, float] = defaultdict(float)
            for thread, seconds in threads().items():
                name = "engine" if thread < 0 else names(worker).get(thread, "other threads")
                parts[name] += seconds - at_start.get(thread, 0)
            engines = [-thread for thread in at_start if thread < 0]
            told = {"group": group, "start": sum(at_start.values()), "parts": parts, "steps": spent, "engines": engines}
            path = Path(os.environ[FOLDER]) / f"{os.getpid()}.json"
            path.with_suffix(".new").write_text(json.dumps(told))
            path.with_suffix(".new").rename(path)
            time.sleep(PERIOD_S)

    def staged(recipe: Any, fingerprint: str) -> Any:
        ENTRY.set(recipe.stage)
        return new_record(recipe, fingerprint)

    workers.Worker.__init__, workers.Worker._open = made, opened  # type: ignore[method-assign]
    workers.Worker.run, pipeline._new_record = stepwise, staged  # type: ignore[method-assign]


@types.coroutine
def timed(coroutine: Any, spent: defaultdict[str, float]) -> Generator[Any, Any, Any]:
    """The coroutine; what each of its steps takes is added to the entry that it is in by then."""
    step, given = coroutine.send, None
    while True:
        began = time.thread_time()
        try:
            waits_for = step(given)
        except StopIteration as end:
            return end.value
        finally:
            spent[ENTRY.get()] += time.thread_time() - began
        try:
            step, given = coroutine.send, (yield waits_for)
        except BaseException as error:  # a task that is cancelled, above all
            step, given = coroutine.throw, error


def threads() -> dict[int, float]:
    """CPU seconds of each thread of this process, and of its engine's process under its number, negative."""
    found = {thread.id: thread.user_time + thread.system_time for thread in psutil.Process().threads()}
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            taken = child.cpu_times()
            found[-child.pid] = taken.user + taken.system
    return found


def names(worker: workers.Worker) -> dict[int, str]:
    """What the threads that matter do, by their ids."""
    known = {
        thread.native_id: {"AsyncIO Thread: default": "event loop"}.get(thread.name, "other threads")
        for thread in threading.enumerate()
        if thread.native_id is not None
    }
    batchers = [
        (scorer._batcher._thread, "NLI" if isinstance(scorer, Nli) else "embedder")
        for scorer in worker._models.scorers.values()
    ]
    return known | {thread.native_id: name for thread, name in batchers if thread.native_id is not None}


class Children:
    """CPU seconds of the processes that the driver has started, the dead included, by pid."""

    def __init__(self) -> None:
        self.seconds: dict[int, float] = {}

    def look(self, _: Progress) -> None:
        """Look once."""
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                taken = process.cpu_times()
                self.seconds[process.pid] = taken.user + taken.system


def profile(folder: Path, given: argparse.Namespace) -> tuple[dict[str, float], int]:
    """Run the job: core-seconds by part, and dialogues accepted."""
    write_personas(folder / "personas.jsonl", range(given.dialogues))
    os.environ[FOLDER] = str(folder)
    own = [f"corpus={folder / 'corpus'}", f"seeds=[{{path: {folder / 'personas.jsonl'}}}]"]
    job = load_job(Path(__file__).parents[1] / "jobs" / "quickstart.yaml", [*own, *given.set])
    children, before = Children(), time.process_time()
    result = run(job, report=children.look)
    parts = defaultdict(float, driver=time.process_time() - before)
    for path in folder.glob("*.json"):
        told = json.loads(path.read_text())
        group, steps = told["group"], told["steps"]
        parts[f"{group}: start"] += told["start"]
        loop = told["parts"].pop("event loop", 0.0)
        for entry, seconds in steps.items():
            parts[f"{group}: event loop, {entry}"] += seconds
        parts[f"{group}: event loop, between steps"] += loop - sum(steps.values())
        for name, seconds in told["parts"].items():
            parts[f"{group}: {name}"] += seconds
        for process in (int(path.stem), *told["engines"]):
            children.seconds.pop(process, None)
    parts["Ray's own processes"] = sum(children.seconds.values())
    return parts, result.decisions.get("accept", 0)


def main() -> None:
    """Measure, and print the speed of each round and the medians of the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogues", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="override a field of the job")
    given = parser.parse_args()
    print_machine()
    hook = {
        "worker_process_setup_hook": "benchmarks.whole_job.in_worker",
        "env_vars": {"PYTHONPATH": str(Path(__file__).parents[1])},
    }
    os.environ["RAY_JOB_CONFIG_JSON_ENV_VAR"] = json.dumps({"runtime_env": hook})
    rounds = []
    for number in range(1, given.rounds + 1):
        with tempfile.TemporaryDirectory() as temporary:
            began = time.perf_counter()
            parts, accepted = profile(Path(temporary), given)
        rounds.append((parts, accepted))
        total = sum(parts.values())
        print(
            f"round {number}: {accepted} accepted of {given.dialogues} in {time.perf_counter() - began:.1f} s and "
            f"{total:.1f} core-seconds: {accepted / total:.3f} a core-second",
            flush=True,
        )
    speed = statistics.median(accepted / sum(parts.values()) for parts, accepted in rounds)
    print(f"accepted per core-second: {speed:.3f} (median of {given.rounds})")
    medians = {
        name: statistics.median(parts[name] for parts, _ in rounds)
        for name in sorted({n for p, _ in rounds for n in p})
    }
    print("| part | core-seconds | share |\n| --- | ---: | ---: |")
    for name, seconds in sorted(medians.items(), key=lambda part: -part[1]):
        print(f"| {name} | {seconds:.2f} | {seconds / sum(medians.values()):.3f} |")


if __name__ == "__main__":
    main()
