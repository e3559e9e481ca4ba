"""How far a run grows with its workers: `python -m benchmarks.scaling [--workers 8 32 64] [--kill-every 10]`.

A scripted engine answers after a given time, so that many workers fit few cores; rows grow with the workers, so that
each run takes as long. Compared are the rows a second of N workers with N times those of one: `steady`, from half to
seven eighths of the rows generated, without those that died with their worker; and `whole`, from the first worker that
answers to the last commit, which has the start of all others in it. The last run is that with the most workers again,
with one worker, drawn at random, killed (SIGKILL) each few seconds.

Limitations: engines that keep their cores busy, whose workers scale with the cores.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import psutil

from benchmarks.machine import print_machine
from factory.running.run import Progress, Result, run
from factory.spec.jobfile import load_job

JOB = """\
corpus: {folder}/corpus
seeds: [{{path: personas.jsonl}}]
models: {{writer: {{engine: scripted, name: "scripted?latency_ms={latency_ms}"}}}}
makers: {{converse: {{turns: {turns}, min_turns: {turns}}}}}
select: {{}}
run:
  rows_per_shard: {in_flight}
  dialogues_in_flight: {in_flight}
  workers: {{writer: {{cpus: 0, min: {workers}, max: {workers}}}}}
"""
TURNS, IN_FLIGHT = 4, 8
"""Calls of a dialogue, one after another; and dialogues that a worker has in flight, which are a shard."""


@dataclass
class Measured:
    """A run: workers that generate; rows that were to be made; when so many were generated, and how many workers there
    were then; CPU seconds of the driver; MiB of all processes at most; what it came to."""

    workers: int
    rows: int
    samples: list[tuple[float, int, int]] = field(default_factory=list)
    ended: float = 0.0
    cpu: float = 0.0
    mib: float = 0.0
    killed: int = 0
    lost: int = 0
    again: int = 0

    def note(self, progress: Progress) -> None:
        """Look at what a run reports."""
        now = (progress.generated, progress.workers)
        if progress.workers and (not self.samples or now != self.samples[-1][1:]):
            self.samples.append((time.perf_counter(), *now))

    def steady(self) -> float:
        """Rows a second from half to seven eighths of the rows."""
        began, before, _ = next(sample for sample in self.samples if sample[1] >= self.rows / 2)
        ended, after, _ = next(sample for sample in self.samples if sample[1] >= self.rows * 7 / 8)
        return (after - before) / (ended - began)

    def whole(self) -> float:
        """Rows a second from the first open worker to the last commit."""
        return self.rows / (self.ended - self.samples[0][0])


def measure(workers: int, rows: int, latency_ms: float, kill_every: float | None) -> Measured:
    """One run."""
    told, over = Measured(workers, rows), threading.Event()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = (json.dumps({"id": f"p{number}", "facts": [f"I have {number} hens."]}) for number in range(rows))
        (folder / "personas.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        text = JOB.format(folder=folder, latency_ms=latency_ms, turns=TURNS, in_flight=IN_FLIGHT, workers=workers)
        (folder / "job.yaml").write_text(text, encoding="utf-8")
        beside = [threading.Thread(target=_weigh, args=(told, over))]
        if kill_every is not None:
            beside.append(threading.Thread(target=_kill, args=(told, over, workers, kill_every)))
        for thread in beside:
            thread.start()
        try:
            result = _run(folder, told)
        finally:
            over.set()
            for thread in beside:
                thread.join()
    assert (result.committed, result.failed) == (rows, 0)
    told.lost, told.again = result.lost, result.again
    return told


def _run(folder: Path, told: Measured) -> Result:
    began = time.process_time()

    def note(progress: Progress) -> None:
        told.note(progress)
        if progress.committed == told.rows:
            told.ended, told.cpu = time.perf_counter(), time.process_time() - began

    return run(load_job(folder / "job.yaml", []), report=note)


def _weigh(told: Measured, over: threading.Event) -> None:
    """Note what all processes keep in memory, each page counted once."""
    while not over.wait(10):
        total = 0
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
        told.mib = max(told.mib, total / 2**20)


def _kill(told: Measured, over: threading.Event, workers: int, every: float) -> None:
    """Kill a worker each few seconds, once all have been open."""
    chance = random.Random(0)
    while not (told.samples and told.samples[-1][2] >= workers):
        if over.wait(0.2):
            return
    while not over.wait(every):
        alive = [one for one in psutil.Process().children(recursive=True) if one.name().startswith("ray::Worker")]
        if alive:
            chance.choice(alive).kill()
            told.killed += 1


def line(name: str, workers: int, found: Measured, one: Measured) -> str:
    """A line of the table."""
    cells = [
        f"{found.rows:,}",
        f"{found.steady():.2f}",
        f"{found.steady() / workers / one.steady():.3f}",
        f"{found.whole() / workers / one.whole():.3f}",
        f"{found.killed}",
        f"{found.lost}",
        f"{found.again}",
        f"{1000 * found.cpu / (found.rows / IN_FLIGHT):.1f}",
        f"{found.mib:,.0f}",
    ]
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[8, 32, 64], help="besides 1")
    parser.add_argument("--shards", type=int, default=24, help="for each worker, of eight dialogues each")
    parser.add_argument("--latency-ms", type=float, default=2000)
    parser.add_argument("--kill-every", type=float, default=10, help="seconds")
    parser.add_argument("--rounds", type=int, default=1, help="of the runs with deaths")
    arguments = parser.parse_args()
    # By its own name, and not as __main__.
    from benchmarks import scaling

    def measured(workers: int, kill_every: float | None = None) -> Measured:
        rows = workers * arguments.shards * IN_FLIGHT
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            return process.submit(scaling.measure, workers, rows, arguments.latency_ms, kill_every).result()

    print_machine()
    print(
        "| workers | rows | rows/s, steady | efficiency, steady | whole | killed | lost | rows started again "
        "| driver ms a shard | MiB of all |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    one = measured(1)
    print(line("1", 1, one, one), flush=True)
    for workers in arguments.workers:
        calm = measured(workers)
        print(line(str(workers), workers, calm, one), flush=True)
    ratios: list[tuple[float, float]] = []
    for _ in range(arguments.rounds):
        deadly = measured(workers, arguments.kill_every)
        print(line(f"{workers}, one killed every {arguments.kill_every:g} s", workers, deadly, one), flush=True)
        ratios.append((deadly.steady() / calm.steady(), deadly.whole() / calm.whole()))
    steady, whole = (statistics.median(part) for part in zip(*ratios, strict=True))
    print(f"\nwith deaths, of the rate without: {steady:.3f} steady, {whole:.3f} whole")


if __name__ == "__main__":
    main()
