"""Near duplicates of a corpus: found within and across shards and commits, and the same however the rows came."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.base.fingerprint import blake
from factory.methods.passes.near_duplicates import COLUMN, NearDuplicatesParams
from factory.planning import signatures
from factory.planning.duplicates import Duplicates
from factory.planning.signatures import FOLDER, NAME
from factory.store.corpus import Corpus
from factory.store.records import ROW_SCHEMA, Fact, Row, SeedRef, Speaker, Turn, rows_to_table
from factory.store.shards import Shard
from factory.store.table import Table

PARAMS = NearDuplicatesParams()
SCHEMA = ROW_SCHEMA.append(pa.field(NAME, COLUMN))
TALK = " ".join(f"word{number}" for number in range(40))
OTHER = TALK.replace("word", "other")


def a_row(name: str, text: str) -> Row:
    said = text.split()
    turns = [Turn(0, " ".join(said[: len(said) // 2])), Turn(1, " ".join(said[len(said) // 2 :]))]
    return Row(
        name,
        "generated",
        0,
        [SeedRef("s", ["f", "t", "a"], "a.jsonl", 1)],
        [Speaker("s", "s"), Speaker("t", "t")],
        turns=turns,
    )


def opened(root: Path | str) -> Corpus:
    """A corpus with the column."""
    corpus = Corpus(str(root))
    corpus.table = Table(str(root), SCHEMA)
    return corpus


def written(corpus: Corpus, rows: Sequence[Row]) -> Shard:
    table = rows_to_table(list(rows), {})
    return corpus.table.write(table.append_column(SCHEMA.field(NAME), pa.nulls(len(table), COLUMN)))


def add(corpus: Corpus, *shards: dict[str, str]) -> None:
    """Commit rows, text by id."""
    corpus.table.shards()
    new = [written(corpus, [a_row(name, text) for name, text in shard.items()]) for shard in shards]
    corpus.table.commit(new, [], "made")


def passed(corpus: Corpus, params: NearDuplicatesParams = PARAMS) -> Duplicates:
    """Find, and write the column."""
    found = Duplicates(corpus, params)
    done = []
    for change in found.changes():
        rows = corpus.table.read(change.shard)
        done.append((change, corpus.table.write(rows.set_column(len(ROW_SCHEMA), SCHEMA.field(NAME), change.values))))
    if done:
        corpus.table.commit([shard for _, shard in done], [change.shard for change, _ in done], "compared")
        found.keep(done)
    return found


def column_of(corpus: Corpus) -> dict[str, dict[str, object]]:
    tables = [corpus.table.read(shard, ["row_id", NAME]) for shard in corpus.table.shards()]
    return {row["row_id"]: row[NAME] for table in tables for row in table.to_pylist()}


def duplicates_of(corpus: Corpus) -> dict[str, str]:
    told = {name: value["duplicate_of"] for name, value in column_of(corpus).items()}
    return {name: str(other) for name, other in told.items() if other is not None}


@pytest.mark.parametrize("place", ["local", "s3"])
def test_duplicates_are_found_within_and_across_shards_and_commits(
    place: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    corpus = opened(tmp_path if place == "local" else f"{request.getfixturevalue('bucket')}/{tmp_path.name}")
    add(corpus, {"d": TALK, "c": OTHER}, {"e": f"{TALK} again"})
    assert (passed(corpus).duplicates, duplicates_of(corpus)) == (1, {"e": "d"})
    add(corpus, {"a": TALK, "b": f"{OTHER} again", "f": "This is something else."})
    found = passed(corpus)
    assert (found.rows, found.duplicates, found.compared) == (6, 3, 3)
    told = column_of(corpus)
    assert duplicates_of(corpus) == {"a": "d", "b": "c", "e": "d"}
    assert told["a"]["similarity"] == 1
    assert 0.9 <= float(str(told["b"]["similarity"])) < 1
    assert told["f"] == {"duplicate_of": None, "similarity": None, "order": 5, "recipe": PARAMS.recipe()}
    assert list(Duplicates(corpus, PARAMS).changes()) == []


def test_a_run_that_adds_rows_reads_and_compares_only_those(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, read = opened(tmp_path / "corpus"), []
    add(corpus, {"a": TALK, "b": OTHER})
    passed(corpus)
    add(corpus, {"c": TALK})
    of_rows = corpus.table.read
    monkeypatch.setattr(
        corpus.table, "read", lambda shard, columns=None: (read.append(shard.rows), of_rows(shard, columns))[1]
    )
    changes = list((found := Duplicates(corpus, PARAMS)).changes())
    assert (read, found.compared, [(change.rows, change.shard.rows) for change in changes]) == ([1], 1, [(1, 1)])


def test_a_pass_that_was_killed_is_done_again(tmp_path: Path) -> None:
    corpus = opened(tmp_path / "corpus")
    add(corpus, {"b": TALK}, {"a": TALK})
    first = [change.values.to_pylist() for change in Duplicates(corpus, PARAMS).changes()]
    again = [change.values.to_pylist() for change in Duplicates(opened(corpus.root), PARAMS).changes()]
    assert first == again != []
    passed(corpus)
    assert duplicates_of(corpus) == {"b": "a"}


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), min_size=1, max_size=5), min_size=1, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_rows_that_come_in_many_commits_give_what_they_give_at_once(
    commits: list[list[tuple[int, int]]], compared: list[bool], forgetful: bool
) -> None:
    with TemporaryDirectory() as folder:
        at_once, apart = opened(f"{folder}/once"), opened(f"{folder}/apart")
        for number, commit in enumerate(commits):
            rows = {
                blake(str(number), str(place)): " ".join([f"{talk}x{word}" for word in range(40)][: 40 - less])
                for place, (talk, less) in enumerate(commit)
            }
            back = dict(reversed(rows.items()))
            half = len(back) // 2
            add(at_once, rows)
            add(apart, dict(list(back.items())[:half]), dict(list(back.items())[half:]))
            if compared[number]:
                passed(apart)
            if forgetful:
                shutil.rmtree(f"{folder}/apart/{FOLDER}", ignore_errors=True)
        passed(at_once)
        passed(apart)
        assert column_of(apart) == column_of(at_once)


def test_a_deleted_or_damaged_cache_changes_nothing(tmp_path: Path) -> None:
    corpus = opened(tmp_path / "corpus")
    add(corpus, {"b": TALK, "c": f"{TALK} too"}, {"a": OTHER})
    passed(corpus)
    before = column_of(corpus)
    for path in corpus.storage.list(FOLDER):
        corpus.storage.write_bytes(path, corpus.storage.read_bytes(path)[:-100])
    assert list(Duplicates(corpus, PARAMS).changes()) == []
    shutil.rmtree(tmp_path / "corpus" / FOLDER)
    found = Duplicates(corpus, PARAMS)
    assert (list(found.changes()), found.compared, found.duplicates) == ([], 0, 1)
    assert column_of(corpus) == before


def test_a_rewritten_shard_makes_no_row_younger(tmp_path: Path) -> None:
    corpus = opened(tmp_path / "corpus")
    add(corpus, {"z": TALK})
    passed(corpus)
    add(corpus, {"a": TALK})
    passed(corpus)
    oldest = next(shard for shard in corpus.table.shards() if corpus.table.read(shard)["row_id"][0].as_py() == "z")
    corpus.table.commit([corpus.table.write(corpus.table.read(oldest))], [oldest], "scored")
    add(corpus, {"b": TALK})
    assert passed(corpus).compared == 1
    assert duplicates_of(corpus) == {"a": "z", "b": "z"}


def test_rows_that_name_a_row_made_anew_or_gone_are_compared_again(tmp_path: Path) -> None:
    corpus = opened(tmp_path / "corpus")
    add(corpus, {"a": TALK}, {"b": OTHER})
    passed(corpus)
    add(corpus, {"c": TALK, "d": OTHER, "e": TALK})
    passed(corpus)
    assert duplicates_of(corpus) == {"c": "a", "d": "b", "e": "a"}
    first, second = (
        shard
        for name in "ab"
        for shard in corpus.table.shards()
        if name in corpus.table.read(shard)["row_id"].to_pylist()
    )
    corpus.table.commit([written(corpus, [a_row("a", OTHER)])], [first, second], "made anew")
    passed(corpus)
    assert duplicates_of(corpus) == {"a": "d", "e": "c"}
    assert list(Duplicates(corpus, PARAMS).changes()) == []


def test_a_row_that_names_a_row_that_is_gone_stays(tmp_path: Path) -> None:
    corpus = opened(tmp_path / "corpus")
    add(corpus, {"a": TALK})
    passed(corpus)
    add(corpus, {"c": TALK})
    passed(corpus)
    gone = next(shard for shard in corpus.table.shards() if corpus.table.read(shard)["row_id"][0].as_py() == "a")
    corpus.table.commit([], [gone], "dropped")
    assert passed(corpus).compared == 1
    assert {name: value["order"] for name, value in column_of(corpus).items()} == {"c": 1}
    assert duplicates_of(corpus) == {}


def test_another_threshold_decides_all_rows_anew(tmp_path: Path) -> None:
    corpus = opened(tmp_path / "corpus")
    add(corpus, {"a": TALK}, {"b": " ".join(TALK.split()[:35])})
    assert passed(corpus).duplicates == 0
    assert passed(corpus, lower := NearDuplicatesParams(similarity=0.8)).compared == 2
    assert duplicates_of(corpus) == {"b": "a"}
    assert list(Duplicates(corpus, lower).changes()) == []


def test_rows_without_turns_are_compared_by_all_their_facts(tmp_path: Path) -> None:
    def persona(name: str, fact: str, added: str) -> Row:
        facts = [Fact(fact, "seed", name), Fact(added, "expand", name)]
        return Row(name, "generated", 0, [SeedRef(name, ["f", "t", "a"], "a", 1)], [Speaker(name, name, facts=facts)])

    corpus = opened(tmp_path / "corpus")
    corpus.table.shards()
    rows = [persona("a", "I sail.", "I am old."), persona("b", "I sail!", "I am young."), persona("c", "", "I sail.")]
    corpus.table.commit([written(corpus, [*rows, persona("d", "", "I sail.")])], [], "made")
    passed(corpus)
    assert duplicates_of(corpus) == {"d": "c"}


def test_the_cache_stays_a_few_files_without_what_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "_MOST_FILES", 2)
    corpus = opened(tmp_path / "corpus")
    for number in range(6):
        add(corpus, {f"r{number}": TALK if number % 2 else OTHER})
        passed(corpus)
    assert len(corpus.storage.list(FOLDER)) <= 4
    assert set(duplicates_of(corpus).values()) == {"r0", "r1"}
    known = signatures.Signatures(corpus)
    known.sync()
    assert sorted(known.ids(np.arange(len(known))))[:2] == ["r0", "r1"]


def test_a_table_without_the_column_is_read_too(tmp_path: Path) -> None:
    corpus = Corpus(str(tmp_path / "corpus"))
    corpus.table.shards()
    corpus.table.commit([corpus.table.write(rows_to_table([a_row("a", TALK), a_row("b", TALK)], {}))], [], "made")
    (change,) = Duplicates(corpus, PARAMS).changes()
    assert [value["duplicate_of"] for value in change.values.to_pylist()] == [None, "a"]
    assert Duplicates(Corpus(str(tmp_path / "none")), PARAMS).rows == 0
