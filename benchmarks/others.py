"""Dialogues a second against what one would script instead: the same dialogues, model, prompts and sampling.

    python -m benchmarks.others [--dialogues 1000] [--turns 6] [--min-turns 6] [--cores N] [--rounds 2]
                                [--model NAME] [--in-flight 64] [--ways lockstep ray-data]

Each round is a `factory run` of a job that only talks, then the ways of `benchmarks.rivals`, each a process of its own.
Two times are told: the whole command, and from the first request sent to the last one answered, in which nothing is
started. With `--min-turns` below `--turns` dialogues end when a speaker says goodbye, so that they are uneven. On a
machine with a GPU one is used, and `--model` is what runs there; its weights must be trained ones, since the factory
asks again for turns that are noise. Limitations: equal work. The factory checks turns and commits a table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import yaml

from benchmarks import rivals, rivals_ray
from benchmarks.machine import print_machine
from benchmarks.personas import write_personas
from benchmarks.rivals import Dialogue, Side
from factory import Corpus

WAYS = {
    "lockstep": rivals.lockstep,
    "own-loop": rivals.own_loop,
    "ray-data": rivals_ray.ray_data,
    "ray-data-serve": rivals_ray.ray_data_serve,
}
ROOT = Path(__file__).parents[1]


def job_of(folder: Path, given: Namespace) -> Path:
    """A job that only talks, with a persona for each dialogue."""
    from vllm.platforms import current_platform

    write_personas(folder / "personas.jsonl", range(given.dialogues))
    model = {"name": given.model, "max_model_len": given.max_model_len, "max_num_seqs": given.in_flight}
    sampling = {"max_tokens": given.max_tokens, "temperature": given.temperature, "top_p": given.top_p}
    content = {
        "corpus": str(folder / "corpus"),
        "seeds": [{"path": "personas.jsonl"}],
        "pairing": {"partners": 1, "samples": 1},
        "models": {"writer": model},
        "run": {"workers": {"writer": {"cpus": given.cores, "gpus": 0 if current_platform.is_cpu() else 1}}},
        "makers": {"converse": {"turns": given.turns, "min_turns": given.min_turns, "sampling": sampling}},
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(content))
    return folder / "job.yaml"


def command(arguments: list[str]) -> tuple[float, str]:
    """Seconds that a Python command takes, and the last line it prints."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
    }
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{arguments}: {done.stderr[-4000:]}")
    return time.perf_counter() - began, done.stdout.rstrip().rpartition("\n")[2]


def by_factory(given: Namespace) -> tuple[Side, list[Dialogue]]:
    """A run of the factory, and the dialogues it was asked for, as they stand before their first turn."""
    with tempfile.TemporaryDirectory() as temporary:
        wall, _ = command(["-m", "factory", "run", str(job_of(Path(temporary), given))])
        rows = list(Corpus(f"{temporary}/corpus").rows())
    talks = [row.stages[0] for row in rows]
    began = min(talk.started_at.timestamp() for talk in talks if talk.started_at)
    ended = max(talk.started_at.timestamp() + talk.seconds for talk in talks if talk.started_at)
    calls, tokens = sum(talk.calls for talk in talks), sum(talk.completion_tokens for talk in talks)
    side = Side(len(rows), calls, tokens, ended - began, wall)
    first, second = ([row.speakers[number].facts_of("seed") for row in rows] for number in (0, 1))
    return side, [{"first": a, "second": b, "said": []} for a, b in zip(first, second, strict=True)]


def by_rival(way: str, dialogues: Path) -> Side:
    """The same by another way."""
    wall, told = command(["-m", "benchmarks.others", *sys.argv[1:], "--way", way, "--dialogues-in", str(dialogues)])
    side = Side(**json.loads(told))
    side.wall = wall
    return side


def show(rounds: list[dict[str, Side]]) -> None:
    """Print the medians of each way, and of the factory's speed over its own in the same round."""

    def whole(side: Side) -> float:
        return side.dialogues / side.wall

    def talking(side: Side) -> float:
        return side.dialogues / side.seconds

    def tokens(side: Side) -> float:
        return side.tokens / side.seconds

    def speeds(way: str, speed: Callable[[Side], float], digits: int) -> list[str]:
        own = statistics.median(speed(sides[way]) for sides in rounds)
        ratio = statistics.median(speed(sides["factory"]) / speed(sides[way]) for sides in rounds)
        return [f"{own:.{digits}f}", f"{ratio:.2f}"]

    print(
        "| | whole, s | dialogues/s | factory's | talking, s | dialogues/s | factory's | tokens/s | factory's | calls |"
    )
    print("| --- |" + " ---: |" * 9)
    for way in rounds[0]:
        cells = [f"{statistics.median(sides[way].wall for sides in rounds):.1f}", *speeds(way, whole, 2)]
        cells += [f"{statistics.median(sides[way].seconds for sides in rounds):.1f}", *speeds(way, talking, 2)]
        cells += [*speeds(way, tokens, 0), f"{statistics.median(sides[way].calls for sides in rounds):.0f}"]
        print(f"| {way} | {' | '.join(cells)} |")


def main() -> None:
    """Measure, and print a line a way and round, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogues", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--min-turns", type=int, help="as many as turns without it")
    parser.add_argument("--max-tokens", type=int, default=24)
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--top-p", type=float, default=0.9)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--max-model-len", type=int, default=1024)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="threads of each engine")
    parser.add_argument("--logical-cpus", type=int, default=10, help="CPUs that Ray Data is told of")
    parser.add_argument("--batch-size", type=int, default=32, help="rows that Ray Data hands its engine at once")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=["lockstep", "ray-data"])
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--dialogues-in", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.min_turns = given.min_turns or given.turns
    if given.way:
        print(json.dumps(asdict(WAYS[given.way](json.loads(given.dialogues_in.read_text()), given))))
        return
    print_machine()
    rounds: list[dict[str, Side]] = []
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        for number in range(1, given.rounds + 1):
            sides = {}
            sides["factory"], dialogues = by_factory(given)
            if number == 1:
                json.dump(dialogues, file)
                file.flush()
            for way in given.ways:
                sides[way] = by_rival(way, Path(file.name))
            rounds.append(sides)
            told = (
                f"{way} {side.wall:.1f} s, of these {side.seconds:.1f} talking, {side.tokens} tokens"
                for way, side in sides.items()
            )
            print(f"round {number}: {'; '.join(told)}", flush=True)
    show(rounds)


if __name__ == "__main__":
    main()
