"""JSON Lines, arrays and indented objects give the same rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.seeds import jsonl as seed_json
from factory.seeds.files import BadRow
from factory.seeds.jsonl import json_rows
from factory.seeds.source import BadSeed
from factory.store.records import Seed
from tests.reading import outcome, read_bytes

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab"\\[]{},:\n\u2028é', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)
ROW = st.dictionaries(st.text('a"{', max_size=2), VALUES, min_size=1, max_size=4)
OBJECTS = st.lists(ROW, min_size=1, max_size=5)


def numbered(text: str, piece: int = 1 << 24) -> Iterator[tuple[int, str]]:
    """Lines as they are read, in pieces of so many characters."""
    for number, line in enumerate(text.split("\n"), 1):
        whole = f"{line}\n"
        for start in range(0, len(whole), piece):
            yield number, whole[start : start + piece]


def rows(text: str, piece: int = 1 << 24) -> list[tuple[int, object]]:
    return [(number, str(row) if isinstance(row, BadRow) else row) for number, row in json_rows(numbered(text, piece))]


@settings(deadline=None)
@given(OBJECTS, st.sampled_from([None, 0, 1, 4]), st.integers(1, 30))
def test_arrays_are_read_row_by_row(objects: list[dict[str, object]], indent: int | None, piece: int) -> None:
    expected = list(enumerate(objects, 1))
    assert rows(json.dumps(objects, indent=indent)) == expected
    assert rows(json.dumps(objects, indent=indent, ensure_ascii=False), piece) == expected
    assert rows("[\n" + ",\n".join(map(json.dumps, objects)) + "\n]") == expected


@settings(deadline=None)
@given(OBJECTS)
def test_indented_objects_are_read_one_after_the_other(objects: list[dict[str, object]]) -> None:
    assert [row for _, row in rows("\n".join(json.dumps(row, indent=2) for row in objects))] == objects
    assert [row for _, row in rows("\n".join(map(json.dumps, objects)))] == objects


def seeds(base: Path, text: str) -> list[Seed | BadSeed]:
    return read_bytes(base, "p.json", text.encode())


def test_a_broken_row_of_an_array_costs_itself_only(tmp_path: Path) -> None:
    good = ['{"persona": "I ski."}', '{"persona": "I cook."}']
    for bad in (
        '{"persona": "I',
        '{"persona": ["I sew."}',
        '{"persona": "I sew."',
        "{'persona': 'I sew.'}",
        '"I sew."',
    ):
        text = f"[\n  {good[0]},\n  {bad},\n  {good[1]}\n]"
        assert outcome(seeds(tmp_path, text)) == [(1, ""), (2, "json"), (3, "")], bad
    assert "json.dumps" in seeds(tmp_path, "[{'persona': 'I sew.'}]")[0].detail


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"persona": "I ski."},\n', [(1, ""), (2, "json")]),
        ('[{"persona": "I ski."}, {"persona": "I', [(1, ""), (2, "json")]),
        ('{\n  "persona": "I ski."\n}\n{\n  "persona": "I', [(1, ""), (4, "json")]),
    ],
)
def test_a_file_that_breaks_off_ends_there(tmp_path: Path, text: str, expected: list[tuple[int, str]]) -> None:
    items = seeds(tmp_path, text)
    assert outcome(items) == expected
    assert [isinstance(item, BadSeed) and item.ends for item in items] == [False, True]


def test_a_first_line_that_is_cut_costs_itself_only(tmp_path: Path) -> None:
    for cut in ('{"persona": "I', '{"facts": ["I ski."', '{"persona"'):
        assert outcome(seeds(tmp_path, cut + '\n{"persona": "I ski."}\n')) == [(1, "json"), (2, "")]


def test_what_is_no_json_says_what_a_row_is(tmp_path: Path) -> None:
    (item,) = seeds(tmp_path, "id,persona\n")
    assert isinstance(item, BadSeed)
    assert item.detail == 'no JSON: a row is an object on one line, such as {"persona": "I sail."}; for CSV or plain ' \
        "text set `format`"  # fmt: skip


def test_an_endless_element_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_json, "MAX_LINE", 100)
    monkeypatch.setattr("factory.seeds.lines.MAX_LINE", 100)
    long = json.dumps({"facts": ["I ski."] * 40})
    assert outcome(seeds(tmp_path, f'[{{"persona": "I ski."}}, {long}, {{"persona": "I cook."}}]')) == [
        (1, ""),
        (2, "too_long"),
        (3, ""),
    ]
    assert outcome(seeds(tmp_path, f'[{{"persona": "{"x" * 500}"}}]'))[-1][1] == "too_long"
