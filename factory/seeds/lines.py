"""The lines of a text file of seeds, in whatever Unicode encoding it is.

UTF-8 needs no mark; UTF-16 and UTF-32 are read where a byte order mark tells them. Limitations: other code pages are
never guessed, since a wrong guess would garble the text; a line that is not UTF-8 is a bad row.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from factory.seeds.files import BadRow
from factory.seeds.foreign import encoding

FileRow = dict[str, Any]

MAX_LINE = 1 << 24
"""Characters: above any row within the limits of `factory.seeds.source`; what one endless line may cost in memory."""


def pieces(stream: io.BufferedReader) -> Iterator[tuple[int, str]]:
    """Numbered lines with their ends (LF, CR LF or CR); one of more than `MAX_LINE` characters comes in pieces of one
    number. Bytes that are no UTF-8 stand as lone surrogates. Raises BadRow where the text breaks off."""
    marked = encoding(stream.peek(4))
    text = io.TextIOWrapper(
        stream, marked or "utf-8-sig", errors="surrogatepass" if marked else "surrogateescape", newline=""
    )
    number, ended = 0, True
    try:
        while piece := text.readline(MAX_LINE):
            number += ended
            yield number, piece
            ended = len(piece) < MAX_LINE or piece[-1] in "\r\n"
    except UnicodeDecodeError as error:
        raise BadRow("encoding", f"the file is no valid {marked} here: {error.reason}", number + 1) from error
    except BadRow as bad:
        bad.line = number + 1
        raise


def whole_lines(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The lines, each once: of one in pieces the first piece, which `check_line` refuses."""
    last = 0
    for number, piece in lines:
        if number != last:
            yield number, piece
        last = number


def first_line(lines: Iterator[tuple[int, str]]) -> tuple[str, Iterator[tuple[int, str]]]:
    """The first line that is not blank (empty if there is none), and all lines from it on."""
    for number, line in lines:
        if line.strip():
            return line, chain([(number, line)], lines)
    return "", iter(())


def each_line(
    lines: Iterator[tuple[int, str]], parse: Callable[[str], FileRow]
) -> Iterator[tuple[int, FileRow | BadRow]]:
    """A row of each line that is not blank."""
    for number, line in lines:
        if line.strip():
            try:
                yield number, parse(check_line(line))
            except BadRow as bad:
                yield number, bad


def check_line(line: str) -> str:
    """The text, if it is within the limit and all of it was UTF-8. Raises BadRow."""
    if len(line) >= MAX_LINE:
        raise BadRow("too_long", f"a line of more than {MAX_LINE:,} characters")
    try:
        line.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(line[error.start])
        before = line[max(0, error.start - 30) : error.start]
        if not 0xDC80 <= code <= 0xDCFF:
            raise BadRow("encoding", f"half a UTF-16 character after {before!r}") from error
        byte = code - 0xDC00
        meant = bytes([byte]).decode("cp1252", "replace")
        raise BadRow(
            "encoding",
            f"byte 0x{byte:02x} after {before!r} is not UTF-8; in Windows-1252 it is {meant!r}: save the file as UTF-8 "
            '(in Excel as "CSV UTF-8")',
        ) from error
    return line
