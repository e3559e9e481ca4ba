"""Versions of a corpus are listed and come back, with the dead letters that belong to them."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from factory.planning.garbage import gc
from factory.spec.job import Job
from factory.store.corpus import Corpus
from factory.store.table import ConflictError, CorpusError
from factory.store.versions import at, log, restore
from tests.rehearsal import Rehearsal, job_in, letters_of, rows_of, settled, some_personas, write_seeds


def test_the_log_of_dead_letters_alone_says_that_there_is_no_row(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(2))
    job, rehearsal = job_in(tmp_path), Rehearsal()
    rehearsal.talker.mute = {"*p0*", "*p1*"}
    rehearsal.run(job)
    assert letters_of(job)
    with pytest.raises(CorpusError, match="no row has been made yet.*factory letters"):
        log(Corpus(job.corpus))


def test_the_log_says_what_each_version_was(tmp_path: Path) -> None:
    personas = some_personas(6)
    write_seeds(tmp_path, personas)
    job = job_in(tmp_path, "run.rows_per_shard=100")
    Rehearsal().run(job)
    del personas["p2"]
    write_seeds(tmp_path, personas)
    Rehearsal().run(job)
    newest, *_, first = log(Corpus(job.corpus))
    assert (first.version, first.rows, first.message) == (0, 6, "6 rows made")
    assert newest.rows == len(rows_of(job)) == 5
    assert re.fullmatch(r"\d+ rows made(, \d+ dropped)?", newest.message)
    assert first.time < newest.time


def test_versions_of_one_run_are_told_from_those_of_another(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    Rehearsal().run(job_in(tmp_path, "run.rows_per_shard=2"))
    first = {one.run for one in log(Corpus(job_in(tmp_path).corpus))}
    Rehearsal().run(job_in(tmp_path, "makers.converse.turns=4"))
    newest, *_ = log(Corpus(job_in(tmp_path).corpus))
    assert len(first) == 1
    assert None not in first | {newest.run}
    assert newest.run not in first


def test_a_version_comes_back_with_its_dead_letters(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    job, rehearsal = job_in(tmp_path), Rehearsal()
    rehearsal.talker.mute = {"*p1*"}
    rehearsal.run(job)
    version = log(Corpus(job.corpus))[0].version
    rows, letters = rows_of(job), letters_of(job)
    assert letters
    rehearsal.talker.mute = set()
    longer = job_in(tmp_path, "makers.converse.turns=4")
    rehearsal.run(longer, retry_failed=True)
    later = rows_of(job)
    assert not letters_of(job)
    assert later.keys() > rows.keys()
    then = at(Corpus(job.corpus), version)
    assert {row.row_id: row for row in then.rows()} == rows
    assert {letter.row_id for letter in then.dead_letters()} == letters.keys()
    assert then.to_polars().collect()["row_id"].sort().to_list() == sorted(rows)

    restored = restore(Corpus(job.corpus), version)
    assert (restored.rows, restored.message) == (len(rows), f"version {version} restored")
    assert (rows_of(job), letters_of(job)) == (rows, letters)
    assert settled(job)

    asked = len(rehearsal.talker.requests)
    restore(Corpus(job.corpus), restored.version - 1)
    assert (rows_of(job), letters_of(job)) == (later, {})
    rehearsal.run(longer)
    assert len(rehearsal.talker.requests) == asked, "what came back is not made again"


def test_a_run_that_is_under_way_notices(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    Rehearsal().run(job_in(tmp_path, "makers.converse.turns=4"))
    corpus = Corpus(job.corpus)
    seen = corpus.table.shards()
    restore(Corpus(job.corpus), 0)
    with pytest.raises(ConflictError):
        corpus.table.commit([], seen, "too late")


def test_what_cannot_come_back_says_why(tmp_path: Path) -> None:
    corpus = Corpus(str(tmp_path))
    for wrong in (lambda: log(corpus), lambda: restore(corpus, 0)):
        with pytest.raises(CorpusError, match="there is no corpus"):
            wrong()
    write_seeds(tmp_path, some_personas(4))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    with pytest.raises(CorpusError, match=r"no version 99; the newest is \d+; see: factory log"):
        restore(Corpus(job.corpus), 99)
    gone = Corpus(job.corpus).table.shards_at(0)[0]
    Rehearsal().run(job_in(tmp_path, "makers.converse.turns=4"))
    Corpus(job.corpus).storage.delete(gone.path)
    before = rows_of(job)
    with pytest.raises(CorpusError, match=r"files of version 0 are gone \(factory gc or forget, or another"):
        restore(Corpus(job.corpus), 0)
    assert rows_of(job) == before


@pytest.fixture
def compacted(tmp_path: Path) -> Job:
    """A corpus that another program's compaction has rewritten, and the version before it."""
    write_seeds(tmp_path, some_personas(6))
    job, rehearsal = job_in(tmp_path, "run.rows_per_shard=2"), Rehearsal()
    rehearsal.talker.mute = {"*p1*"}
    rehearsal.run(job)
    DeltaTable(job.corpus).optimize.compact()
    return job


def test_a_table_that_another_program_compacted_says_how_it_is_led_back(compacted: Job, tmp_path: Path) -> None:
    root = compacted.corpus
    versions = log(Corpus(root))
    newest, ours = versions[0], versions[1]
    assert (newest.message, newest.rows) == ("optimize", None)
    assert [one.version for one in versions] == list(range(newest.version, -1, -1))
    wanted = (
        f"{root}: another program has rewritten the table since version {newest.version} (OPTIMIZE); the last version"
    )
    for refused in (
        lambda: Corpus(root).scan(),
        lambda: Rehearsal().run(compacted),
        lambda: next(Corpus(root).rows()),
        lambda: Corpus(root).to_polars(),
        lambda: gc(Corpus(root), 0, delete=True),
        lambda: Corpus(root).table.shards_at(newest.version),
    ):
        with pytest.raises(CorpusError, match=re.escape(wanted)) as caught:
            refused()
        assert str(caught.value).endswith(f"factory restore {root} {ours.version}")
        assert "\n" not in str(caught.value)
    rows = {row.row_id for row in Corpus(root).rows(version=ours.version)}
    restored = restore(Corpus(root), ours.version)
    assert (restored.version, restored.rows) == (newest.version + 1, len(rows))
    assert log(Corpus(root))[0].rows == len(rows)
    assert rows_of(compacted).keys() == rows
    assert settled(compacted)
    assert Corpus(root).to_polars().collect().height == pl.read_delta(root).height == len(rows)


@pytest.mark.parametrize("deed", ["append", "overwrite", "delete", "letters"])
def test_whatever_another_program_wrote_is_led_back_by_the_command_that_is_told(tmp_path: Path, deed: str) -> None:
    write_seeds(tmp_path, some_personas(6))
    job, rehearsal = job_in(tmp_path, "run.rows_per_shard=2"), Rehearsal()
    rehearsal.talker.mute = {"*p1*"}
    rehearsal.run(job)
    before = rows_of(job), letters_of(job)
    rows = DeltaTable(job.corpus).to_pyarrow_table()
    if deed == "delete":
        DeltaTable(job.corpus).delete(f"row_id = '{rows['row_id'][0]}'")
    elif deed == "letters":
        letters = f"{job.corpus}/_dead_letters"
        write_deltalake(letters, DeltaTable(letters).to_pyarrow_table(), mode="append")
    else:
        write_deltalake(job.corpus, rows.slice(0, 2), mode=deed)  # type: ignore[call-overload]
    with pytest.raises(CorpusError, match="another program has rewritten the table") as caught:
        Rehearsal().run(job)
    _, _, root, version = str(caught.value)[str(caught.value).index("factory restore") :].split()
    restore(Corpus(root), int(version))
    assert (rows_of(job), letters_of(job)) == before
    assert settled(job)


def test_what_was_vacuumed_away_does_not_come_back_and_says_so(compacted: Job) -> None:
    root, before = compacted.corpus, log(Corpus(compacted.corpus))[1].version
    DeltaTable(root).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(CorpusError, match=f"files of version {before} are gone .factory gc or forget, or another"):
        restore(Corpus(root), before)
    with pytest.raises(CorpusError, match="another program has rewritten the table"):
        Corpus(root).scan()


def test_a_vacuum_alone_changes_nothing(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    Rehearsal().run(job_in(tmp_path))
    job = job_in(tmp_path, "makers.converse.turns=4")
    Rehearsal().run(job)
    before = rows_of(job)
    DeltaTable(job.corpus).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    assert log(Corpus(job.corpus))[0].message == "vacuum end"
    assert rows_of(job) == before
    assert settled(job)
