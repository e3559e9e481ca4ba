"""A run that makes no more than the first rows: which these are, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

from factory.planning.plan import plan
from factory.spec.job import Job
from tests.rehearsal import Rehearsal, job_in, rows_of, some_personas, write_seeds


def planned_rows(job: Job, limit: int | None = None) -> list[str]:
    """Ids of the rows to make, as they are handed out."""
    return [row_id for work in plan(job, limit=limit).work() for row_id in work.spec.redo]


def test_the_first_rows_of_the_plan_are_made_and_the_others_wait(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(30))
    job, rehearsal = job_in(tmp_path, "run.rows_per_shard=8"), Rehearsal()
    order = planned_rows(job)
    assert planned_rows(job, 11) == order[:11]
    rehearsal.run(job, limit=11)
    assert rows_of(job).keys() == set(order[:11])
    assert (rehearsal.result.committed, rehearsal.result.remaining) == (11, len(order) - 11)
    summary = plan(job, limit=4).summary
    assert (summary.rows, summary.unchanged, summary.left) == (4, 11, len(order) - 15)


def test_limited_runs_end_where_one_run_does_and_make_no_row_twice(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(20))
    job, rehearsal, committed = job_in(tmp_path, "run.rows_per_shard=8"), Rehearsal(), []
    order = planned_rows(job)
    while plan(job).summary.rows:
        rehearsal.run(job, limit=7)
        committed.append(rehearsal.result.committed)
    assert max(committed) == 7
    assert sum(committed) == len(order)
    assert rows_of(job).keys() == set(order)


def test_rows_to_drop_and_rows_that_an_earlier_run_began_are_left_alone(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(12))
    job, rehearsal = job_in(tmp_path), Rehearsal()
    rehearsal.run(job)
    before = rows_of(job).keys()
    write_seeds(tmp_path, dict(list(some_personas(24).items())[4:]))
    dropped = plan(job).summary.drop
    assert dropped
    rehearsal.run(job, limit=1)
    assert before <= rows_of(job).keys()
    rehearsal.run(job, stop_after=15)
    began = plan(job).corpus.storage.list("_staging")
    assert began
    rehearsal.run(job, limit=1)
    assert set(began) <= set(plan(job).corpus.storage.list("_staging"))
    rehearsal.run(job)
    assert plan(job).summary.rows == 0
    assert len(before - rows_of(job).keys()) >= dropped
