"""Delimiters of CSV files, told by their header."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.store.records import Seed
from tests.reading import outcome, personas, read_bytes

ROWS = [["id", "persona", "größe"], ["a", "I sail, daily; twice | thrice.", "3,5"], ["b", "I\tski.", ""]]


def written(delimiter: str, quoting: int = csv.QUOTE_MINIMAL) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quoting=quoting).writerows(ROWS)
    return text.getvalue()


@pytest.mark.parametrize("name", ["p.csv", "p.tsv"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@settings(deadline=None)
@given(st.sampled_from(",;\t|"), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.booleans())
def test_delimiters(
    tmp_path_factory: pytest.TempPathFactory, name: str, encoding: str, delimiter: str, quoting: int, told: bool
) -> None:
    text = (f"sep={delimiter}\r\n" if told else "") + written(delimiter, quoting)
    items = read_bytes(tmp_path_factory.getbasetemp(), name, text.encode(encoding))
    assert personas(items) == [(("I sail, daily; twice | thrice.",),), (("I ski.",),)]
    assert [(item.id, item.line - told) for item in items if isinstance(item, Seed)] == [("a", 2), ("b", 3)]


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;"])
def test_the_line_of_excel_that_tells_the_delimiter(tmp_path: Path, first: str) -> None:
    items = read_bytes(tmp_path, "p.csv", f'{first}\r\n"id;persona"\r\n'.encode())
    assert items == []
    items = read_bytes(tmp_path, "p.csv", f"{first}\r\nbio,more;persona\r\nx;I ski.\r\n".encode())
    assert personas(items) == [(("I ski.",),)]


def test_a_header_of_no_known_column_is_delimited_as_it_looks(tmp_path: Path) -> None:
    (item,) = read_bytes(tmp_path, "p.csv", b"name;bio\nMira;I ski, often.\n")
    assert (item.line, item.reason) == (2, "missing_field")
    assert "there is 'name', 'bio': set `fields.facts`" in item.detail
    assert personas(read_bytes(tmp_path, "p.csv", b"name;bio\nMira;I ski, often.\n", facts="bio")) == [
        (("I ski, often.",),)
    ]


def test_one_column_is_not_split(tmp_path: Path) -> None:
    items = read_bytes(tmp_path, "p.csv", b"persona\nI ski; I cook | I sew.\n")
    assert personas(items) == [(("I ski; I cook | I sew.",),)]


def test_another_code_page_is_named_and_never_guessed(tmp_path: Path) -> None:
    text = "id,persona\na,I ski.\nb,I’m a café owner.\n"
    good, bad = read_bytes(tmp_path, "p.csv", text.encode("cp1252"))
    assert outcome([good, bad]) == [(2, ""), (3, "encoding")]
    assert "byte 0x92 after 'b,I' is not UTF-8; in Windows-1252 it is '’': save the file as UTF-8" in bad.detail
