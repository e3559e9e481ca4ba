"""Records of delimiter-separated text: commas, semicolons, tabs or bars, told by the header.

Limitations: after an unclosed quote, reading goes on with the next line, whatever the writer meant; a field holds
131,072 characters; a header that spans several lines is taken to be delimited as the format says.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Collection, Iterator

from factory.seeds.files import BadRow
from factory.seeds.lines import check_line, first_line

_DELIMITERS = ",;\t|"
_SEPARATOR = re.compile(r'"?sep=([^"\r\n])"?\s*', re.IGNORECASE)
"""The line that Excel reads, and writes, before the header."""


def csv_records(
    lines: Iterator[tuple[int, str]], usual: str, columns: Collection[str]
) -> Iterator[tuple[int, list[str] | BadRow]]:
    """The header and the records, with the line each starts on. `usual` is the delimiter unless the header, by holding
    one of the columns or by its fields, tells another."""
    first, lines = first_line(lines)
    if told := _SEPARATOR.fullmatch(first):
        next(lines)
        delimiter = told[1]
    else:
        delimiter = _delimiter(first, usual, columns)
    return _records(lines, delimiter)


def _delimiter(header: str, usual: str, columns: Collection[str]) -> str:
    def fit(delimiter: str) -> tuple[bool, int, bool]:
        try:
            names = next(csv.reader([header], delimiter=delimiter, strict=True))
        except (csv.Error, StopIteration):
            return False, 1, delimiter == usual
        return any(name.strip() in columns for name in names), len(names), delimiter == usual

    return max(_DELIMITERS, key=fit)


def _records(lines: Iterator[tuple[int, str]], delimiter: str) -> Iterator[tuple[int, list[str] | BadRow]]:
    """Records with the line they start on. After a broken one, reading goes on with the line after its first."""
    again: deque[tuple[int, str]] = deque()
    taken: list[tuple[int, str]] = []

    def feed() -> Iterator[str]:
        while item := again.popleft() if again else next(lines, None):
            taken.append(item)
            yield item[1]

    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    while True:
        taken.clear()
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield taken[0][0], BadRow("csv", f"{error}: check the quotes")
            again.extendleft(reversed(taken[1:]))
            reader = csv.reader(feed(), delimiter=delimiter, strict=True)
            continue
        start = taken[0][0]
        if any(field.strip() for field in record):
            try:
                check_line(delimiter.join(record))
            except BadRow as bad:
                yield start, bad
            else:
                yield start, record
