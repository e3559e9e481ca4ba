"""Comments of dumps: read alike in whatever form, chosen by the protocol, and each of the others counted once."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from factory.seeds import comments as reading
from factory.seeds.archives import find_files
from factory.seeds.comments import COMMENTS, Choice, read_comments
from factory.seeds.files import BadRow
from tests.planted_threads import lines, planted

Rows = list[dict[str, Any]]


def comment(**fields: object) -> dict[str, Any]:
    told = {
        "id": "c",
        "link_id": "t3_a",
        "parent_id": "t3_a",
        "author": "ann",
        "body": "I ski a lot.",
        "created_utc": 1,
    }
    return told | fields


CHOICE = Choice()


def read(path: Path, choice: Choice = CHOICE, start: int = 0) -> tuple[Rows, Counter[str], list[int | None]]:
    (file,) = find_files(str(path), "auto", path.parent)
    rows, dropped, ends = [], Counter[str](), []
    for found in read_comments(file, choice, start):
        assert found.batch.schema == COMMENTS[choice.by]
        rows += found.batch.to_pylist()
        dropped += found.dropped
        ends.append(found.end)
    return rows, dropped, ends


def told(path: Path, rows: Sequence[object], **choice: Any) -> tuple[list[str], Counter[str]]:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    found, dropped, _ = read(path, Choice(**choice))
    return [row["body"] for row in found], dropped


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_BLOCK", 2000)


def wide_window(data: bytes) -> bytes:
    """A frame as the dumps have it, that asks for a window of 2^31 bytes."""
    packer = zstd.ZstdCompressor()
    frame = bytearray(packer.compress(data) + packer.flush())
    assert not frame[4] & 0x20  # else the frame has no window of its own
    frame[5] = (31 - 10) << 3
    return bytes(frame)


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "RC_2019-01.jsonl": bytes, "RC_2019-01.zst": wide_window, "RC_2019-01.gz": gzip.compress,
    "RC_2019-01.jsonl.zst": zstd.compress,
}  # fmt: skip


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.usefixtures("small_blocks")
def test_a_dump_is_read_in_any_packing_and_from_any_place_on(tmp_path: Path, name: str) -> None:
    dump = planted(30)
    (tmp_path / name).write_bytes(PACKED[name](b"".join(lines(dump.comments))))
    rows, dropped, ends = read(tmp_path / name)
    kept = {row["id"]: row for row in rows}
    assert len(kept) == len(rows) == len(dump.comments) - sum(dump.dropped.values())
    assert +dropped == {name: count for name, count in dump.dropped.items() if count}
    for one in dump.comments:
        if row := kept.get(one["id"]):
            assert row["body"] == " ".join(one["body"].split())
            assert (row["author"], row["link_id"]) == (one["author"], one["link_id"])
            assert row["parent_id"] == one["parent_id"].removeprefix("t1_")
    assert len(ends) > 5
    assert ends[3] is not None
    again, _, _ = read(tmp_path / name, start=ends[3])
    assert again == rows[len(rows) - len(again) :]
    assert 0 < len(again) < len(rows)


def test_parquet_is_read_by_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_ROWS", 7)
    dump = planted(30)
    (tmp_path / "d.jsonl").write_bytes(b"".join(lines(dump.comments)))
    table = pa.Table.from_pylist([{name: one[name] for name in comment()} for one in dump.comments])
    pq.write_table(table, tmp_path / "d.parquet", row_group_size=20)
    rows, dropped, ends = read(tmp_path / "d.parquet")
    assert (rows, dropped) == read(tmp_path / "d.jsonl")[:2]
    assert [end for end in ends if end is not None] == list(range(1, 1 + -(-len(table) // 20)))
    again, _, _ = read(tmp_path / "d.parquet", start=2)
    assert again == rows[len(rows) - len(again) :]


def test_parquet_without_the_columns_says_so(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "body": ["I ski."]}), tmp_path / "d.parquet")
    with pytest.raises(BadRow, match="no column 'link_id', 'parent_id', 'author'"):
        read(tmp_path / "d.parquet")


def test_a_broken_line_costs_itself_only(tmp_path: Path) -> None:
    bodies, dropped = told(tmp_path / "d.jsonl", [comment(), '{"id": "', comment(body="I sail a lot."), "[1]", "", "7"])
    assert bodies == ["I ski a lot.", "I sail a lot."]
    assert dropped == {"json": 3}


def test_bytes_that_are_no_text_cost_their_line_only(tmp_path: Path) -> None:
    line = json.dumps(comment(body="caf\u00e9 au lait"), ensure_ascii=False)
    (tmp_path / "d.jsonl").write_bytes(b"\xef\xbb\xbf" + line.encode() + b"\r\n" + line.encode("latin-1") + b"\n")
    rows, dropped, _ = read(tmp_path / "d.jsonl")
    assert [row["body"] for row in rows] == ["caf\u00e9 au lait"]
    assert dropped == {"json": 1}


def test_data_that_breaks_off_ends_the_file_after_what_came_before(tmp_path: Path) -> None:
    data = gzip.compress(b"".join(lines(planted(200).comments)))
    (tmp_path / "d.gz").write_bytes(data[: len(data) // 2])
    (file,) = find_files("d.gz", "auto", tmp_path)
    found = read_comments(file, Choice())
    assert len(next(found).batch) > 50
    with pytest.raises(BadRow, match="breaks off"):
        next(found)


NOT_KEPT: list[tuple[dict[str, object], str]] = [
    ({"body": "[deleted]"}, "deleted"),
    ({"body": "[removed]"}, "deleted"),
    ({"author": "[deleted]"}, "deleted"),
    ({"body": "x" * 8}, "too_short"),
    ({"body": "x \n\n\n\n\n\n x"}, "too_short"),
    ({"body": "x" * 128}, "too_long"),
    ({"body": None}, "missing_field"),
    ({"body": ["I ski."]}, "missing_field"),
    ({"author": ""}, "missing_field"),
    ({"link_id": "a" * 101}, "missing_field"),
    ({"id": None}, "missing_field"),
]


@pytest.mark.parametrize(("fields", "reason"), NOT_KEPT)
def test_what_is_not_kept_is_counted_by_its_reason(tmp_path: Path, fields: dict[str, object], reason: str) -> None:
    bodies, dropped = told(tmp_path / "d.jsonl", [comment(**fields), comment()])
    assert (bodies, dropped) == (["I ski a lot."], {reason: 1})


@pytest.mark.parametrize("body", ["x" * 9, "x" * 127, "雪" * 127, "I\u00a0ski\n\na lot.\x00"])
def test_what_is_at_the_limits_is_kept(tmp_path: Path, body: str) -> None:
    bodies, dropped = told(tmp_path / "d.jsonl", [comment(body=body)])
    assert (bodies, dropped) == ([" ".join(body.replace("\x00", "").split())], {})


@pytest.mark.parametrize("times", [[1, 2], ["1", "2"], [1.0, 2.0], [1, "2"]])
def test_times_of_all_kinds_are_read(tmp_path: Path, times: list[object]) -> None:
    rows = [comment(created_utc=time, id=f"{n}") for n, time in enumerate(times)]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found, dropped, _ = read(tmp_path / "d.jsonl", Choice("author"))
    assert [row["created_utc"] for row in found] == [1, 2]
    assert not dropped


said = st.text("aé雪 \n\u0000\U0001f600\\", max_size=12)
values = st.none() | said | st.integers(0, 9) | st.just("[deleted]") | st.lists(said, max_size=1)
fields = st.fixed_dictionaries({}, optional=dict.fromkeys(COMMENTS["thread"].names, values))


@given(st.lists(fields, max_size=6), st.booleans())
def test_many_at_once_are_read_as_one_by_one(rows: list[dict[str, Any]], ascii_only: bool) -> None:
    block = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows).encode("utf-8", "replace")
    parser, dropped = reading._Parser("thread"), Counter[str]()
    assert parser.comments(block, dropped).equals(parser._line_by_line(block, Counter()))
