"""What the world does to a run: a full disk, seeds that vanish, another run; each ends well or with one clear error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from factory.engines import Reply, Request
from factory.planning.plan import plan
from factory.running.pool import RunError
from factory.seeds.files import SourceError
from factory.spec.job import Job
from factory.spec.jobfile import load_job
from factory.store.corpus import Corpus
from factory.store.storage import StorageError
from factory.store.table import ConflictError, CorpusError
from factory.store.versions import restore
from factory.views.card import write_card
from tests.cli.test_commands import call
from tests.jobs import write_job, write_personas
from tests.rehearsal import Rehearsal, Talker, job_in, letters_of, rows_of, settled, some_personas, write_seeds
from tests.running.test_run import assert_settled


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 400 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk of its own needs the right to mount one")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_ends_the_run_and_spares_what_is_committed(tmp_path: Path, small_disk: Path) -> None:
    write_seeds(tmp_path, some_personas(40))
    job = job_in(tmp_path, f"corpus={small_disk}/corpus", "run.rows_per_shard=2")
    with pytest.raises((RunError, StorageError, CorpusError), match="No space left on device|os error 28"):
        Rehearsal().run(job)
    before = rows_of(job)
    assert len(before) < 40
    subprocess.run(["mount", "-o", "remount,size=40m", small_disk], check=True)
    Rehearsal().run(job)
    after = rows_of(job)
    assert len(after) == 40
    assert before.items() <= after.items()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Job]:
    """A job whose corpus is made, on a disk that may now only be read; nothing of what planning keeps is up to date."""
    write_seeds(tmp_path, some_personas(6))
    os.utime(tmp_path / "seeds" / "a.jsonl", (1e9, 1e9))
    job = job_in(tmp_path, f"corpus={tmp_path}/disk/corpus", "run.rows_per_shard=2")
    Rehearsal().run(job)
    for kept in ("_ledger", "_seeds"):
        shutil.rmtree(f"{job.corpus}/{kept}")
    disk = tmp_path / "disk"
    mount = ["mount", "--bind", disk, disk], ["mount", "-o", "remount,bind,ro", disk]
    if any(subprocess.run(command, capture_output=True, check=False).returncode for command in mount):
        subprocess.run(["umount", disk], capture_output=True, check=False)
        pytest.skip("a disk that may only be read needs the right to mount one")
    yield job
    subprocess.run(["umount", disk], check=True)


def test_a_corpus_that_may_only_be_read_is_planned_and_read(read_only: Job, tmp_path: Path) -> None:
    rows, root = rows_of(read_only), read_only.corpus
    assert settled(read_only)
    more = job_in(tmp_path, f"corpus={root}", "pairing.samples=2")
    assert plan(more).summary.make == len(rows)
    rehearsal = Rehearsal()
    rehearsal.run(read_only)
    assert rehearsal.talker.requests == []
    assert str(len(rows)) in call("status", root)
    call("show", root)
    call("explain", root, next(iter(rows)))
    call("log", root)
    call("gc", root)
    call("card", root, "--to", tmp_path / "card.md")
    call("report", root, "--to", tmp_path / "report.html")
    call(
        "export",
        root,
        "chat",
        "--to",
        tmp_path / "chat",
        "--decision",
        "accept",
        "--decision",
        "flag",
        "--decision",
        "reject",
    )
    assert set(Corpus(root).to_polars().collect()["row_id"]) == rows.keys()
    assert {row["row_id"] for row in Corpus(root).to_torch()} == rows.keys()
    assert not {"_ledger", "_seeds"} & set(os.listdir(root))


@pytest.mark.parametrize("override", ["pairing.samples=2", "makers.converse.turns=4", "run.stall_timeout_s=9"])
def test_a_run_that_cannot_write_says_so_before_it_starts_anything(
    read_only: Job, tmp_path: Path, override: str
) -> None:
    job, rehearsal = job_in(tmp_path, f"corpus={read_only.corpus}", override), Rehearsal()
    if override.startswith("run."):  # nothing to do
        rehearsal.run(job)
        return
    with pytest.raises(
        StorageError, match="Read-only file system; this place is read-only: make it writable"
    ) as caught:
        rehearsal.run(job)
    assert str(caught.value).startswith(f"{job.corpus}/")
    assert "\n" not in str(caught.value)
    assert not [step for step in rehearsal.steps.seen if not step.startswith("driver")]
    assert rehearsal.talker.requests == []


def test_what_writes_to_a_corpus_that_may_only_be_read_says_so(read_only: Job) -> None:
    for write in (
        lambda: restore(Corpus(read_only.corpus), 0),
        lambda: write_card(Corpus(read_only.corpus), "text"),
    ):
        with pytest.raises((StorageError, CorpusError), match=r"Read-only file system|os error 30") as caught:
            write()
        assert "\n" not in str(caught.value)


def test_seeds_that_vanish_under_a_run_are_still_made_into_rows(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(8))

    class Vanishing(Talker):
        async def generate(self, request: Request) -> Reply:
            (tmp_path / "seeds" / "a.jsonl").unlink(missing_ok=True)
            return await super().generate(request)

    job = job_in(tmp_path, "run.rows_per_shard=2")
    Rehearsal(talker=Vanishing()).run(job)
    assert (len(rows_of(job)), letters_of(job)) == (8, {})
    with pytest.raises(SourceError, match=r"seeds/\*.jsonl"):
        Rehearsal().run(job)
    assert len(rows_of(job)) == 8, "seeds that cannot be found are not taken for seeds that were removed"


def test_another_run_at_any_moment_stops_the_one_that_commits_later(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(5))
    steps = rehearsed(tmp_path / "alone", tmp_path, None)[1]
    outcomes = set()
    for step in range(0, len(steps), 4):
        stopped, _, job = rehearsed(tmp_path / str(step), tmp_path, step)
        outcomes.add(stopped)
        assert len(rows_of(job)) == 5
        Rehearsal().run(job)
        assert settled(job)
    assert outcomes == {True, False}


def rehearsed(corpus: Path, folder: Path, step: int | None) -> tuple[bool, list[str], Job]:
    """A run, into which another one comes at a step of its driver; whether it was stopped, its steps, and the job."""
    job, rehearsal = job_in(folder, f"corpus={corpus}", "run.rows_per_shard=2"), Rehearsal()

    def other(number: int, name: str) -> None:
        if number == step and name.startswith("driver"):
            Rehearsal().run(job)

    stopped = False
    try:
        rehearsal.run(job, at_step=other)
    except ConflictError:
        stopped = True
    return stopped, rehearsal.steps.seen, job


def test_two_runs_at_once_leave_the_corpus_of_one(tmp_path: Path) -> None:
    write_personas(tmp_path, 12)
    path = write_job(tmp_path, "scripted?latency_ms=100", run={"rows_per_shard": 2})
    command = [sys.executable, "-m", "factory", "run", str(path)]
    runs = [subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    said = [run.communicate(timeout=240) for run in runs]
    codes = sorted(run.returncode for run in runs)
    assert codes in ([0, 0], [0, 1]), said
    for run, (_, error) in zip(runs, said, strict=True):
        assert run.returncode == 0 or "error: " in error and "another run is writing here; let it finish" in error
        assert "Traceback" not in error
    assert_settled(load_job(path))
