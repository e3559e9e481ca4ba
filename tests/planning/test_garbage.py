"""What is deleted is what no version that is kept holds, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from factory.planning.garbage import gc
from factory.spec.job import Job
from factory.store.corpus import Corpus
from factory.store.shards import Shard
from factory.store.table import CorpusError, Table
from factory.store.versions import restore
from tests.local_ray import Death, Killed
from tests.rehearsal import Rehearsal, job_in, rows_of, some_personas, write_seeds


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A corpus of two versions that share no shard, and what a run left that died before it committed a third."""
    write_seeds(tmp_path, some_personas(6))
    rehearsal = Rehearsal()
    rehearsal.talker.mute = {"*p1*"}
    rehearsal.run(job_in(tmp_path, "run.rows_per_shard=100"))
    job = job_in(tmp_path, "makers.converse.turns=4", "run.rows_per_shard=100")
    rehearsal.run(job, retry_failed=True)
    with pytest.raises(Killed):
        Rehearsal().run(job_in(tmp_path, "makers.converse.turns=5"), deaths=[Death("after merge")])
    (tmp_path / "corpus" / "shards" / "n1-torn.parquet.partial").write_bytes(b"PAR1")
    signatures = tmp_path / "corpus" / "_passes" / "near_duplicates" / "rows"
    signatures.mkdir(parents=True)
    (signatures / "torn.arrow.partial").write_bytes(b"ARROW1")
    (tmp_path / "corpus" / "README.md").write_text("mine")
    return job


def age(job: Job, hours: float) -> None:
    """Make all files of the corpus that old."""
    for path in Path(job.corpus).rglob("*"):
        os.utime(path, (time.time() - 3600 * hours,) * 2)


def test_old_versions_and_orphans_go_and_all_else_stays(job: Job) -> None:
    age(job, 25)
    rows = rows_of(job)
    listed = gc(Corpus(job.corpus), 0, delete=False)
    assert (len(listed.old), len(listed.orphans)) == (3, 2), "rows' shards and the first dead letters'"
    assert {Path(file.path).suffix for file in listed.orphans} == {".parquet", ".partial"}
    assert listed.left
    assert listed.bytes == sum(file.size for file in (*listed.old, *listed.orphans, *listed.left))
    assert gc(Corpus(job.corpus), 0, delete=False).bytes == listed.bytes, "it was but looked at"

    assert gc(Corpus(job.corpus), 0, delete=True).bytes == listed.bytes
    assert gc(Corpus(job.corpus), 0, delete=False).bytes == 0
    assert not list(Path(job.corpus).rglob("*.partial"))
    assert rows_of(job) == rows
    assert (Path(job.corpus) / "README.md").exists()
    with pytest.raises(CorpusError, match="files of version 0 are gone"):
        restore(Corpus(job.corpus), 0)


def test_what_is_young_may_belong_to_a_run_under_way(job: Job) -> None:
    rows = rows_of(job)
    listed = gc(Corpus(job.corpus), 0, delete=True)
    assert (len(listed.old), listed.orphans, listed.left) == (3, [], [])
    assert rows_of(job) == rows


def test_versions_of_the_last_days_are_kept(job: Job) -> None:
    age(job, 25)
    listed = gc(Corpus(job.corpus), 1, delete=True)
    assert (listed.old, len(listed.orphans)) == ([], 2)
    restore(Corpus(job.corpus), 0)
    assert {len(row.turns) for row in rows_of(job).values()} == {3}


def test_the_log_forgets_nothing_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema, day = pa.schema([("x", pa.int64())]), 86400
    table, clock = Table(str(tmp_path), schema), SimpleNamespace(monotonic=time.monotonic)
    monkeypatch.setattr("factory.store.table.time", clock)
    assert table.shards() == []
    first, second = (table.write(pa.table({"x": [number]}, schema)) for number in range(2))
    for days, add, remove in ((60, [first], []), (40, [second], [first])):
        clock.time = lambda days=days: time.time() - days * day
        table.commit(add, remove, "old")
    clock.time = time.time
    for number in range(2, 205):  # the client makes a checkpoint each hundred commits, and tidies up then
        for path in tmp_path.rglob("*"):
            os.utime(path, (time.time() - 50 * day,) * 2)
        table.commit([], [], f"commit {number}")
    assert len(table.history()) == 205
    assert table.shards_at(0) == [first]
    assert table.unneeded(24 * 45, orphans=True) == []
    assert table.unneeded(24 * 30, orphans=True) == [first.path]


def test_what_is_restored_meanwhile_is_not_deleted(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    age(job, 25)
    listing = Table.unneeded

    def restored(table: Table, hours: int, *, orphans: bool) -> list[str]:
        found = listing(table, hours, orphans=orphans)
        if orphans and not table.root.endswith("_dead_letters"):
            restore(Corpus(job.corpus), 0)
        return found

    monkeypatch.setattr(Table, "unneeded", restored)
    gc(Corpus(job.corpus), 0, delete=True)
    assert {len(row.turns) for row in rows_of(job).values()} == {3}


def test_a_version_whose_files_go_while_it_is_restored_is_not_said_to_be_back(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    committing = Table.commit

    def commit(table: Table, add: Sequence[Shard], *others: Any, **notes: object) -> None:
        committing(table, add, *others, **notes)
        for shard in add:
            table.storage.delete(shard.path)

    monkeypatch.setattr(Table, "commit", commit)
    with pytest.raises(CorpusError, match="files of version [1-9] are gone"):
        restore(Corpus(job.corpus), 0)


def test_where_there_is_no_corpus_nothing_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "a.parquet").write_bytes(b"")
    with pytest.raises(CorpusError, match="there is no corpus here"):
        gc(Corpus(str(tmp_path)), 0, delete=True)
    assert (tmp_path / "shards" / "a.parquet").exists()
