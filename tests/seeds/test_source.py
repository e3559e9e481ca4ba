"""Seeds: every format, and what a bad row or a bad file costs."""

from __future__ import annotations

import csv
import gzip
import json
import lzma
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from factory.base.fingerprint import blake
from factory.seeds.source import (
    MAX_FACT,
    MAX_FACTS,
    MAX_TURN,
    MAX_TURNS,
    BadSeed,
    SeedSource,
)
from factory.store.records import Seed
from tests.reading import outcome, personas, read, read_bytes, read_seeds

DATA = Path(__file__).parents[3] / "shared" / "data"
PERSONAS = b'{"id": "a", "facts": ["I ski.", "I cook."]}\n{"persona": "A chef. She sings."}\n'
CHEF = (("A chef.", "She sings."),)


def own_id(seed: Seed) -> str:
    """The id of a seed whose row has none."""
    return blake("seed", *seed.digests)


# Formats


def test_jsonl_personas(tmp_path: Path) -> None:
    first, second = read_bytes(tmp_path, "p.jsonl", PERSONAS)
    assert isinstance(first, Seed)
    assert isinstance(second, Seed)
    assert (first.id, first.source, first.line, first.personas) == ("a", "p.jsonl", 1, (("I ski.", "I cook."),))
    assert (second.id, second.line, second.personas, second.turns) == (own_id(second), 2, CHEF, ())


def test_content_under_a_kept_id_changes_the_digest_only(tmp_path: Path) -> None:
    (before,) = read_bytes(tmp_path, "a.jsonl", b'{"id": 7, "facts": ["I ski."]}')
    (same,) = read_bytes(tmp_path, "b.jsonl", b'{"facts": [" I  ski.\\n", "", "I ski."], "id": "7"}')
    (after,) = read_bytes(tmp_path, "c.jsonl", b'{"id": 7, "facts": ["I swim."]}')
    assert before.id == same.id == after.id == "7"
    assert before.digests == same.digests != after.digests


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_mark(tmp_path: Path, ending: str, mark: bytes) -> None:
    text = mark + ending.join(["id,persona", 'x,"I ski.', 'I cook."', "y,A chef. She sings."]).encode()
    items = read_bytes(tmp_path, "p.csv", text)
    assert personas(items) == [(("I ski.", "I cook."),), CHEF]
    assert [(item.id, item.line) for item in items] == [("x", 2), ("y", 4)]
    lines = mark + ending.join(["A chef. She sings.", "", "I ski."]).encode()
    assert outcome(read_bytes(tmp_path, "p.txt", lines)) == [(1, ""), (3, "")]


def test_tsv_and_text(tmp_path: Path) -> None:
    assert personas(read_bytes(tmp_path, "p.tsv", b"facts\tn\nI ski, often.\t1\n")) == [(("I ski, often.",),)]
    assert personas(read_bytes(tmp_path, "p.txt", b"A chef. She sings.\n")) == [CHEF]
    assert personas(read_bytes(tmp_path, "persona", b"A chef. She sings.", form="text")) == [CHEF]


def test_columns_by_name(tmp_path: Path) -> None:
    data = b"key,bio\nk1,I ski.\n"
    (seed,) = read_bytes(tmp_path, "p.csv", data, id="key", facts="bio")
    assert (seed.id, seed.personas) == ("k1", (("I ski.",),))
    assert outcome(read_bytes(tmp_path, "p.csv", data)) == [(2, "missing_field")]


def test_parquet_streams_the_columns_it_needs(tmp_path: Path) -> None:
    rows = [{"id": n, "facts": [f"I own {n} cats."], "noise": "x"} for n in range(2500)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet", row_group_size=700)
    items = read(tmp_path, "p.parquet")
    assert [(item.id, item.line, item.personas) for item in items] == [
        (str(n), n + 1, ((f"I own {n} cats.",),)) for n in range(2500)
    ]
    (tmp_path / "p.parquet.gz").write_bytes(gzip.compress((tmp_path / "p.parquet").read_bytes()))
    assert [item.id for item in read(tmp_path, "p.parquet.gz")] == [item.id for item in items]


def test_parquet_dialogues_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    turns = [{"speaker": "Ann", "text": "Hi."}, {"speaker": "Bob", "text": "Hello."}]
    pq.write_table(pa.Table.from_pylist([{"turns": turns}]), tmp_path / "d.parquet")
    (seed,) = read(tmp_path, "d.parquet")
    assert (seed.personas, seed.turns) == (((), ()), ((0, "Hi."), (1, "Hello.")))
    facts = pa.array([b"I ski.", b"caf\xe9", b"I cook."]).view(pa.string())
    pq.write_table(pa.table({"persona": facts}), tmp_path / "p.parquet")
    assert outcome(read(tmp_path, "p.parquet")) == [(1, ""), (2, "encoding"), (3, "")]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"turns": ["Hi.", "Hello.", "Bye."]}, (((), ()), ((0, "Hi."), (1, "Hello."), (0, "Bye.")))),
        (
            {
                "turns": [{"speaker": "Bob", "text": "Hi."}, {"speaker": "Ann", "text": "Hello."}],
                "personas": {"Ann": ["I ski."], "Bob": "I cook. I sew."},
            },
            ((("I cook.", "I sew."), ("I ski.",)), ((0, "Hi."), (1, "Hello."))),
        ),
        (
            {
                "turns": [{"speaker": 2, "text": "Hi."}, {"speaker": 1, "text": "Hello."}],
                "personas": [["I am one."], ["I am two."]],
            },
            ((("I am one.",), ("I am two.",)), ((1, "Hi."), (0, "Hello."))),
        ),
        (
            {
                "turns": [{"speaker": 1, "text": "Hi."}, {"speaker": 0, "text": "Hello."}],
                "personas": {"1": ["I am one."]},
            },
            (((), ("I am one.",)), ((1, "Hi."), (0, "Hello."))),
        ),
    ],
)
def test_jsonl_dialogues(tmp_path: Path, row: object, expected: object) -> None:
    (seed,) = read_bytes(tmp_path, "d.jsonl", json.dumps(row).encode())
    assert isinstance(seed, Seed), seed
    assert (seed.personas, seed.turns) == expected


SPC = b"""user 1 personas,user 2 personas,Best Generated Conversation
"I ski.
I cook.","I sew.","* * *
User 2: Hello, [user 1's name]!
**User 1: Hi.
Fine day.

[They walk.]
User 2: Bye."
"""


def test_synthetic_persona_chat(tmp_path: Path) -> None:
    (seed,) = read_bytes(tmp_path, "d.csv", SPC)
    assert (seed.line, seed.personas) == (2, (("I ski.", "I cook."), ("I sew.",)))
    assert seed.turns == ((1, "Hello, [user 1's name]!"), (0, "Hi. Fine day."), (1, "Bye."))
    assert outcome(read_bytes(tmp_path, "d.csv", SPC, form="csv")) == [(2, "missing_field")]


CONVAI2 = b"""1 your persona: i ski.
2 partner's persona: i sew.
3 hi there\thello\t\tno|yes
4 bye\tsee you
1 your persona: i cook.
2 hey\thi
"""


def test_convai2(tmp_path: Path) -> None:
    first, second = read_bytes(tmp_path, "d.txt", CONVAI2)
    assert (first.line, first.personas) == (1, (("i sew.",), ("i ski.",)))
    assert first.turns == ((0, "hi there"), (1, "hello"), (0, "bye"), (1, "see you"))
    assert (second.line, second.personas, second.turns) == (5, ((), ("i cook.",)), ((0, "hey"), (1, "hi")))


@given(st.lists(st.text(max_size=80), min_size=1, max_size=20))
def test_facts_survive_jsonl(tmp_path_factory: pytest.TempPathFactory, facts: list[str]) -> None:
    base = tmp_path_factory.getbasetemp()
    (item,) = read_bytes(base, "p.jsonl", json.dumps({"facts": facts}, ensure_ascii=len(facts) % 2 == 0).encode())
    kept = ["".join(c for c in fact if c.isspace() or not (c < " " or "\x7f" <= c <= "\x9f")) for fact in facts]
    expected = tuple(dict.fromkeys(" ".join(fact.split()) for fact in kept if fact.strip()))
    assert (item.personas if isinstance(item, Seed) else item.reason) == ((expected,) if expected else "empty")


@given(st.binary(max_size=300), st.sampled_from(["jsonl", "csv", "tsv", "text", "spc", "convai2", "parquet"]))
def test_no_bytes_raise(tmp_path_factory: pytest.TempPathFactory, data: bytes, form: str) -> None:
    for item in read_bytes(tmp_path_factory.getbasetemp(), "any", data, form=form):
        assert item.line >= 1
        assert isinstance(item, Seed) or len(item.detail) <= 200


# Malformed input: what stands in the file, and per seed or bad seed the line and the reason ("" for a seed)

GOOD = b'{"persona": "I ski."}\n'
LAST = b'{"persona": "I cook."}\n'
JSONL_ROWS: list[tuple[str, bytes, str]] = [
    ("invalid UTF-8", b'{"persona": "caf\xe9"}', "encoding"),
    ("UTF-8 of a surrogate", b'{"persona": "\xed\xa0\xbd"}', "encoding"),
    ("escaped lone surrogate", rb'{"persona": "\ud83d"}', "json"),
    ("cut off", b'{"persona": "I', "json"),
    ("two values", b'{"persona": "a"} {"persona": "b"}', "json"),
    ("single quotes", b"{'persona': 'a'}", "json"),
    ("array", b'["a"]', "json"),
    ("string", b'"a"', "json"),
    ("null", b"null", "json"),
    ("deeply nested", b'{"facts": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "json"),
    ("number of 5,000 digits", b'{"id": ' + b"9" * 5000 + b', "persona": "a"}', "json"),
    ("NUL byte in a string", b'{"persona": "a\x00b"}', "json"),
    ("no persona", b'{"name": "Ann"}', "missing_field"),
    ("null persona", b'{"persona": null}', "empty"),
    ("NaN persona", b'{"persona": NaN}', "empty"),
    ("number for a persona", b'{"persona": 5}', "wrong_type"),
    ("object for a persona", b'{"persona": {"a": "b"}}', "wrong_type"),
    ("number among the facts", b'{"facts": ["a", 5]}', "wrong_type"),
    ("nested facts", b'{"facts": [["a"]]}', "wrong_type"),
    ("fractional id", b'{"id": 1.5, "persona": "a"}', "wrong_type"),
    ("infinite id", b'{"id": Infinity, "persona": "a"}', "wrong_type"),
    ("inexact id", b'{"id": 1e16, "persona": "a"}', "wrong_type"),
    ("list for an id", b'{"id": [1], "persona": "a"}', "wrong_type"),
    ("truth for an id", b'{"id": true, "persona": "a"}', "wrong_type"),
    ("empty persona", b'{"persona": " \\t\\u0000"}', "empty"),
    ("no facts", b'{"facts": []}', "empty"),
    ("long fact", json.dumps({"facts": ["x" * (MAX_FACT + 1)]}).encode(), "too_long"),
    ("many facts", json.dumps({"facts": [f"fact {n}" for n in range(MAX_FACTS + 1)]}).encode(), "too_long"),
    ("long id", json.dumps({"id": "x" * 201, "persona": "a"}).encode(), "too_long"),
    ("endless line", b'{"persona": "' + b"x" * (1 << 24) + b'"}', "too_long"),
    ("turns a string", b'{"turns": "Hi. Hello."}', "wrong_type"),
    ("turn a number", b'{"turns": ["Hi.", 5]}', "wrong_type"),
    ("text a number", b'{"turns": ["Hi.", {"speaker": 1, "text": 5}]}', "wrong_type"),
    ("speaker a list", b'{"turns": ["Hi.", {"speaker": [], "text": "Hello."}]}', "wrong_type"),
    ("one turn", b'{"turns": ["Hi."]}', "speakers"),
    ("one speaker", b'{"turns": [{"speaker": "A", "text": "Hi."}, {"speaker": "A", "text": "Oh."}]}', "speakers"),
    ("three speakers", json.dumps({"turns": [{"speaker": s, "text": "Hi."} for s in "ABC"]}).encode(), "speakers"),
    ("persona of nobody", b'{"turns": ["Hi.", "Hello."], "personas": {"Ann": ["I ski."]}}', "speakers"),
    ("three personas", b'{"turns": ["Hi.", "Hello."], "personas": [[], [], []]}', "speakers"),
    ("personas a string", b'{"turns": ["Hi.", "Hello."], "personas": "I ski."}', "wrong_type"),
    ("turn without a text", b'{"turns": ["Hi.", {"speaker": 1}]}', "missing_field"),
    ("turn without a speaker", b'{"turns": ["Hi.", {"text": "Hello."}]}', "missing_field"),
    ("empty turn", b'{"turns": ["Hi.", " "]}', "empty"),
    ("long turn", json.dumps({"turns": ["Hi.", "x" * (MAX_TURN + 1)]}).encode(), "too_long"),
    ("many turns", json.dumps({"turns": ["Hi."] * (MAX_TURNS + 1)}).encode(), "too_long"),
]


@pytest.mark.parametrize(("row", "reason"), [row[1:] for row in JSONL_ROWS], ids=[row[0] for row in JSONL_ROWS])
def test_bad_jsonl_row_costs_itself_only(tmp_path: Path, row: bytes, reason: str) -> None:
    items = read_bytes(tmp_path, "p.jsonl", GOOD + row + b"\n" + LAST)
    assert outcome(items) == [(1, ""), (2, reason), (3, "")]
    assert len(items[1].detail) <= 200


OK = b"id,persona\n1,I ski.\n"
END = b"9,I cook.\n"
FILES: list[tuple[str, str, bytes, list[tuple[int, str]]]] = [
    ("CSV byte", "p.csv", OK + b"2,caf\xe9\n" + END, [(2, ""), (3, "encoding"), (4, "")]),
    ("CSV byte in a later line", "p.csv", OK + b'2,"a\ncaf\xe9"\n' + END, [(2, ""), (3, "encoding"), (5, "")]),
    ("CSV unclosed quote", "p.csv", OK + b'2,"I sew.\n' + END, [(2, ""), (3, "csv"), (4, "")]),
    ("CSV unclosed quote, then quotes", "p.csv", OK + b'2,"I sew.\n3,"I\nrow."\n' + END,
     [(2, ""), (3, "csv"), (4, ""), (6, "")]),
    ("CSV unclosed quote, long after", "p.csv", OK + b'2,"I sew.\n' + b"".join(b"%d,I own %d.\n" % (n, n)
     for n in range(10, 20_000)) + b"9,I cook.", [(2, ""), (3, "csv"), *((n, "") for n in range(4, 19_995))]),
    ("CSV text behind a quote", "p.csv", OK + b'2,"I" sew.\n' + END, [(2, ""), (3, "csv"), (4, "")]),
    ("CSV field over the limit", "p.csv", OK + b'2,"' + b"x" * 140_000 + b'"\n' + END, [(2, ""), (3, "csv"), (4, "")]),
    ("CSV comma without quotes", "p.csv", OK + b"2,I ski, often.\n" + END, [(2, ""), (3, "csv"), (4, "")]),
    ("CSV short record", "p.csv", OK + b"2\n\n" + END, [(2, ""), (3, "csv"), (5, "")]),
    ("CSV empty persona", "p.csv", OK + b"2,\n" + END, [(2, ""), (3, "empty"), (4, "")]),
    ("CSV id again", "p.csv", OK + b"1,I sew.\n" + END, [(2, ""), (3, "duplicate_id"), (4, "")]),
    ("CSV header of other columns", "p.csv", b"a,b\n1,2\n", [(2, "missing_field")]),
    ("CSV header unclosed", "p.csv", b'id,"persona\n1,I ski.\n', [(1, "csv")]),
    ("CSV header byte", "p.csv", b"id,\xe9\n1,I ski.\n", [(1, "encoding")]),
    ("UTF-16 cut off", "p.jsonl", GOOD.decode().encode("utf-16") + b"a", [(1, ""), (2, "encoding")]),
    ("UTF-16 half a pair", "p.txt", "I ski.\n\ud83d\nI cook.\n".encode("utf-16", "surrogatepass"),
     [(1, ""), (2, "encoding"), (3, "")]),
    ("UTF-16 without a mark", "p.csv", OK.decode().encode("utf-16-le"), [(1, "encoding")]),
    ("UTF-32 without a mark", "p.txt", "I ski.\n".encode("utf-32-be"), [(1, "encoding")]),
    ("text byte", "p.txt", b"I ski.\ncaf\xe9\nI cook.\n", [(1, ""), (2, "encoding"), (3, "")]),
    ("text punctuation", "p.txt", b"I ski.\n\x01\x02\nI cook.\n", [(1, ""), (2, "empty"), (3, "")]),
    ("no Parquet", "p.parquet", b"PAR1 it is not", [(1, "parquet")]),
    ("empty Parquet", "p.parquet", b"", [(1, "empty")]),
    ("empty file", "p.jsonl", b"", [(1, "empty")]),
    ("blank file", "p.csv", b"\n \n", [(1, "empty")]),
    ("nothing compressed", "p.jsonl.gz", gzip.compress(b""), [(1, "empty")]),
    ("compressed twice", "p.jsonl.gz", gzip.compress(gzip.compress(GOOD)), [(1, "foreign")]),
    ("gzip cut off", "p.jsonl.gz", gzip.compress(GOOD + LAST)[:-8], [(1, ""), (2, ""), (3, "compression")]),
    ("gzip checksum", "p.jsonl.gz", gzip.compress(GOOD + LAST)[:-8] + bytes(8), [(1, ""), (2, ""), (3, "compression")]),
    ("xz cut off", "p.jsonl.xz", lzma.compress(GOOD + LAST)[:-20], [(1, ""), (2, ""), (3, "compression")]),
    ("gzip Parquet cut off", "p.parquet.gz", gzip.compress(b"PAR1" * 9)[:-8], [(1, "compression")]),
    ("ConvAI2 number missing", "d.txt", CONVAI2.replace(b"\n4 ", b"\n5 "), [(1, "convai2"), (5, "")]),
    ("ConvAI2 no reply", "d.txt", CONVAI2.replace(b"bye\t", b"bye "), [(1, "convai2"), (5, "")]),
    ("ConvAI2 empty reply", "d.txt", CONVAI2.replace(b"see you", b""), [(1, "empty"), (5, "")]),
    ("ConvAI2 byte", "d.txt", CONVAI2.replace(b"bye", b"b\xffe"), [(1, "encoding"), (5, "")]),
    ("ConvAI2 personas only", "d.txt", b"1 your persona: i sew.\n" + CONVAI2, [(1, "speakers"), (2, ""), (6, "")]),
    ("SPC one speaker", "d.csv", SPC.replace(b"User 2", b"User 1") + SPC[60:], [(2, "speakers"), (10, "")]),
    ("SPC nobody speaks", "d.csv", SPC.replace(b"User", b"Robot"), [(2, "speakers")]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "expected"), [row[1:] for row in FILES], ids=[row[0] for row in FILES])
def test_bad_file_keeps_its_good_rows(tmp_path: Path, name: str, data: bytes, expected: list[tuple[int, str]]) -> None:
    assert outcome(read_bytes(tmp_path, name, data)) == expected


def test_rows_before_the_damage_are_kept(tmp_path: Path) -> None:
    rows = b"".join(b'{"persona": "I am %032x."}\n' % (n * 0x9E3779B97F4A7C15) for n in range(20_000))
    packed = gzip.compress(rows)
    items = read_bytes(tmp_path, "p.jsonl.gz", packed[: len(packed) // 2])
    assert [item.reason for item in items if isinstance(item, BadSeed)] == ["compression"]
    assert 9_000 < len(items) < 11_000
    assert items[-1].line == len(items)


def test_damage_in_a_parquet_page(tmp_path: Path) -> None:
    table = pa.table({"persona": [f"I own {n} cats." for n in range(4000)]})
    pq.write_table(table, tmp_path / "p.parquet", row_group_size=1000, compression="gzip", use_dictionary=False)
    start = pq.ParquetFile(tmp_path / "p.parquet").metadata.row_group(2).column(0).data_page_offset
    data = bytearray((tmp_path / "p.parquet").read_bytes())
    data[start + 40 : start + 90] = b"\xff" * 50
    items = read_bytes(tmp_path, "p.parquet", bytes(data))
    assert isinstance(items[-1], BadSeed)
    assert (items[-1].reason, items[-1].line) == ("parquet", len(items))
    assert len(items) > 1000


def test_parquet_schema_that_is_no_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"persona": ["I ski."]}), tmp_path / "p.parquet", store_schema=False)
    data = (tmp_path / "p.parquet").read_bytes().replace(b"persona", b"\x8aersona")
    assert outcome(read_bytes(tmp_path, "p.parquet", data)) == [(1, "parquet")]


def test_an_id_given_twice_names_the_first(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD + PERSONAS)
    (tmp_path / "b.jsonl").write_bytes(b'{"id": "a", "persona": "I sew."}\n{"id": "b", "persona": "I ski."}\n' + GOOD)
    items = read_seeds([SeedSource(path="a.jsonl"), SeedSource(path="b.jsonl")], tmp_path)
    bad = {(item.source, item.line): (item.reason, item.detail) for item in items if isinstance(item, BadSeed)}
    detail = "another seed has the id 'a': a.jsonl, line 2; ids must differ"
    assert bad == {("b.jsonl", 1): ("duplicate_id", detail)}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('{"id": 7.0, "persona": "I ski."}', "7"),
        ('{"id": -0.0, "persona": "I ski."}', "0"),
        ('{"id": NaN, "persona": "I ski."}', None),
        ('{"id": null, "persona": "I ski.", "score": -Infinity}', None),
        ('{"id": " ", "facts": NaN, "persona": "I ski.", "turns": NaN}', None),
    ],
)
def test_ids_and_values_that_are_missing(tmp_path: Path, row: str, expected: str | None) -> None:
    (seed,) = read_bytes(tmp_path, "p.jsonl", row.encode())
    assert isinstance(seed, Seed), seed
    assert (seed.id, seed.personas) == (expected or own_id(seed), (("I ski.",),))


@pytest.mark.parametrize("missing", ["", "nan", "NaN", "None", "null", "NA", "<NA>"])
def test_missing_cells_of_a_csv_file(tmp_path: Path, missing: str) -> None:
    rows = f"id,facts,persona,turns\n1.0,{missing},I ski.,{missing}\n{missing},I sew.,{missing},{missing}\n"
    first, second, third = read_bytes(tmp_path, "p.csv", f"{rows}3.0,{missing},{missing},{missing}\n".encode())
    assert personas([first, second]) == [(("I ski.",),), (("I sew.",),)]
    assert [first.id, second.id] == ["1", own_id(second)]
    assert (third.line, third.reason) == (4, "empty")


def test_lists_in_cells_of_a_csv_file(tmp_path: Path) -> None:
    cells = ['["I ski.", "I cook."]', "[laughs] I sew.", "['I ski.', 'I cook.']", '"I row"']
    with (tmp_path / "p.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["persona"], *([cell] for cell in cells)])
    items = read(tmp_path, "p.csv")
    assert outcome(items) == [(2, ""), (3, ""), (4, "wrong_type"), (5, "")]
    assert personas(items[:2]) == [(("I ski.", "I cook."),), (("[laughs] I sew.",),)]
    assert "as Python prints it" in items[2].detail
    turns = json.dumps([{"speaker": 1, "text": "Hi, you."}, {"speaker": 2, "text": "Hello."}])
    with (tmp_path / "d.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "turns", "personas"], ["1.0", turns, "nan"]])
    (dialogue,) = read(tmp_path, "d.csv")
    assert isinstance(dialogue, Seed), dialogue
    assert (dialogue.id, dialogue.turns) == ("1", ((0, "Hi, you."), (1, "Hello.")))


def test_missing_values_of_parquet(tmp_path: Path) -> None:
    columns = {"id": [1.0, None, 3.0], "facts": [None, ["I sew."], None], "persona": ["I ski.", None, None]}
    pq.write_table(pa.table(columns | {"turns": [float("nan")] * 3}), tmp_path / "p.parquet")
    first, second, third = read(tmp_path, "p.parquet")
    assert [first.id, second.id] == ["1", own_id(second)]
    assert (third.line, third.reason) == (3, "empty")


def test_parquet_of_other_columns_names_them(tmp_path: Path) -> None:
    pq.write_table(pa.table({"instruction": ["Say hi."], "output": ["Hi."]}), tmp_path / "p.parquet")
    (item,) = read(tmp_path, "p.parquet")
    assert isinstance(item, BadSeed)
    assert "an instruction with its answer" in item.detail


def test_json_in_a_text_file(tmp_path: Path) -> None:
    assert [item.id for item in read_bytes(tmp_path, "p.txt", b'\n{"id": "a", "persona": "I ski."}\n')] == ["a"]
    assert [item.id for item in read_bytes(tmp_path, "p.txt", b'[\n{"id": "a", "persona": "I ski."}]')] == ["a"]
    assert personas(read_bytes(tmp_path, "p.txt", b"[laughs] I ski.\n")) == [(("[laughs] I ski.",),)]
    assert personas(read_bytes(tmp_path, "p.txt", b'{"persona": 1}', form="text")) == [(('{"persona": 1}',),)]


def test_wrong_source_fields() -> None:
    with pytest.raises(ValidationError, match="formt"):
        SeedSource.model_validate({"path": "p.jsonl", "formt": "csv"})
    with pytest.raises(ValidationError, match="format"):
        SeedSource.model_validate({"path": "p.jsonl", "format": "xlsx"})


# Published data


@pytest.mark.skipif(not DATA.is_dir(), reason="the public data files are not beside the repository")
@pytest.mark.parametrize(
    ("path", "seeds", "bad"),
    [
        ("personas/msc_personas.jsonl", 12_017, {"empty": 13}),
        ("personas/personahub_5000.jsonl", 5_000, {}),
        ("dialogues/synthetic_persona_chat_valid.csv", 1_000, {}),
        ("dialogues/convai2_valid_self_original.txt", 1_000, {}),
    ],
)
def test_published_files(path: str, seeds: int, bad: dict[str, int]) -> None:
    items = read(DATA, path)
    assert Counter(item.reason for item in items if isinstance(item, BadSeed)) == bad
    assert len({item.id for item in items if isinstance(item, Seed)}) == seeds


# Two personas in a row


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"personas": [["I ski.", "I cook."], "I read."]}, (("I ski.", "I cook."), ("I read.",))),
        ({"user 1 personas": "I ski.\nI cook.", "user 2 personas": "I read."}, (("I ski.", "I cook."), ("I read.",))),
        ({"persona1": ["I ski."], "persona2": ["I read."], "turns": None}, (("I ski.",), ("I read.",))),
        ({"personas": {"Ann": ["I ski."], "Bo": ["I read."]}}, (("I ski.",), ("I read.",))),
        ({"personas": {" Ann": ["I ski."], "Bo ": ["I read."]}}, (("I ski.",), ("I read.",))),
    ],
)
def test_two_personas_of_a_row_are_a_pair(tmp_path: Path, row: dict[str, Any], expected: tuple[Any, ...]) -> None:
    (seed,) = read_bytes(tmp_path, "p.jsonl", json.dumps(row).encode())
    assert isinstance(seed, Seed)
    assert (seed.personas, seed.turns, seed.id) == (expected, (), own_id(seed))
    assert [speaker.name for speaker in seed.speakers] == (["Ann", "Bo"] if "Ann" in str(row) else [])


def test_pairs_of_csv_and_parquet(tmp_path: Path) -> None:
    expected = [(("I ski.",), ("I read.",))]
    assert personas(read_bytes(tmp_path, "p.csv", b"id,persona1,persona2\n1,I ski.,I read.\n")) == expected
    assert outcome(read_bytes(tmp_path, "p.csv", b"persona1,persona2\nI ski.,NA\n")) == [(2, "missing_field")]
    pq.write_table(
        pa.table({"persona_a": ["I ski."], "persona_b": ["I read."], "topic": ["x"]}), tmp_path / "p.parquet"
    )
    assert personas(read(tmp_path, "p.parquet")) == expected
    assert personas(read(tmp_path, "p.parquet", attributes=["topic"])) == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"personas": [["I ski."]]}, "speakers"),
        ({"personas": [["I ski."], []]}, "empty"),
        ({"personas": {"Ann": "I ski.", "Bo": "I read.", "Cy": "I cook."}}, "speakers"),
        ({"personas": 7}, "wrong_type"),
        ({"personas": [["I ski."], ["I read."]], "dialogue": "A: Hi."}, "missing_field"),
        ({"persona1": "I ski.", "persona2": " "}, "missing_field"),
    ],
)
def test_what_is_no_pair(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    assert outcome(read_bytes(tmp_path, "p.jsonl", json.dumps(row).encode())) == [(1, reason)]


def test_synthetic_persona_chat_as_json_is_a_dialogue(tmp_path: Path) -> None:
    said = "User 1: Hi.\nUser 2: Hello."
    row = {"user 1 personas": "I ski.", "user 2 personas": "I read.", "Best Generated Conversation": said, "id": "x"}
    (seed,) = read_bytes(tmp_path, "p.jsonl", json.dumps(row).encode())
    assert isinstance(seed, Seed)
    assert (seed.id, seed.personas, seed.turns) == ("x", (("I ski.",), ("I read.",)), ((0, "Hi."), (1, "Hello.")))
