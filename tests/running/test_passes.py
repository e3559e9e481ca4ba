"""Passes after the last commit: near duplicates as a gate, incremental, and repeatable after a stop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from factory.planning.plan import plan
from factory.running.passes import Passed
from factory.spec.job import Job
from tests.rehearsal import Rehearsal, job_in, rows_of, settled

JOB = """\
corpus: {folder}/corpus
seeds: [{{path: seeds/*.jsonl}}]
models:
  nli: {{kind: nli, name: org/nli}}
  embedding: {{kind: embedding, name: org/vectors}}
scores:
  consistency: {{relevance: -1, turn_relevance: -1}}
passes:
  near_duplicates: {{}}
select:
  reject: {{repeats: near_duplicates.duplicate_of IS NOT NULL}}
run: {{rows_per_shard: 2}}
"""
TALKS = {
    "a": ["I sail every summer with my brother on the lake.", "Nice, I bake bread and sell it at the market."],
    "b": ["My cat sleeps on the piano all day long.", "Mine climbs the curtains when nobody is at home."],
    "c": ["We moved to Oslo because of the new job.", "I would miss the mountains around our village."],
}


def write(folder: Path, file: str, talks: dict[str, list[str]]) -> None:
    (folder / "seeds").mkdir(exist_ok=True)
    lines = [json.dumps({"id": name, "turns": turns}) for name, turns in talks.items()]
    (folder / "seeds" / file).write_text("\n".join(lines) + "\n", encoding="utf-8")


def decisions(job: Job) -> dict[str, tuple[str | None, list[str]]]:
    return {row.seeds[0].id: (row.decision, row.reasons) for row in rows_of(job).values()}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write(tmp_path, "a.jsonl", TALKS)
    return job_in(tmp_path, text=JOB)


def test_the_oldest_of_a_cluster_stays(job: Job, tmp_path: Path) -> None:
    rehearsal = Rehearsal()
    rehearsal.run(job)
    assert decisions(job) == dict.fromkeys(TALKS, ("accept", []))
    write(tmp_path, "b.jsonl", {"late": TALKS["b"], "other": ["Do you like tea?", "No, coffee in the morning."]})
    asked = len(rehearsal.nli.asked)
    rehearsal.run(job)
    assert decisions(job) == dict.fromkeys([*TALKS, "other"], ("accept", [])) | {"late": ("reject", ["repeats"])}
    rows = {row.seeds[0].id: row for row in rows_of(job).values()}
    assert rows["late"].scores["near_duplicates"]["duplicate_of"] == rows["b"].row_id
    assert len(rehearsal.nli.asked) == asked + 2
    assert settled(job)


def test_rows_that_a_pass_has_yet_to_see_are_pending(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsal = Rehearsal()
    with monkeypatch.context() as patched:
        patched.setattr("factory.running.run.run_passes", lambda *_: Passed())
        rehearsal.run(job)
    assert rehearsal.result.decisions == {}
    assert decisions(job) == dict.fromkeys(TALKS, ("flag", ["pending"]))
    rehearsal.run(job)
    assert rehearsal.result.decisions == {"accept": len(TALKS)}
    assert decisions(job) == dict.fromkeys(TALKS, ("accept", []))


def test_a_pass_that_finds_nothing_new_writes_nothing(job: Job) -> None:
    rehearsal = Rehearsal()
    rehearsal.run(job)
    version = plan(job).corpus.table.version()
    rehearsal.run(job)
    assert plan(job).corpus.table.version() == version


def test_a_row_made_anew_is_seen_anew(job: Job, tmp_path: Path) -> None:
    rehearsal = Rehearsal()
    write(tmp_path, "b.jsonl", {"late": TALKS["b"]})
    rehearsal.run(job)
    assert sorted(decision for decision, _ in decisions(job).values()) == ["accept"] * 3 + ["reject"]
    write(tmp_path, "a.jsonl", TALKS | {"b": TALKS["b"] + ["What else is new with you?"] * 9})
    rehearsal.run(job)
    assert decisions(job) == dict.fromkeys([*TALKS, "late"], ("accept", []))
