"""Plain dialogues of Parquet, read many at once, are what each is by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.seeds import store as seed_store
from factory.seeds.archives import find_files
from factory.seeds.fields import SeedFields
from factory.seeds.plain_dialogues import DIALOGUES, PlainDialogues
from factory.seeds.source import SeedSource, read_blocks, read_file
from factory.seeds.store import Seeds
from factory.store.storage import Storage

GOOD = {
    "id": "t3_a/b",
    "turns": [{"speaker": 0, "text": 'He said "no\\yes", 雪.'}, {"speaker": 1, "text": "I ski."}],
    "speakers": [{"id": "ann"}, {"id": "bob"}],
}


def written(folder: Path, rows: list[dict[str, Any]], schema: pa.Schema = DIALOGUES) -> Path:
    path = folder / "d.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return path


def by_many(path: Path) -> tuple[list[Any], list[Any]]:
    seeds = Seeds([SeedSource(path=path.name)], path.parent, Storage(str(path.parent / "corpus")), max_bad=100)
    found = seeds.take(np.arange(len(seeds)))
    return sorted(found, key=lambda seed: seed.line), sorted(seeds.bad, key=lambda seed: seed.line)


def one_by_one(path: Path) -> tuple[list[Any], list[Any]]:
    (file,) = find_files(path.name, "auto", path.parent)
    read = list(read_file(file, SeedFields(), []))
    bad = [one for one in read if not hasattr(one, "digests")]
    seeds = {one.id: one for one in reversed(read) if hasattr(one, "digests")}  # what repeats another counts once
    return [*reversed(seeds.values())], bad


said = st.sampled_from(
    ["I ski.", 'a "b" \\ c', "  two  spaces", "", "x" * 5001, "tab\there", "雪\U0001f600", "nan", None]
)
turn = st.none() | st.fixed_dictionaries({"speaker": st.sampled_from([0, 0, 1, 1, 2, None]), "text": said})
names = st.sampled_from(["ann", "bob", 'o"\\', " eve ", "", None, "user"])
speaker = st.none() | st.fixed_dictionaries({"id": names})
rows = st.fixed_dictionaries(
    {
        "turns": st.none() | st.lists(turn, max_size=5) | st.just(GOOD["turns"]) | st.just(GOOD["turns"] * 3),
        "speakers": st.none() | st.lists(speaker, max_size=3) | st.just(GOOD["speakers"]),
    }
)


@settings(max_examples=60)
@given(
    st.lists(rows, max_size=8), st.lists(st.sampled_from(["", " x", "y\n", None, "a" * 201]), max_size=3, unique=True)
)
def test_many_at_once_are_what_they_are_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, found: list[dict[str, Any]], ids: list[str | None]
) -> None:
    told: list[str | None] = [*ids, *(f"id{n}" for n in range(len(found)))]
    path = written(tmp_path_factory.mktemp("many"), [row | {"id": told[n]} for n, row in enumerate(found)])
    seeds, bad = one_by_one(path)
    assert by_many(path) == (seeds, bad)


def test_what_is_plain_is_read_at_once_and_only_then(tmp_path: Path) -> None:
    written(tmp_path, [GOOD | {"id": f"{n}"} for n in range(3)] + [GOOD | {"id": "4", "speakers": None}])
    (file,) = find_files("d.parquet", "auto", tmp_path)
    many, other = read_blocks(file, SeedFields(), [])
    assert isinstance(many, PlainDialogues)
    assert (many.lines.tolist(), other.line) == ([1, 2, 3], 4)  # type: ignore[union-attr]
    assert not any(isinstance(one, PlainDialogues) for one in read_blocks(file, SeedFields(name="who"), []))
    written(tmp_path, [GOOD | {"mood": "sunny"}], DIALOGUES.append(pa.field("mood", pa.string())))
    assert not any(isinstance(one, PlainDialogues) for one in read_blocks(file, SeedFields(), []))


def test_a_part_of_a_batch_is_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many row groups, and batches that begin in the middle of one."""
    monkeypatch.setattr("factory.seeds.formats._PLAIN_ROWS", 3)
    monkeypatch.setattr(seed_store, "_BATCH", 4)
    given_rows = [GOOD | {"id": f"{n}", "turns": GOOD["turns"] * (1 + n % 3)} for n in range(20)]
    given_rows[7]["speakers"] = None
    pq.write_table(pa.Table.from_pylist(given_rows, DIALOGUES), tmp_path / "d.parquet", row_group_size=7)
    assert by_many(tmp_path / "d.parquet") == one_by_one(tmp_path / "d.parquet")


def test_text_that_is_no_utf8_costs_its_row_only(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([GOOD, GOOD | {"id": "other"}], DIALOGUES)
    ids = pa.array([b"\xff", b"other"]).view(pa.string())
    pq.write_table(table.set_column(0, DIALOGUES.field("id"), ids), tmp_path / "d.parquet")
    seeds, bad = by_many(tmp_path / "d.parquet")
    assert ([seed.id for seed in seeds], [one.reason for one in bad]) == (["other"], ["encoding"])
