from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import ray

from factory.planning.plan import plan
from factory.running.pool import RunError
from factory.running.run import Progress, run
from factory.spec.job import Job
from factory.store.corpus import Corpus
from tests.jobs import scripted_job, write_personas
from tests.opinions import opinions, with_opinions
from tests.rehearsal import wanted_of

POISON = "I keep poison."
ROWS = 24
TWO = dict.fromkeys(("writer", "judge"), {"engine": "scripted", "name": "scripted"})
IN_WORKERS = {
    "worker_process_setup_hook": "tests.opinions.register",
    "env_vars": {"PYTHONPATH": str(Path(__file__).parents[2])},
}


def rows_of(job: Job) -> dict[str, list[str]]:
    """Row ids and turns of the corpus; fails on a row that stands in it twice."""
    rows: dict[str, list[str]] = {}
    for row in Corpus(job.corpus).rows():
        assert row.row_id not in rows
        rows[row.row_id] = [turn.text for turn in row.turns]
    return rows


def letters_of(job: Job) -> dict[str, str]:
    """Reason by row id."""
    return {letter.id: letter.reason for letter in Corpus(job.corpus).dead_letters()}


def assert_settled(job: Job) -> None:
    """Every wanted row is in the corpus or among the dead letters, and not in both."""
    planned = plan(job)
    wanted = wanted_of(planned).keys()
    rows, letters = rows_of(job), letters_of(job)
    assert planned.summary.rows == 0
    assert rows.keys() | letters.keys() == wanted
    assert not rows.keys() & letters.keys()


def poisoned(job: Job, fact: str = POISON) -> set[str]:
    """Rows with the persona that faults are ordered for."""
    skeletons = wanted_of(plan(job)).values()
    return {row.row_id for row in skeletons if any(fact in speaker.facts_of("seed") for speaker in row.speakers)}


def test_makes_what_is_wanted_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    write_personas(tmp_path, 10)
    job = scripted_job(tmp_path)
    seen: list[Progress] = []

    first = run(job, report=seen.append)

    assert (first.committed, first.remaining, first.decisions) == (10, 0, {"accept": 10})
    assert seen[-1].committed == 10
    records = [record for row in Corpus(job.corpus).rows() for record in row.stages]
    assert first.tokens == sum(record.completion_tokens for record in records) > 0
    assert_settled(job)
    assert not Corpus(job.corpus).storage.list("_staging")

    before = rows_of(job)
    again = run(job)
    assert (again.rows, again.tokens, again.version) == (0, 0, first.version)
    assert not ray.is_initialized()
    assert rows_of(job) == before


def test_an_engine_that_cannot_start_stops_the_job_and_spares_the_corpus(tmp_path: Path) -> None:
    write_personas(tmp_path, 4)
    run(scripted_job(tmp_path))
    before = rows_of(scripted_job(tmp_path))
    longer = {"converse": {"turns": 6}}
    job = scripted_job(tmp_path, "scripted?start=the model has no weights", makers=longer)
    assert plan(job).summary.remake == {"converse": 4}

    with pytest.raises(RunError, match="^the model has no weights$"):
        run(job)

    assert rows_of(job) == before
    assert not ray.is_initialized()


@pytest.mark.parametrize("source", ["--address", "RAY_ADDRESS"])
def test_a_cluster_that_is_not_there_is_told_with_who_named_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    gone = "127.0.0.1:1"  # nothing listens there
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if source == "RAY_ADDRESS":
        monkeypatch.setenv("RAY_ADDRESS", gone)
    write_personas(tmp_path, 2)
    with pytest.raises(RunError, match=rf"^the Ray cluster at {gone} \(from {source}\) cannot be reached: .* refused"):
        run(scripted_job(tmp_path), address=gone if source == "--address" else None)


def judged(job: Job) -> Job:
    """The job with a score that asks a second language model."""
    return with_opinions(job, opinion={"model": "judge"})


@pytest.mark.usefixtures(opinions.__name__)
def test_pools_take_turns_where_there_is_no_room_for_both(tmp_path: Path) -> None:
    write_personas(tmp_path, ROWS)
    everything = float(psutil.cpu_count() or 1)
    seen: list[Progress] = []
    pools = dict.fromkeys(("writer", "judge"), {"cpus": everything})
    ray.init(
        address="local",
        num_cpus=int(everything),
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        runtime_env=IN_WORKERS,
    )
    try:
        job = judged(scripted_job(tmp_path, models=TWO, run={"rows_per_shard": 1, "workers": pools}))
        run(job, report=lambda progress: seen.append(replace(progress)))
    finally:
        ray.shutdown()
    assert_settled(job)
    assert {row.scores["opinion"]["words"] is None for row in Corpus(job.corpus).rows()} == {False}
    through = [dict(progress.through) for progress in seen]
    assert {rows["writer"] for rows in through if rows["judge"]} == {ROWS}, "one turn each, one start each"


def test_the_second_phase_makes_ready_while_the_first_works(tmp_path: Path) -> None:
    write_personas(tmp_path, 2)
    workers: set[int] = set()

    def look(progress: Progress) -> None:
        if not dict(progress.through)["writer"]:
            workers.add(progress.workers)

    job = scripted_job(tmp_path, "scripted?latency_ms=1500", scores={"consistency": {}})
    run(job, report=look)
    assert workers == {0, 1, 2}


def test_local_ray_listens_on_loopback_only_and_starts_nothing_it_does_not_need(tmp_path: Path) -> None:
    write_personas(tmp_path, 4)
    exposed: set[str] = set()
    files: set[str] = set()

    def look(_: Progress) -> None:
        for process in psutil.Process().children(recursive=True):
            try:
                connections = process.net_connections(kind="tcp")
                files.update(Path(word).name for word in process.cmdline())
            except psutil.Error:
                continue
            exposed.update(
                f"{process.name()} {one.laddr.ip}:{one.laddr.port}"
                for one in connections
                if one.status == psutil.CONN_LISTEN and one.laddr.ip.removeprefix("::ffff:") != "127.0.0.1"
            )

    run(scripted_job(tmp_path), report=look)
    assert exposed == set()
    assert "raylet" in files
    assert not files & {"dashboard.py", "monitor.py", "log_monitor.py"}


def test_a_worker_that_this_machine_has_no_room_for_ends_the_run(tmp_path: Path) -> None:
    write_personas(tmp_path, 2)
    with pytest.raises(
        RunError, match=r"reserves 1 GPUs \(run.workers.writer.gpus.*this machine has 0; lower it, or join"
    ):
        run(scripted_job(tmp_path, run={"workers": {"writer": {"gpus": 1}}}))
