"""The promise, step by step: whatever dies, and wherever, the next run leaves what an undisturbed one would have."""

from __future__ import annotations

import math
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from factory.planning.plan import plan
from factory.spec.job import Job
from factory.store.corpus import Corpus
from tests.local_ray import Death, Killed
from tests.rehearsal import Rehearsal, job_in, letters_of, rows_of, some_personas, wanted_of, write_seeds

JOB = """\
corpus: {folder}/corpus
seeds: [{{path: seeds/*.jsonl}}]
models:
  writer: {{engine: vllm, name: org/talker}}
  nli: {{kind: nli, name: org/nli}}
  embedding: {{kind: embedding, name: org/vectors}}
makers:
  converse: {{turns: 2, min_turns: 2, attempts: 1}}
  extract: {{}}
scores:
  consistency: {{relevance: -1, turn_relevance: -1}}
select:
  reject: {{contradicts_persona: "consistency.contradiction >= 0.9"}}
  flag: {{may_contradict: "consistency.contradiction >= 0.5"}}
run: {{rows_per_shard: 2, shards_per_worker: 2}}
"""
CALLS = 4
MOST_AGAIN = 2 * 2 * CALLS
"""Requests that one death may cost: shards in flight, rows of a shard, calls of a row."""


@dataclass
class Scene:
    """A folder with a corpus whose seeds have changed since; and what an undisturbed run makes of it."""

    folder: Path
    steps: list[str]
    requests: int
    rows: dict[str, list[str]]
    letters: dict[str, tuple[str, str]]

    def copy(self, to: Path) -> Job:
        """The same before that run, to be disturbed."""
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.folder, to)
        return job_in(to, text=JOB)


def mutes(commit_every_s: float = 0.0) -> Rehearsal:
    """A run in which the rows of a seed fail."""
    rehearsal = Rehearsal(commit_every_s=commit_every_s)
    rehearsal.talker.mute = {"*p3*"}
    return rehearsal


def made(job: Job) -> dict[str, list[str]]:
    """What tells how each row was made."""
    return {key: [record.fingerprint for record in row.stages] for key, row in rows_of(job).items()}


def failed(job: Job) -> dict[str, tuple[str, str]]:
    return {key: (letter.stage, letter.reason) for key, letter in letters_of(job).items()}


def a_scene(folder: Path) -> Scene:
    """Seeds are added, removed and edited, and one that could be made fails."""
    personas = some_personas(5)
    folder.mkdir()
    late = {"p4": personas.pop("p4")}
    write_seeds(folder, personas)
    Rehearsal().run(job_in(folder, text=JOB))
    del personas["p1"]
    personas |= late | {"p2": ["I keep no pets."], "p3": ["I keep *p3* cats."]}
    write_seeds(folder, personas)
    os.utime(folder / "seeds" / "a.jsonl", (1e9, 1e9))  # a file that has just been written is not kept as parsed
    (folder / "job.yaml").unlink()
    found = Scene(folder, [], 0, {}, {})
    job, rehearsal = found.copy(folder.parent / "undisturbed"), mutes()
    rehearsal.run(job)
    found.steps, found.requests = rehearsal.steps.seen, len(rehearsal.talker.requests)
    found.rows, found.letters = made(job), failed(job)
    return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("scene")
    found = a_scene(folder / "before")
    assert found.letters
    assert found.rows
    assert found.rows.keys() | found.letters.keys() == wanted_of(plan(job_in(folder / "undisturbed", text=JOB))).keys()
    return found


@pytest.mark.parametrize("whose", ["all", "worker"])
def test_a_death_at_any_step_loses_nothing_and_doubles_nothing(scene: Scene, tmp_path: Path, whose: str) -> None:
    before = made(scene.copy(tmp_path / "copy"))
    for step, name in enumerate(scene.steps):
        if whose == "worker" and not name.startswith("worker"):
            continue
        job, rehearsal = scene.copy(tmp_path / "copy"), mutes()
        with suppress(Killed):
            rehearsal.run(job, deaths=[Death(step, all=whose == "all")])
        assert rehearsal.steps.died == [name]
        for key, prints in made(job).items():
            assert prints in (before.get(key), scene.rows.get(key)), f"half a row after {name}"
        if whose == "all":
            rehearsal.run(job)
        assert made(job) == scene.rows, name
        assert failed(job) == scene.letters, name
        assert scene.requests <= len(rehearsal.talker.requests) <= scene.requests + MOST_AGAIN


def test_a_death_while_merged_shards_wait_for_their_commit_loses_nothing(scene: Scene, tmp_path: Path) -> None:
    calm = mutes(math.inf)
    calm.run(scene.copy(tmp_path / "copy"))
    late = [step for step, name in enumerate(calm.steps.seen) if any(what in name for what in ("commit", "delete"))]
    late += [step for step, name in enumerate(calm.steps.seen) if name == "worker: after merge"]
    for step in late:
        job, rehearsal = scene.copy(tmp_path / "copy"), mutes(math.inf)
        with suppress(Killed):
            rehearsal.run(job, deaths=[Death(step)])
        assert rehearsal.steps.died == [calm.steps.seen[step]]
        rehearsal.run(job)
        assert (made(job), failed(job)) == (scene.rows, scene.letters)
        again = len(rehearsal.talker.requests) - scene.requests
        assert again <= CALLS * len(scene.letters), "what was staged is not made again, what failed is tried again"


def test_shards_that_are_merged_while_workers_are_busy_are_committed_together(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(12))
    job = job_in(tmp_path, text=JOB)
    Rehearsal(commit_every_s=math.inf).run(job)
    assert len(rows_of(job)) == 12
    assert len(Corpus(job.corpus).table.history()) == 2, "the first at once, all others at the end"


def test_rows_that_were_staged_together_may_go_on_in_shards_of_their_own(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    rehearsal = Rehearsal()
    with suppress(Killed):
        rehearsal.run(
            job_in(tmp_path, "run.rows_per_shard=4", text=JOB), deaths=[Death("worker: after write _staging")]
        )
    asked = len(rehearsal.talker.requests)
    job = job_in(tmp_path, "run.rows_per_shard=1", text=JOB)
    rehearsal.run(job)
    assert len(rows_of(job)) == 4
    assert len(rehearsal.talker.requests) == asked
