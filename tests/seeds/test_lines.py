"""Lines of text, in any Unicode encoding, and what is none."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.seeds import lines as seed_lines
from factory.seeds.files import BadRow
from factory.seeds.lines import check_line, first_line, pieces, whole_lines

# UTF-16 that begins with a NUL begins as UTF-32 does.
LINES = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n\ufeff"), max_size=9))


@settings(deadline=None)
@given(LINES, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_lines_are_the_same_in_any_encoding(lines: list[str], ending: str, encoding: str) -> None:
    text = "".join(line + ending for line in lines)
    stream = io.BufferedReader(io.BytesIO(text.encode(encoding)))  # type: ignore[arg-type]
    assert list(pieces(stream)) == [(number, line + ending) for number, line in enumerate(lines, 1)]


def test_a_long_line_comes_in_pieces_of_one_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_lines, "MAX_LINE", 4)
    stream = io.BufferedReader(io.BytesIO(b"\nabcdefg\nabc\n"))  # type: ignore[arg-type]
    found = list(pieces(stream))
    assert found == [(1, "\n"), (2, "abcd"), (2, "efg\n"), (3, "abc\n")]
    first, lines = first_line(iter(found))
    assert first == "abcd"
    assert list(whole_lines(lines)) == [(2, "abcd"), (3, "abc\n")]
    with pytest.raises(BadRow, match="a line of more than 4 characters"):
        check_line(first)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"caf\xe9", "byte 0xe9 after 'caf' is not UTF-8; in Windows-1252 it is 'é': save the file as UTF-8"),
        (b"\x81", "byte 0x81 after '' is not UTF-8"),
    ],
)
def test_bytes_of_another_code_page_are_named(line: bytes, message: str) -> None:
    with pytest.raises(BadRow, match=message):
        check_line(line.decode("utf-8", "surrogateescape"))
