"""What handing out and committing costs one driver: `python -m benchmarks.scheduling [--shards 1000 …] [--rounds 3]`.

Shards of one row each pass the driver as any do: skeletons, two phases, a merge, a commit. Workers are Ray actors that
answer at once, with links to a file that was written before; or, in the last line, the factory's own, with a scripted
engine that says one turn, and the bundled models that score it. Shards a second and CPU are those between the first
commit and the last. What comes once, the ledger's reading of the new shards at the end, is told apart, and left out of
runs with more shards than the first. Each run is a process of its own; medians where there are several.

Limitations: shards of real size, whose skeletons take longer to write; workers on machines of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import uuid
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import psutil

from benchmarks.machine import print_machine
from factory.planning.ledger import Ledger
from factory.planning.plan import plan
from factory.planning.shard import ShardSpec
from factory.running.merging import Merged
from factory.running.run import Progress, run
from factory.running.workers import ShardTask, TaskResult, Worker
from factory.spec.jobfile import load_job
from factory.store.corpus import Corpus
from factory.store.records import rows_to_table
from factory.store.shards import Shard

JOB = """\
corpus: {folder}/corpus
seeds: [{{path: personas.jsonl}}]
models: {{writer: {{engine: scripted, name: scripted}}}}
makers: {{converse: {{turns: 1, min_turns: 1}}}}
scores: {{consistency: {{}}}}
select: {{}}
run:
  rows_per_shard: 1
  shards_per_worker: {held}
  workers:
    writer: {{cpus: 0, min: {workers}, max: {workers}}}
    scorers: {{cpus: 0, min: {workers}, max: {workers}}}
"""
WORKERS, HELD = 2, 16
"""Workers of each phase, and shards that each holds."""

_READY_MADE = "_benchmark.parquet"


class Answering(Worker):
    """A worker that has nothing to do."""

    async def prepare(self) -> None:
        """Open nothing."""
        self._opened.set()

    async def run(self, task: ShardTask) -> TaskResult:
        """Leave a staged file."""
        self._opened.set()
        self.beat()
        staged = f"_staging/{task.spec.id}-{task.phase}-{task.first}.rows.arrow"
        self._link(staged)
        return TaskResult(1, staged, [])

    async def merge(self, spec: ShardSpec) -> Merged:
        """Leave a shard."""
        self.beat()
        shard = f"shards/n1-{uuid.uuid4().hex}.parquet"
        return Merged(Shard(shard, self._link(shard), 1), 1, spec.redo, Counter(accept=1))

    def _link(self, path: str) -> int:
        root = Path(self._corpus.root)
        (root / path).parent.mkdir(exist_ok=True)
        os.symlink(root / _READY_MADE, root / path)  # a file has 65,000 hard links at most
        return (root / path).stat().st_size


@dataclass
class Sample:
    """A moment of a run: seconds, shards committed, and the CPU seconds of the driver, Ray and the workers so far."""

    at: float
    shards: int
    cpu: dict[str, float]


@dataclass
class Run:
    """What a run took: the moments of its first and last commit; MiB of the driver's own, planned, at the first commit
    and at most; CPU seconds of the ledger at its end."""

    first: Sample | None = None
    last: Sample | None = None
    planned: float = 0.0
    begun: float = 0.0
    most: float = 0.0
    ledger: float = 0.0

    def note(self, progress: Progress) -> None:
        """Look at what a run reports."""
        if progress.committed > (self.last.shards if self.last else 0):
            self.last = Sample(time.perf_counter(), progress.committed, cpu_seconds())
            self.first = self.first or self.last
            self.begun = self.begun or own_mib()
            self.most = max(self.most, own_mib())


def cpu_seconds() -> dict[str, float]:
    """CPU seconds of the driver, of Ray's own processes and of the workers."""
    found = {"driver": sum(psutil.Process().cpu_times()[:2]), "ray": 0.0, "workers": 0.0}
    for process in psutil.Process().children(recursive=True):
        try:
            found["workers" if process.name().startswith("ray::") else "ray"] += sum(process.cpu_times()[:2])
        except psutil.Error:
            continue
    return found


def own_mib() -> float:
    """What the process cannot give back: its anonymous memory."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def measure(shards: int, worker: type[Worker], read: bool) -> Run:
    """One run of so many shards, whose ledger reads them at the end if asked to."""
    sync, told = Ledger.sync, Run()

    def timed(*args: object) -> None:
        if read or told.last is None:
            began = time.process_time()
            sync(*args)  # type: ignore[arg-type]
            told.ledger = time.process_time() - began

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = (json.dumps({"id": f"p{number}", "facts": [f"I have {number} hens."]}) for number in range(shards))
        (folder / "personas.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "job.yaml").write_text(JOB.format(folder=folder, workers=WORKERS, held=HELD), encoding="utf-8")
        job = load_job(folder / "job.yaml", [])
        work = next(plan(job).work())
        Corpus(job.corpus).storage.write_parquet(_READY_MADE, rows_to_table(work.skeletons, {}))
        told.planned = own_mib()
        with patch("factory.running.pool.Worker", worker), patch.object(Ledger, "sync", timed):
            result = run(job, report=told.note)
        assert result.committed == shards
        assert told.first is not told.last, f"all {shards} shards went into one commit; take more of them"
        told.most = max(told.most, own_mib())
    return told


def line(name: str, shards: int, runs: list[Run], read: bool) -> str:
    """A line of the table: medians."""

    def each(kind: str) -> float:
        return statistics.median(
            1000 * (run.last.cpu[kind] - run.first.cpu[kind]) / (run.last.shards - run.first.shards)
            for run in runs
            if run.first and run.last
        )

    rate = statistics.median(
        (run.last.shards - run.first.shards) / (run.last.at - run.first.at) for run in runs if run.first and run.last
    )
    cells = [
        f"{rate:.0f}",
        f"{each('driver'):.2f}",
        f"{1000 / each('driver'):.0f}",
        f"{each('ray'):.2f}",
        f"{each('workers'):.2f}",
        f"{statistics.median(run.planned for run in runs):.0f}",
        f"{statistics.median(run.begun for run in runs):.0f}",
        f"{statistics.median(run.most for run in runs):.0f}",
        f"{statistics.median(1000 * run.ledger / shards for run in runs):.2f}" if read else "",
    ]
    return f"| {name} | {shards:,} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3, help="of the first size; the others have one")
    arguments = parser.parse_args()
    # By its own name, which Ray's workers know, and not as __main__.
    from benchmarks import scheduling

    print_machine()
    print(
        "| workers | shards | shards/s | driver ms | a core's shards/s | Ray ms | workers ms | MiB, planned "
        "| first commit | most | ledger ms |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    runs = [(scheduling.Answering, "answer at once", shards) for shards in arguments.shards]
    for worker, name, shards in [*runs, (Worker, "scripted engine", arguments.shards[0])]:
        first = shards == arguments.shards[0]
        found = []
        for _ in range(arguments.rounds if first else 1):
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                found.append(process.submit(scheduling.measure, shards, worker, first).result())
        print(line(name, shards, found, first), flush=True)


if __name__ == "__main__":
    main()
