"""Wall time of making dialogues and scoring them together, over the longer of the two alone.

    python -m benchmarks.overlap [--dialogues 768] [--rounds 2] [--rows-per-shard 32] [--turns 6] [--gpus 0]

A round is three runs of the factory on a local Ray: dialogues without scores; scores for those dialogues; and both at
once, into a corpus of its own. Each phase has one worker; of the cores, the first half is the first phase's and the
second half the second's, in all three runs. Timed, by what rows and versions say, from the moment the first entry
begins, when its models are open, to the last commit. So the start of Ray and of the models of the first phase is left
out everywhere, and that of the scorers where they run alone; where both run, it is in the time, and is shown.
Limitations: the driver and Ray's own processes have no core to themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import print_machine
from benchmarks.personas import write_personas
from factory.running import workers
from factory.running.run import run
from factory.spec.jobfile import load_job
from factory.store.corpus import Corpus
from factory.store.versions import log

MAX_TOKENS = 24


def in_worker() -> None:
    """For Ray to call in each worker: keep it to the cores of its phase."""
    make = workers.Worker.__init__

    def pinned(self: workers.Worker, job: Any, phase: int, making: Any) -> None:
        cores = sorted(os.sched_getaffinity(0))
        half = len(cores) // 2
        for thread in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(thread), cores[half:] if phase else cores[:half])
        make(self, job, phase, making)

    workers.Worker.__init__ = pinned  # type: ignore[method-assign]


@dataclass(slots=True)
class Times:
    """When the entries of a job began and ended, in seconds since the epoch, and when it was committed."""

    spans: dict[str, tuple[float, float]]
    committed: float

    @property
    def seconds(self) -> float:
        """From the first entry's begin to the last commit."""
        return self.committed - min(began for began, _ in self.spans.values())


def times(corpus: Corpus, *entries: str) -> Times:
    """The times of these entries."""
    found: dict[str, list[tuple[float, float]]] = {entry: [] for entry in entries}
    for row in corpus.rows():
        for record in row.stages:
            if record.stage in found and record.started_at is not None:
                began = record.started_at.timestamp()
                found[record.stage].append((began, began + record.seconds))
    spans = {
        entry: (min(began for began, _ in spans), max(ended for _, ended in spans)) for entry, spans in found.items()
    }
    return Times(spans, log(corpus)[0].time.timestamp())


def made(folder: Path, corpus: str, scored: bool, given: argparse.Namespace, seed: int) -> Corpus:
    """Run the job, with or without scores."""
    write_personas(folder / "personas.jsonl", range(seed * given.dialogues, (seed + 1) * given.dialogues))
    sampling = {"max_tokens": MAX_TOKENS, "temperature": 0.5}
    converse = {"turns": given.turns, "min_turns": given.turns, "sampling": sampling}
    half = max(1, (os.cpu_count() or 2) // 2)
    content = {
        "corpus": str(folder / corpus),
        "seeds": [{"path": "personas.jsonl"}],
        "models": {"writer": {"name": given.model, "max_model_len": 1024, "max_num_seqs": 64}},
        "run": {
            "rows_per_shard": given.rows_per_shard,
            "workers": {"writer": {"cpus": half, "gpus": given.gpus}, "scorers": {"cpus": half}},
        },
        "makers": {"converse": converse},
    }
    if scored:
        content |= {"scores": {"consistency": {}}, "select": {}}
    (folder / "job.yaml").write_text(yaml.safe_dump(content))
    run(load_job(folder / "job.yaml"))
    return Corpus(str(folder / corpus))


def main() -> None:
    """Measure, and print a line a round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogues", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows-per-shard", type=int, default=32)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of the first phase's worker")
    parser.add_argument("--model", default="smollm2")
    given = parser.parse_args()
    print_machine()
    hook = {
        "worker_process_setup_hook": "benchmarks.overlap.in_worker",
        "env_vars": {"PYTHONPATH": str(Path(__file__).parents[1])},
    }
    os.environ["RAY_JOB_CONFIG_JSON_ENV_VAR"] = json.dumps({"runtime_env": hook})
    rounds = []
    for number in range(1, given.rounds + 1):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            made_alone = times(made(folder, "apart", False, given, number), "converse")
            scored = times(made(folder, "apart", True, given, number), "consistency")
            both = times(made(folder, "together", True, given, number), "converse", "consistency")
        rounds.append(both.seconds / max(made_alone.seconds, scored.seconds))
        start = both.spans["converse"][0]
        told = ", ".join(
            f"{entry} from {began - start:.1f} to {ended - start:.1f}" for entry, (began, ended) in both.spans.items()
        )
        print(
            f"round {number}: made {made_alone.seconds:.1f} s, scored {scored.seconds:.1f} s, both "
            f"{both.seconds:.1f} s ({told}): {rounds[-1]:.3f}",
            flush=True,
        )
    print(f"both / the longer one: {statistics.median(rounds):.3f} (median of {given.rounds})")


if __name__ == "__main__":
    main()
