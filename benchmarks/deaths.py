"""Kills a run at every step of its protocol and counts what is lost, what is doubled and what is asked again.

Driver, pools, workers and table are the real ones, in one process; the engine is a counter with scripted answers
(`tests/local_ray.py`, `tests/rehearsal.py`). Limitations: real processes, of which `tests/test_kill.py` kills some.

    python -m benchmarks.deaths
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.local_ray import Death, Killed
from tests.rehearsal import settled
from tests.test_protocol import MOST_AGAIN, Scene, a_scene, failed, made, mutes

LIVES = 100
"""Runs that are killed three times, at steps drawn at random, before they are let finish."""


@dataclass
class Tally:
    """What came of the runs that died."""

    deaths: int = 0
    runs: int = 0
    rows: int = 0
    wrong: int = 0
    again: list[int] = field(default_factory=list)


def live(scene: Scene, folder: Path, deaths: Sequence[tuple[Death, int]], tally: Tally) -> None:
    """Run until dead, once for each death, then to the end, and compare with the undisturbed run."""
    job, rehearsal = scene.copy(folder), mutes()
    for death, order in deaths:
        with suppress(Killed):
            rehearsal.run(job, deaths=[death], order=order)
        tally.runs += 1
        tally.deaths += len(rehearsal.steps.died)
    rehearsal.run(job)
    tally.runs += 1
    rows, letters = made(job), failed(job)  # both fail on a row that stands twice
    tally.rows += len(rows) + len(letters)
    tally.wrong += len(rows.items() ^ scene.rows.items()) + len(letters.items() ^ scene.letters.items())
    tally.wrong += not settled(job)
    tally.again.append(len(rehearsal.talker.requests) - scene.requests)


def plans(scene: Scene) -> Iterator[tuple[str, list[list[tuple[Death, int]]]]]:
    """Which deaths, by kind of experiment."""
    steps = range(len(scene.steps))
    of_workers = [step for step in steps if scene.steps[step].startswith("worker")]
    chance = random.Random(0)
    yield "driver and workers, at each step", [[(Death(step, all=True), 0)] for step in steps]
    yield "one worker, at each of its steps", [[(Death(step, all=False), 0)] for step in of_workers]
    yield (
        "three deaths in a row, at random",
        [
            [(Death(chance.choice(steps), all=chance.random() < 0.7), chance.randrange(10)) for _ in range(3)]
            for _ in range(LIVES)
        ],
    )


def main() -> None:
    """Print the table."""
    print("| killed | deaths | runs | rows compared | lost, doubled or other | asked again, mean | most | bound |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        scene = a_scene(Path(folder) / "before")
        for name, lives in plans(scene):
            tally = Tally()
            for deaths in lives:
                live(scene, Path(folder) / "copy", deaths, tally)
            mean, bound = sum(tally.again) / len(tally.again), MOST_AGAIN * len(lives[0])
            print(
                f"| {name} | {tally.deaths} | {tally.runs} | {tally.rows:,} | {tally.wrong} | {mean:.1f} "
                f"| {max(tally.again)} | {bound} |",
                flush=True,
            )
        print(f"\n{len(scene.steps)} steps; an undisturbed run asks {scene.requests} times")


if __name__ == "__main__":
    main()
