"""Runs of several phases: in which order rows go through them, what fails in them, and what a stop leaves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from factory.engines import EngineDeadError, RequestError
from factory.planning.plan import plan
from factory.running.progress import Progress
from factory.spec.job import Job
from tests.local_ray import Death
from tests.opinions import opinions, with_opinions
from tests.rehearsal import Rehearsal, job_in, letters_of, rows_of, settled, some_personas, write_seeds

ROWS = 8
JOB = """\
corpus: {folder}/corpus
seeds: [{{path: seeds/*.jsonl}}]
models:
  writer: {{name: org/talker}}
  judge: {{name: org/judge}}
  critic: {{name: org/critic}}
  server: {{engine: openai, name: served, base_url: "http://host/v1"}}
  nli: {{kind: nli, name: org/nli}}
  embedding: {{kind: embedding, name: org/vectors}}
makers:
  converse: {{turns: 2, min_turns: 2, attempts: 1}}
select: {{}}
run: {{rows_per_shard: 3}}
"""
CALLS = 3
"""Requests of a row with one opinion: two turns and that."""
BAD = "What does p4 think"
"""In the prompt of the one row whose first speaker is p4."""

pytestmark = pytest.mark.usefixtures(opinions.__name__)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Dialogues, without scores."""
    write_seeds(tmp_path, some_personas(ROWS))
    return job_in(tmp_path, text=JOB)


def told(job: Job, name: str = "opinion") -> dict[str, str | None]:
    """Why the score failed, by the first speaker of the row."""
    return {
        row.speakers[0].seed_id: record.failed
        for row in rows_of(job).values()
        for record in row.stages
        if record.stage == name
    }


def test_two_language_models_make_two_phases_that_each_row_goes_through(job: Job) -> None:
    judged, rehearsal, seen = with_opinions(job, opinion={"model": "judge"}), Rehearsal(), list[Progress]()
    rehearsal.run(judged, report=seen.append)
    assert seen[-1].through == (("writer", ROWS), ("judge", ROWS))
    rows = rows_of(judged)
    assert len(rows) == ROWS
    for row in rows.values():
        assert [(record.stage, record.models) for record in row.stages if record.models] == [
            ("converse", ["org/talker@main"]),
            ("opinion", ["org/judge@main"]),
        ]
        assert row.scores["opinion"]["words"]
    assert len(rehearsal.talker.requests) == ROWS * CALLS
    assert settled(judged)


def test_a_score_waits_for_the_one_that_it_reads_and_is_redone_with_it(job: Job) -> None:
    read, first = {"model": "critic"}, {"model": "judge", "of": ("read",)}
    both = with_opinions(job, opinion=first, read=read)
    rehearsal = Rehearsal()
    rehearsal.run(both)
    opinions = {row.row_id: row.scores for row in rows_of(both).values()}
    repeated = [found[1] for text in said(rehearsal) if (found := re.search(r"read says \{'words': (\d+)\}", text))]
    assert sorted(map(int, repeated)) == sorted(scores["read"]["words"] for scores in opinions.values())
    other = with_opinions(job, opinion=first, read=read | {"model": "writer"})
    assert plan(other).summary.remake == {"read": ROWS}
    asked = len(rehearsal.talker.requests)
    rehearsal.run(other)
    assert len(rehearsal.talker.requests) - asked == 2 * ROWS


def said(rehearsal: Rehearsal) -> list[str]:
    return [message["content"] for request in rehearsal.talker.requests for message in request.messages]


def test_a_score_is_added_to_a_corpus_without_a_word_of_its_dialogues(job: Job) -> None:
    Rehearsal().run(job)
    before = {key: row.turns for key, row in rows_of(job).items()}
    judged, rehearsal = with_opinions(job, opinion={"model": "judge"}), Rehearsal()
    rehearsal.run(judged)
    assert len(rehearsal.talker.requests) == ROWS
    assert {key: row.turns for key, row in rows_of(judged).items()} == before


@pytest.mark.parametrize("model", ["writer", "judge", "server"])
def test_a_score_that_fails_is_null_with_its_reason_until_it_is_retried(job: Job, model: str) -> None:
    judged, rehearsal = with_opinions(job, opinion={"model": model}), Rehearsal()
    rehearsal.talker.deadly = {BAD: RequestError("too long")}
    rehearsal.run(judged)
    assert (len(rows_of(judged)), letters_of(judged)) == (ROWS, {})
    assert {key: why for key, why in told(judged).items() if why} == {"p4": "request: too long"}
    assert [row.row_id for row in rows_of(judged).values() if not row.scores] == [
        row.row_id for row in rows_of(judged).values() if row.speakers[0].seed_id == "p4"
    ]
    assert settled(judged)
    healed = Rehearsal()
    healed.run(judged, retry_failed=True)
    assert len(healed.talker.requests) == 1
    assert set(told(judged).values()) == {None}


@pytest.mark.parametrize("model", ["writer", "judge", "server"])
@pytest.mark.parametrize("rows_per_shard", [1, 3])
def test_a_score_that_kills_its_workers_is_null_and_costs_no_row(job: Job, model: str, rows_per_shard: int) -> None:
    run = job.run.model_copy(update={"rows_per_shard": rows_per_shard})
    judged = with_opinions(job.model_copy(update={"run": run}), opinion={"model": model})
    rehearsal = Rehearsal()
    rehearsal.talker.deadly = {BAD: EngineDeadError("out of memory")}
    rehearsal.run(judged)
    assert (len(rows_of(judged)), letters_of(judged)) == (ROWS, {})
    failed = {key: why for key, why in told(judged).items() if why}
    assert list(failed) == ["p4"]
    assert str(failed["p4"]).startswith("worker_died: the worker died or hung each time")
    assert str(failed["p4"]).endswith("out of memory")
    assert settled(judged)


def test_a_maker_that_kills_its_workers_costs_its_row_where_a_score_shares_its_phase(job: Job) -> None:
    judged, rehearsal = with_opinions(job, opinion={"model": "writer"}), Rehearsal()
    rehearsal.talker.deadly = {"*p4*": EngineDeadError("out of memory")}
    rehearsal.run(judged)
    letters = letters_of(judged)
    assert letters
    assert {(letter.stage, letter.reason) for letter in letters.values()} == {("converse", "worker_died")}
    assert all("p4" in letter.seed_ids for letter in letters.values())
    assert len(rows_of(judged)) + len(letters) == ROWS
    assert set(told(judged).values()) == {None}


def test_a_stop_in_a_later_phase_keeps_what_was_made_for_it(job: Job) -> None:
    judged, rehearsal = with_opinions(job, opinion={"model": "judge"}), Rehearsal()
    at_least = 2 * ROWS
    rehearsal.run(judged, stop_after=at_least + 2)
    opinions = sum("What does" in text for text in said(rehearsal))
    assert 0 < opinions < ROWS
    assert len(rows_of(judged)) < ROWS
    asked = len(rehearsal.talker.requests)
    rehearsal.run(judged)
    assert len(rows_of(judged)) == ROWS
    assert len(rehearsal.talker.requests) == ROWS * CALLS, f"asked {asked} before: nothing is asked twice"
    assert settled(judged)


@pytest.mark.parametrize("order", range(3))
def test_a_worker_that_dies_in_a_later_phase_costs_what_it_had_in_hand(job: Job, order: int) -> None:
    judged, rehearsal = with_opinions(job, opinion={"model": "judge"}), Rehearsal()
    deaths = [Death(step, all=False) for step in ("after run", "before merge", "after run")]
    rehearsal.run(judged, deaths=deaths, order=order)
    assert len(rehearsal.steps.died) == len(deaths)
    assert (len(rows_of(judged)), letters_of(judged)) == (ROWS, {})
    assert settled(judged)
