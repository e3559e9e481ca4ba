"""Rows of a JSON file: JSON Lines, an array of objects, or objects indented over several lines.

An array or indented object is cut into its rows by counting brackets, so that rows are parsed one by one, in little
memory, and a broken one costs itself only. Limitations: a bracket too few hides the rows after it up to the next line
that begins a row as this one began, or to the end of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic_core import from_json

from factory.seeds.files import BadRow
from factory.seeds.lines import MAX_LINE, FileRow, check_line, each_line, first_line, whole_lines
from factory.seeds.plain import PlainReader, PlainRows, blocks

_PART = re.compile(r'"(?:[^"\\\r\n]|\\.)*+("?)|[\[\]{},]|([^\s"\[\]{},]+)')
_INDENTED = re.compile(r"\s*\{(?:.*[{\[,])?\s*", re.DOTALL)
_PYTHON = re.compile(r"\s*[{\[]\s*'")
_EXAMPLE = '{"persona": "I sail."}'


def json_rows(
    lines: Iterator[tuple[int, str]], plain: PlainReader | None = None
) -> Iterator[tuple[int, FileRow | BadRow | PlainRows]]:
    """Rows with their lines; those of an array with their numbers in it. The plain rows of a block of lines come at
    once, before its others, if `plain` is to read them."""
    first, lines = first_line(lines)
    if first.lstrip().startswith("[") or _INDENTED.fullmatch(first):
        return _rows_cut(lines)
    return each_line(whole_lines(lines), _json_object) if plain is None else _by_block(lines, plain)


def _by_block(
    lines: Iterator[tuple[int, str]], plain: PlainReader
) -> Iterator[tuple[int, FileRow | BadRow | PlainRows]]:
    for block in blocks(lines):
        rows, others = plain.read(block)
        if rows is not None:
            yield block[0][0], rows
        yield from each_line(iter(others), _json_object)


def _json_object(text: str) -> FileRow:
    try:
        value = from_json(text)
    except ValueError as error:
        said = str(error).replace(" at line 1 column ", " at column ")
        if _PYTHON.match(text):
            said = "single quotes are Python, not JSON: write rows with json.dumps"
        elif said == "expected value at column 1":
            said = f"no JSON: a row is an object on one line, such as {_EXAMPLE}; for CSV or plain text set `format`"
        raise BadRow("json", said) from error
    if not isinstance(value, dict):
        raise BadRow("json", f"a row is a JSON object, such as {_EXAMPLE}, not {type(value).__name__}")
    return value


def _rows_cut(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, FileRow | BadRow]]:
    for number, text in _cut(lines):
        try:
            yield number, _json_object(check_line(text))
        except BadRow as bad:  # its column is not that in the file
            yield number, BadRow(bad.reason, bad.detail.partition(" at column ")[0])


def _cut(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The text of each element of arrays, with its number, and of each object outside of them, with its line. Raises
    BadRow if the last one is not closed."""
    base = depth = 0  # open brackets: around a row, and in all
    rows = began = told = size = 0  # elements of arrays, number or line of the row, last line of junk, characters
    taken: list[str] = []
    indent = -1  # column of the row, if it begins its line and goes on there
    for number, column, part in _parts(lines):
        if depth > base and part == "{" and column == indent >= 0:
            yield began, " ".join(taken)
            depth = base
        if depth > base:
            if size <= MAX_LINE:
                taken.append(part)
                size += len(part)
            if len(taken) == 2 and column >= 0:
                indent = -1
            depth += (part in ("{", "[")) - (part in ("}", "]"))
            if depth == base:
                yield began, " ".join(taken)
        elif part == "[" and not base:
            base = depth = 1
        elif part == "]" and base:
            base = depth = 0
        elif part != ",":
            rows += base
            began, taken, size, indent = rows if base else number, [part], 0, column
            if part in ("{", "["):
                depth += 1
            elif base or told < number:
                told = number
                yield began, part
    if depth:
        what, where = "array" if base else "object", began if depth > base else rows + 1
        raise BadRow("json", f"the {what} is not closed: the file breaks off, or a bracket is missing here", where)


def _parts(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, int, str]]:
    """Brackets, commas, strings and what else there is, with its line, and its column if it is the first there, else
    -1."""
    carried = ""  # the end of a piece, which may go on in the next
    first, before, number = True, 0, 1  # whether only blanks, and how many characters, are before the piece on its line
    for number, piece in lines:
        text, carried, ended = carried + piece, "", piece[-1] in "\r\n"
        for match in _PART.finditer(text):
            if not ended and match.end() >= len(text) - 1 and (match[1] == "" or match[2]):
                carried = text[match.start() :]
                break
            yield number, before + match.start() if first else -1, match[0]
            first = False
        if len(carried) > MAX_LINE:
            raise BadRow("too_long", f"a string of more than {MAX_LINE:,} characters", number)
        first, before = ended or first, 0 if ended else before + len(text) - len(carried)
    if carried:
        yield number, -1, carried
