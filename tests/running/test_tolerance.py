from __future__ import annotations

from pathlib import Path

from factory.running.progress import Progress, Result
from factory.running.run import run as run_job
from factory.running.tolerance import Failures
from tests.jobs import scripted_job, write_personas
from tests.rehearsal import Rehearsal, job_in, letters_of, some_personas, write_seeds


def test_reasons_are_counted_with_an_example_that_has_a_text(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(12))
    rehearsal, job = Rehearsal(), job_in(tmp_path)
    rehearsal.talker.mute = {"*p1*", "*p2*"}
    rehearsal.run(job)
    letters = list(letters_of(job).values())
    assert letters
    failures = Failures()
    failures.add(letters)
    found = failures.commonest(1)[0]
    same = [letter for letter in letters if (letter.stage, letter.reason) == (found.stage, found.reason)]
    assert found.rows == len(same)
    assert (found.detail, found.text) in [(letter.detail, letter.text) for letter in same]


def test_a_run_goes_on_where_fewer_rows_fail_than_may(tmp_path: Path) -> None:
    result = tried(tmp_path, {0: "I keep poison."})
    assert (result.stopped, result.committed + result.failed) == (None, 8)
    assert 0 < result.failed <= 4


def test_a_run_is_stopped_where_more_fail(tmp_path: Path) -> None:
    result = tried(tmp_path, dict.fromkeys(range(8), "I keep poison."))
    assert result.stopped == "failures"
    assert result.failed < 8
    assert result.remaining > 0
    assert [(failure.stage, failure.reason) for failure in result.failures] == [("converse", "request")]
    assert "run.max_failed_share (0.5)" in str(result.why)


def test_one_more_row_that_fails_is_no_failure_of_a_large_corpus_but_a_run_that_made_nothing(tmp_path: Path) -> None:
    write_personas(tmp_path, 8)
    Rehearsal().run(scripted_job(tmp_path))
    write_personas(tmp_path, 8, {0: "I keep poison.", 1: "I keep poison."})
    result = run_job(scripted_job(tmp_path, "scripted?fail=poison"))
    assert (result.committed, result.stopped) == (0, "failures")
    assert "all" in str(result.why)
    again = run_job(scripted_job(tmp_path, "scripted?fail=poison"))
    assert (again.rows, again.stopped) == (0, None), "within the share of all rows"


def tried(folder: Path, marked: dict[int, str]) -> Result:
    write_personas(folder, 8, marked)
    job = scripted_job(folder, "scripted?fail=poison&latency_ms=50", run={"rows_per_shard": 2, "shards_per_worker": 1})
    seen: list[Progress] = []
    return run_job(job, report=seen.append)


def test_a_limited_run_is_judged_by_its_own_rows(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(40))
    rehearsal, job = Rehearsal(), job_in(tmp_path)
    rehearsal.talker.mute = {f"*p{number}*" for number in range(6)}
    rehearsal.run(job, limit=8, allow_failures=False)
    assert 4 < rehearsal.result.failed < 8
    assert (rehearsal.result.stopped, "rows are dead letters" in str(rehearsal.result.why)) == ("failures", True)
