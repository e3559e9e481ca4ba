"""A seed is found in tables and texts of every kind that lies below a corpus, and a damaged file is not passed over."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.store.holding import Holding, Sought, holding
from factory.store.storage import Storage

LONG = "0123456789abcdef" * 2
SAID = 'I say "é".'


def found(folder: Path, sought: Sought) -> list[Holding]:
    storage = Storage(str(folder))
    return list(holding(storage, [file.path for file in storage.files("")], sought))


def write(folder: Path, kind: str, table: pa.Table) -> None:
    if kind == "parquet":
        pq.write_table(table, folder / "a", compression="zstd")
    elif kind == "stream":
        Storage(str(folder)).write_arrow("a", table)
    else:
        with pa.OSFile(str(folder / "a"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)


@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_texts_are_found_in_nested_columns_of_compressed_tables(tmp_path: Path, kind: str) -> None:
    told = pa.map_(pa.string(), pa.struct([("said", pa.list_(pa.large_string()))]))
    rows = [{"told": [("a", {"said": ["Yes.", None, f"She said: {SAID}"]})], "id": "p1"}, {"told": None, "id": None}]
    write(tmp_path, kind, pa.Table.from_pylist(rows, pa.schema([("told", told), ("id", pa.string())])))
    assert found(tmp_path, Sought("p1", (SAID, "No."))) == [Holding("a", named=True, texts=frozenset({SAID}))]
    assert found(tmp_path, Sought("p", (SAID,))) == [Holding("a", named=False, texts=frozenset({SAID}))]
    assert found(tmp_path, Sought("Yes.", ("No.",))) == [], "an id is sought where ids stand"


@pytest.mark.parametrize("content", [json.dumps({"of": [LONG, SAID]}), f"{SAID} ({LONG})", f"'{LONG}': {SAID}"])
def test_texts_and_logs_are_searched_as_they_are_written(tmp_path: Path, content: str) -> None:
    (tmp_path / "a").write_text(content, encoding="utf-8")
    assert found(tmp_path, Sought(LONG, (SAID,))) == [Holding("a", named=True, texts=frozenset({SAID}))]
    assert found(tmp_path, Sought("0123456789")) == []


@pytest.mark.parametrize("kind", ["parquet", "text"])
def test_a_long_id_is_not_found_in_a_longer_one(tmp_path: Path, kind: str) -> None:
    ids, sought = ["conv-26/session_12", "old/conv-26/session_1"], Sought("conv-26/session_1")
    for others in (ids, [*ids, "conv-26/session_1"]):
        if kind == "parquet":
            write(tmp_path, kind, pa.table({"seed_ids": [others], "why": [", ".join(others)]}))
        else:
            (tmp_path / "a").write_text(json.dumps({"of": ", ".join(others)}), encoding="utf-8")
        assert [one.named for one in found(tmp_path, sought)] == [True] * (others != ids)


def test_an_id_is_found_however_a_letter_writes_it(tmp_path: Path) -> None:
    sought = Sought("C:\\data\\persona_0001")
    write(tmp_path, "parquet", pa.table({"detail": [f"{sought.id!r} is given twice"]}))
    assert [one.named for one in found(tmp_path, sought)] == [True]


def test_a_compressed_export_is_decompressed_and_half_of_one_is_damaged(tmp_path: Path) -> None:
    written = gzip.compress(json.dumps({"of": LONG}).encode())
    (tmp_path / "a").write_bytes(written)
    assert found(tmp_path, Sought(LONG)) == [Holding("a", named=True, texts=frozenset())]
    (tmp_path / "a").write_bytes(written[:-9])
    assert [one.damaged for one in found(tmp_path, Sought(LONG))] == [True]


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    write(tmp_path, "parquet", pa.table({"id": ["p1"]}))
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-20])
    assert found(tmp_path, Sought("p1")) == [Holding("a", named=False, texts=frozenset(), damaged=True)]
