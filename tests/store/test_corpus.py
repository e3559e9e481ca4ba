"""The corpus as a table: commits, conflicts, and readers that know nothing of us."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import datasets
import duckdb
import polars as pl
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.base.fingerprint import blake
from factory.store.corpus import Corpus
from factory.store.dead_letters import DEAD_LETTER_SCHEMA
from factory.store.records import ROW_SCHEMA, Row, SeedRef, Speaker, Turn, rows_to_table
from factory.store.shards import Shard
from factory.store.table import ConflictError, CorpusError, Table
from tests.rehearsal import Rehearsal, job_in, rows_of, settled, some_personas, write_seeds


def a_row(number: int) -> Row:
    return Row(
        row_id=blake("row", str(number)),
        kind="generated",
        sample=0,
        seeds=[SeedRef("s", ["f", "t", "a"], "a.jsonl", number)],
        speakers=[Speaker("s", "s"), Speaker("t", "t")],
        turns=[Turn(0, f"Hello {number}."), Turn(1, "Hi.")],
    )


def shard_of(corpus: Corpus, *numbers: int) -> Shard:
    return corpus.table.write(rows_to_table([a_row(number) for number in numbers], {}))


def lines_of(corpus: Corpus) -> list[int]:
    return sorted(row.seeds[0].line for row in corpus.rows())


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for a corpus, on disk and in an object store."""
    if request.param == "local":
        return str(tmp_path / "corpus")
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"


def test_rows_are_read_without_the_columns_that_nobody_asked_for(tmp_path: Path) -> None:
    corpus = Corpus(str(tmp_path))
    corpus.table.shards()
    corpus.table.commit([shard_of(corpus, 1, 2)], [], "made")
    columns = ["row_id", "kind", "sample", "seeds", "speakers", "turns.list.element.speaker", "turns.list.element.text"]
    assert list(corpus.rows(columns=columns)) == [a_row(1), a_row(2)]
    assert [row.turns for row in corpus.rows(columns=columns[:5])] == [[], []]


def test_what_is_committed_is_read_and_nothing_else(root: str) -> None:
    corpus = Corpus(root)
    assert (corpus.table.shards(), list(corpus.rows()), corpus.files(), corpus.table.version()) == ([], [], [], None)
    first, orphan = shard_of(corpus, 1, 2), shard_of(corpus, 3)
    corpus.table.commit([first], [], "first")
    assert lines_of(Corpus(root)) == [1, 2]

    second = shard_of(corpus, 2, 4)
    corpus.table.commit([second], [first], "replaced")
    assert Corpus(root).table.shards() == [second] != [orphan]
    assert lines_of(Corpus(root)) == [2, 4]
    assert corpus.table.version() == 1
    assert pl.read_delta(root, version=0)["row_id"].len() == 2

    corpus.table.commit([], [second], "emptied")
    assert (list(Corpus(root).rows()), Corpus(root).files()) == ([], [])


def test_the_shards_committed_last_are_told_and_when_the_others_were(root: str) -> None:
    corpus = Corpus(root)
    assert corpus.table.newest(2, 9) == ([], 0)
    shards, times = [shard_of(corpus, 1, 2), shard_of(corpus, 3), shard_of(corpus, 4, 5)], []
    for shard in shards:
        corpus.table.commit([shard], [], "made")
        times.append(time.time())
        time.sleep(0.01)
    first, second, third = shards
    table = Corpus(root).table
    table.shards()
    assert table.newest(3, 9) == ([third, second, first], 0)
    for most, rows, found in ((2, 9, [third, second]), (3, 3, [third, second]), (3, 2, [third]), (1, 1, [third])):
        told, since = table.newest(most, rows)
        assert told == found
        newest_other = 2 - len(found)
        assert ([0, *times][newest_other] - 0.002) < since <= times[newest_other]


def test_staged_files_and_recipes_are_kept_beside_the_table(root: str) -> None:
    corpus = Corpus(root)
    corpus.table.commit([shard_of(corpus, 1)], [], "first")
    assert corpus.storage.list("_staging") == []
    corpus.storage.write_arrow("_staging/b.rows.arrow", rows_to_table([a_row(1)], {}))
    corpus.storage.write_bytes("_staging/a.json", b"{}")
    assert corpus.storage.list("_staging") == ["_staging/a.json", "_staging/b.rows.arrow"]
    corpus.storage.delete("_staging/a.json")
    assert corpus.storage.list("_staging") == ["_staging/b.rows.arrow"]

    assert corpus.recipe("r1") is None
    corpus.save_recipe("r1", {"prompt": "ä"})
    corpus.save_recipe("r1", {"prompt": "another"})
    assert corpus.recipe("r1") == {"prompt": "ä"}
    assert lines_of(Corpus(root)) == [1]


def test_rows_and_dead_letters_stand_side_by_side(root: str) -> None:
    corpus = Corpus(root)
    letters = corpus.dead.write(DEAD_LETTER_SCHEMA.empty_table())
    corpus.dead.commit([letters], [], "none yet")
    assert (Corpus(root).table.shards(), len(Corpus(root).dead.shards())) == ([], 1)


def test_two_drivers_that_only_append_conflict_too(root: str) -> None:
    founder = Corpus(root)
    founder.table.commit([shard_of(founder, 0)], [], "begun")
    one, other = Corpus(root), Corpus(root)
    assert one.table.shards() == other.table.shards()
    one.table.commit([shard_of(one, 1)], [], "one")
    with pytest.raises(ConflictError, match="another run"):
        other.table.commit([shard_of(other, 2)], [], "other")
    assert lines_of(Corpus(root)) == [0, 1]


@pytest.mark.parametrize("begun", [False, True])
def test_of_two_drivers_that_saw_the_same_the_second_writes_nothing(root: str, begun: bool) -> None:
    if begun:
        founder = Corpus(root)
        founder.table.commit([shard_of(founder, 0)], [], "begun")
    one, other = Corpus(root), Corpus(root)
    seen = one.table.shards()
    assert other.table.shards() == seen
    one.table.commit([shard_of(one, 1)], seen, "one")
    with pytest.raises(ConflictError, match="another run is writing here"):
        other.table.commit([shard_of(other, 2)], seen, "other")
    assert lines_of(Corpus(root)) == [1]

    one.table.commit([shard_of(one, 3)], [], "one goes on")
    with pytest.raises(ConflictError):
        other.table.commit([shard_of(other, 4)], [], "an append conflicts too")
    other.table.shards()
    other.table.commit([shard_of(other, 5)], [], "after a new look")
    assert lines_of(Corpus(root)) == [1, 3, 5]


def test_the_table_of_another_program_is_refused(root: str) -> None:
    write_deltalake(root, pa.table({"a": [1]}))
    with pytest.raises(CorpusError, match="files of another program; give the job another path"):
        Corpus(root).table.shards()


@pytest.mark.parametrize("name", ["", "/_dead_letters"])
def test_a_table_with_other_columns_is_of_another_version(root: str, name: str) -> None:
    whole = DEAD_LETTER_SCHEMA if name else ROW_SCHEMA
    fewer, more = whole.remove(3), whole.append(pa.field("new", pa.string()))
    for number, other in enumerate((fewer, more, whole.set(0, pa.field(whole.names[0], pa.int64())))):
        table = Table(f"{root}/{number}{name}", other)
        table.commit([table.write(other.empty_table())], [], "made")
        later = Table(table.root, whole)
        for use in (later.shards, later.history, later.moved, partial(later.shards_at, 0)):
            with pytest.raises(CorpusError, match="made by another version of the factory.*a new path"):
                use()
        assert len(Table(table.root, other).shards()) == 1


def test_rows_of_another_schema_are_refused(tmp_path: Path) -> None:
    corpus = Corpus(str(tmp_path))
    with pytest.raises(CorpusError, match=r"(?s)rows have the schema\na: int64\nexpected\nrow_id: string"):
        corpus.table.write(pa.table({"a": [1]}))


def test_a_damaged_log_is_a_corpus_error(tmp_path: Path) -> None:
    corpus = Corpus(str(tmp_path))
    corpus.table.commit([shard_of(corpus, 1)], [], "first")
    next((tmp_path / "_delta_log").glob("*.json")).write_text("{")
    with pytest.raises(CorpusError, match=f"{tmp_path}: cannot read the table"):
        Corpus(str(tmp_path)).table.shards()


def test_readers_that_know_nothing_of_us_see_the_documented_schema(tmp_path: Path) -> None:
    corpus = Corpus(str(tmp_path / "corpus"))
    corpus.table.commit([shard_of(corpus, 1, 2), shard_of(corpus, 3)], [], "first")
    plain = pl.DataFrame(rows_to_table([a_row(1), a_row(2), a_row(3)], {}))

    assert pl.read_delta(corpus.root).sort("row_id").equals(plain.sort("row_id"))
    assert corpus.scan().collect().schema == plain.schema
    found = duckdb.sql(f"select row_id, turns[1].text, len(seeds) from read_parquet({corpus.files()})").fetchall()
    assert sorted(found) == sorted((a_row(n).row_id, f"Hello {n}.", 1) for n in (1, 2, 3))
    loaded = datasets.load_dataset(
        "parquet", data_files=corpus.files(), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded.features.arrow_schema.equals(ROW_SCHEMA, check_metadata=False)
    assert sorted(loaded["row_id"]) == sorted(plain["row_id"])


def test_without_a_corpus_a_scan_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="there is no corpus here yet; make one with: factory run JOB"):
        Corpus(str(tmp_path)).scan()


@pytest.mark.parametrize("length", [0, 1, 7, 8, 12, 32])
def test_rows_are_found_by_the_beginning_of_their_id(tmp_path: Path, length: int) -> None:
    corpus, rows = Corpus(str(tmp_path)), [a_row(number) for number in range(20)]
    for start in range(0, 20, 5):
        corpus.table.commit([corpus.table.write(rows_to_table(rows[start : start + 5], {}))], [], "a shard")
    prefix = rows[7].row_id[:length]
    found = {row.row_id for row in corpus.rows(prefix)}
    assert found == {row.row_id for row in rows if row.row_id.startswith(prefix)}
    assert not list(corpus.rows("zzzzzzzzz"))


@settings(deadline=None)
@given(st.integers(0, 2**40), st.integers(0, 2**128 - 1))
def test_a_shards_name_says_how_many_rows_it_holds(rows: int, number: int) -> None:
    name = f"shards/n{rows}-{number:032x}.parquet"
    assert Shard.parse(name, 7) == Shard(name, 7, rows)
    for foreign in (f"x{name}", f"{name}.crc", name.replace("/n", "/m"), name.replace("shards/", "")):
        assert Shard.parse(foreign, 7) is None


def test_planning_is_the_same_on_disk_and_in_an_object_store(root: str, tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    os.utime(tmp_path / "seeds" / "a.jsonl", (1e9, 1e9))
    job = job_in(tmp_path, f"corpus={root}")
    Rehearsal().run(job)
    assert settled(job)
    assert len(rows_of(job)) == 6
    assert {path.partition("/")[0] for path in Corpus(root).storage.list("")} >= {"_ledger", "_seeds", "shards"}
