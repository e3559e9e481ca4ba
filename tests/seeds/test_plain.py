from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from factory.seeds.columns import content_of
from factory.seeds.fields import SeedFields
from factory.seeds.files import SeedFile
from factory.seeds.plain import PlainRows
from factory.seeds.source import BadSeed, read_blocks, read_file
from factory.seeds.values import MAX_FACT, MAX_FACTS, MAX_ID
from factory.store.records import Seed

PLAIN = '{"id": "a", "facts": ["I ski.", "I sew."]}'
LIMITS = ("x" * MAX_FACT, "é" * MAX_FACT, "x" * (MAX_FACT + 1), "x" * MAX_ID, "x" * (MAX_ID + 1))
TEXTS = st.text('ab é日 \t\n\u00a0\u2003\u2028\x00\x1f\x7f\x85\\"', max_size=4) | st.sampled_from(("I ski.", *LIMITS))
IDS = TEXTS | st.integers() | st.none() | st.floats() | st.booleans() | st.sampled_from([[], "7", 7, 7.0, -0.0])
FACTS = st.lists(TEXTS, max_size=4) | TEXTS | st.none() | st.integers() | st.lists(TEXTS | st.none() | st.integers())
ROWS = st.fixed_dictionaries({}, optional={"id": IDS, "facts": FACTS, "persona": FACTS, "name": TEXTS, "age": IDS})
ODD = (
    *(
        f"  {PLAIN}\t",
        f"{PLAIN}\u00a0",
        f"\ufeff{PLAIN}",
        PLAIN * 2,
        f"{PLAIN} {PLAIN}",
        f"[{PLAIN}]",
        f"{PLAIN},",
        PLAIN[:-1],
    ),
    *("", " ", "\t", "{}", "[]", "7", "null"),
    '{"id": "a", "id": "b", "facts": ["I ski."]}',
    '{"facts": ["I ski."], "facts": ["I sew."]}',
    '{"facts": ["\\ud800"]}',
    '{"id": -0, "facts": ["I ski."]}',
    '{"id": 1e2, "facts": ["I ski."]}',
    '{"id": 12345678901234567890, "facts": ["I ski."]}',
)
WRITTEN = st.builds(json.dumps, ROWS, ensure_ascii=st.booleans())
LINES = WRITTEN | st.sampled_from((PLAIN, *ODD))
FIELDS = (
    {},
    {"id": "name"},
    {"facts": "persona"},
    {"id": "facts"},
    {"attributes": ("id",)},
    {"speaker": "id"},
    {"speaker": False},
    {"name": "id"},
)


def read(data: bytes, careful: bool, **fields: Any) -> tuple[list[Any], list[BadSeed], list[str]]:
    """Contents of seeds in the order of their lines, what is bad, and what is told."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(data)
        file.flush()
        told: list[str] = []
        source = SeedFile(file.name, "a.jsonl", "jsonl", sniff=True)
        found = list((read_file if careful else read_blocks)(source, SeedFields(**fields), told))
    seeds = [
        content_of([one]) if isinstance(one, Seed) else content_of([], one)
        for one in found
        if not isinstance(one, BadSeed)
    ]
    rows = sorted((row for some in seeds for row in some.to_pylist()), key=lambda row: row["line"])
    return rows, [one for one in found if isinstance(one, BadSeed)], told


def plain(*lines: str, **fields: Any) -> list[PlainRows]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_text("\n".join(lines))
        found = read_blocks(SeedFile(str(path), "a.jsonl", "jsonl", sniff=True), SeedFields(**fields), [])
        return [one for one in found if isinstance(one, PlainRows)]


@settings(deadline=None)
@given(st.lists(LINES, max_size=6), st.sampled_from(("\n", "\r\n", "\r")), st.sampled_from(FIELDS))
@example([PLAIN, '{"id": "b", "facts": ["I ski.", "I ski."]}'], "\n", {})
@example([PLAIN, '{"id": "b", "facts": []}', '{"facts": ["I row."]}'], "\n", {})
@example([PLAIN, '{"id": "b"', '"facts": ["I row."]}{"id": "c"}'], "\n", {})
def test_plain_rows_come_out_as_the_careful_reading_has_them(
    lines: list[str], end: str, fields: dict[str, Any]
) -> None:
    data = end.join(lines).encode()
    assert read(data, False, **fields) == read(data, True, **fields)


@settings(deadline=None)
@given(st.lists(WRITTEN, min_size=1, max_size=4), st.binary(min_size=1, max_size=3), st.floats(0, 1))
def test_damaged_bytes_are_told_as_the_careful_reading_tells_them(lines: list[str], junk: bytes, where: float) -> None:
    data = "\n".join([PLAIN, *lines]).encode()
    at = int(where * len(data))
    data = data[:at] + junk + data[at:]
    assert read(data, False) == read(data, True)


def test_what_is_odd_in_one_row_leaves_the_others_plain() -> None:
    rows = [{"id": f"p{number}", "facts": ["I ski.", f"I have {number} pets."]} for number in range(9)]
    rows[4]["facts"] = ["I  ski."]
    (found,) = plain(*map(json.dumps, rows))
    assert found.lines.tolist() == [1, 2, 3, 4, 6, 7, 8, 9]
    assert found.facts.to_pylist()[4] == ["I ski.", "I have 5 pets."]


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (PLAIN, {}),
        ('{"id": 7, "facts": ["I ski."]}', {}),
        ('{"facts": ["I ski."]}', {}),
        ('{"persona": ["Ich laufe Ski."]}', {}),
        ('{"said": ["I ski."]}', {"facts": "said"}),
        ('{"key": "a", "facts": ["I ski."]}', {"id": "key"}),
        (json.dumps({"id": "x" * MAX_ID, "facts": ["é" * MAX_FACT, *map(str, range(MAX_FACTS - 1))]}), {}),
    ],
)
def test_the_usual_shapes_are_plain(line: str, fields: dict[str, str]) -> None:
    (found,) = plain(line, line, **fields)
    assert found.lines.tolist() == [1, 2]


def test_blocks_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("factory.seeds.plain._BLOCK", 2)
    found = plain(*[PLAIN] * 5)
    assert [one.lines.tolist() for one in found] == [[1, 2], [3, 4], [5]]
