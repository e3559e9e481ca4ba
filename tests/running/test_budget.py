"""A run whose budget is spent stops as one that a person stops: what is complete stays, and the next one goes on."""

from __future__ import annotations

from pathlib import Path

from factory.planning.plan import plan
from factory.running.run import run as run_job
from tests.jobs import scripted_job, write_personas
from tests.rehearsal import Rehearsal, job_in, rows_of, settled, some_personas, write_seeds

ROWS = 8


def test_a_run_stops_at_its_tokens_and_the_next_run_goes_on(tmp_path: Path) -> None:
    write_personas(tmp_path, ROWS)
    whole = {"corpus": str(tmp_path / "whole")}
    Rehearsal().run(scripted_job(tmp_path, **whole))
    pace = {"rows_per_shard": 1, "shards_per_worker": 1}
    limit = plan(scripted_job(tmp_path, corpus=whole["corpus"], pairing={"samples": 2})).summary
    tokens = (limit.prompt_tokens - limit.cached_tokens + limit.completion_tokens) // 4
    job = scripted_job(tmp_path, "scripted?latency_ms=30", run=pace | {"budget": {"tokens": tokens}})
    result = run_job(job)
    assert (result.stopped, result.interrupted) == ("budget", False)
    assert "(run.budget.tokens)" in str(result.why)
    assert 0 < result.committed < ROWS
    assert result.committed + result.remaining == ROWS
    before = rows_of(job)
    Rehearsal().run(scripted_job(tmp_path))
    assert settled(job)
    after = rows_of(job)
    assert {row_id: after[row_id] for row_id in before} == before


def test_tokens_are_counted_by_model_and_cost_what_the_job_says(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    prices = "run.budget.prices={writer: {prompt: 1000000}}"
    rehearsal = Rehearsal()
    rehearsal.run(job_in(tmp_path, "run.rows_per_shard=1", "run.budget.money=1", prices), stop_after=None)
    spent = sum(reply.prompt_tokens - reply.cached_tokens for reply in rehearsal.talker.replies)
    assert rehearsal.result.stopped == "budget"
    assert rehearsal.result.why.startswith("the budget of this run is spent: ")
    assert 0 < int(float(rehearsal.result.why.split(" of ")[1].split(": ")[1])) <= spent


def test_hours_stop_a_run_too_and_are_said_before(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    job = job_in(tmp_path, "run.rows_per_shard=1", "run.budget.hours=1e-9")
    rehearsal = Rehearsal()
    rehearsal.run(job)
    assert rehearsal.result.stopped == "budget"
    assert "hours (run.budget.hours)" in rehearsal.result.why


def test_a_budget_that_suffices_to_the_end_is_not_spent(tmp_path: Path) -> None:
    """Reached by the last row, it stops nothing."""
    write_personas(tmp_path, 2)
    rehearsal, used = Rehearsal(), []
    rehearsal.run(scripted_job(tmp_path, corpus=str(tmp_path / "one")))
    used = [reply.prompt_tokens - reply.cached_tokens + reply.completion_tokens for reply in rehearsal.talker.replies]
    rehearsal = Rehearsal()
    rehearsal.run(scripted_job(tmp_path, run={"budget": {"tokens": sum(used)}}))
    assert (rehearsal.result.stopped, rehearsal.result.remaining) == (None, 0)


def test_a_plan_beyond_the_budget_says_so_and_a_budget_redoes_nothing(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    summary = plan(job_in(tmp_path, "run.budget.tokens=10", "run.budget.hours=1")).summary
    assert len(summary.beyond) == 1
    assert summary.beyond[0].endswith("of 10 tokens (run.budget.tokens)")
    rehearsal, seen = Rehearsal(), []
    rehearsal.run(job_in(tmp_path, "run.budget.tokens=10"), report=lambda progress: seen.append(progress.notes))
    assert summary.beyond[0] in seen[0]
    Rehearsal().run(job_in(tmp_path))
    assert settled(job_in(tmp_path, "run.budget.tokens=10"))
    assert plan(job_in(tmp_path, "run.budget.tokens=10")).summary.beyond == []
