"""Formats of seeds and dialogues: the bytes of a file as a stream of rows.

Every format comes out as the mapping a JSON Lines row would hold, so that one place (`factory.seeds`) judges rows. A
bad row is handed on as a value and never stops the stream; damage to a file ends that file with one bad row.
Gives up: after an unclosed quote CSV goes on with the next line, whatever the writer meant; a CSV field holds 131,072
characters.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import from_json

from factory.seed_files import BadRow, SeedFile, open_file

Row = dict[str, Any]

_MAX_LINE = 1 << 24
"""Characters: above any row within the limits of `factory.seeds`, and what one endless line may cost in memory."""
_MAX_GROUP = 2_000
"""Lines of one ConvAI2 dialogue that are looked at: its facts and turns cannot be that many."""
_SPC_HEADER = ["user 1 personas", "user 2 personas", "Best Generated Conversation"]
_SPC_TURN = re.compile(r"\W*User ([12])\s*:(.*)")
_SPC_DIRECTION = re.compile(r"\[[^\]]*\]?|\([^)]*\)?|\*.*\*")
_CONVAI2_FIRST = re.compile(r"1 (?:your|partner's) persona:")
_CONVAI2_LINE = re.compile(r"(\d{1,9}) (?:(your|partner's) persona:)?(.*)", re.DOTALL)


def read_rows(file: SeedFile, columns: Iterable[str]) -> Iterator[tuple[int, Row | BadRow]]:
    """Line (Parquet: row) number, from 1, and the row; `columns` are the ones to read from Parquet.

    Raises SourceError when the file cannot be opened or its transport fails on the way."""
    try:
        with open_file(file) as stream:
            if file.format == "parquet":
                yield from _parquet(stream, set(columns))
            else:
                yield from _text_format(file, _lines(stream))
    except BadRow as bad:
        bad.ends = True
        yield bad.line, bad


def _lines(stream: io.BufferedReader) -> Iterator[tuple[int, str]]:
    """Numbered lines with their ends (LF, CR LF or CR), where bytes that are no UTF-8 stand as lone surrogates."""
    number = 0
    try:
        head = stream.peek(2)[:2]
        if head in (b"\xff\xfe", b"\xfe\xff") or b"\0" in head:
            raise BadRow("encoding", "the file is UTF-16 or UTF-32, or binary: save it as UTF-8")
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        while line := text.readline(_MAX_LINE):
            number += 1
            yield number, line
            while len(line) == _MAX_LINE and line[-1] not in "\r\n":
                line = text.readline(_MAX_LINE)
    except BadRow as bad:
        bad.line = number + 1
        raise


def _check_line(line: str) -> str:
    if len(line) >= _MAX_LINE:
        raise BadRow("too_long", f"a line of more than {_MAX_LINE:,} characters")
    try:
        line.encode("utf-8")
    except UnicodeEncodeError as error:
        byte = ord(line[error.start]) - 0xDC00
        before = line[max(0, error.start - 30) : error.start]
        raise BadRow("encoding", f"byte 0x{byte:02x} after {before!r} is no UTF-8") from error
    return line


def _text_format(file: SeedFile, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, Row | BadRow]]:
    if file.format == "jsonl":
        return _each_line(lines, _json_object)
    if file.format in ("csv", "tsv", "spc"):
        return _csv_rows(lines, file)
    if file.format == "text" and file.sniff:
        first = list(islice(lines, 1))
        lines = chain(first, lines)
        if first and _CONVAI2_FIRST.match(first[0][1]):
            return _convai2(lines)
    return _convai2(lines) if file.format == "convai2" else _each_line(lines, lambda line: {"persona": line})


def _each_line(lines: Iterator[tuple[int, str]], parse: Callable[[str], Row]) -> Iterator[tuple[int, Row | BadRow]]:
    for number, line in lines:
        if line.strip():
            try:
                yield number, parse(_check_line(line))
            except BadRow as bad:
                yield number, bad


def _json_object(line: str) -> Row:
    try:
        value = from_json(line, allow_inf_nan=False)
    except ValueError as error:
        raise BadRow("json", str(error)) from error
    if not isinstance(value, dict):
        raise BadRow("json", f"a JSON object is needed on each line, not {type(value).__name__}")
    return value


def _csv_records(lines: Iterator[tuple[int, str]], delimiter: str) -> Iterator[tuple[int, list[str] | BadRow]]:
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
                _check_line("".join(record))
            except BadRow as bad:
                yield start, bad
            else:
                yield start, record


def _csv_rows(lines: Iterator[tuple[int, str]], file: SeedFile) -> Iterator[tuple[int, Row | BadRow]]:
    records = _csv_records(lines, "\t" if file.format == "tsv" else ",")
    line, header = next(records, (1, []))
    if isinstance(header, BadRow):
        raise BadRow(header.reason, f"in the header: {header.detail}", line)
    header = [name.strip() for name in header]
    spc = header == _SPC_HEADER and (file.sniff or file.format == "spc")
    if file.format == "spc" and not spc:
        raise BadRow("missing_field", f"the header of this format is {','.join(_SPC_HEADER)}", line)
    for line, record in records:
        if isinstance(record, BadRow):
            yield line, record
        elif len(record) != len(header):
            yield line, BadRow("csv", f"{len(record)} fields where the header has {len(header)}: quote the commas")
        else:
            yield line, _spc(*record) if spc else dict(zip(header, record, strict=True))


def _spc(first: str, second: str, conversation: str) -> Row:
    """A Synthetic-Persona-Chat row. A line without a speaker goes on with the turn before it; stage directions (in
    brackets or asterisks) and what stands before the first turn are nobody's words and are left out."""
    turns: list[Row] = []
    for line in conversation.splitlines():
        if match := _SPC_TURN.match(line):
            turns.append({"speaker": int(match[1]), "text": match[2]})
        elif turns and not _SPC_DIRECTION.fullmatch(line.strip()):
            turns[-1]["text"] += f" {line}"
    return {"personas": [first.splitlines(), second.splitlines()], "turns": turns}


def _convai2(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, Row | BadRow]]:
    group: list[tuple[int, str]] = []
    for number, line in chain(lines, [(0, "1 ")]):
        if line.startswith("1 ") and group:
            try:
                yield group[0][0], _convai2_dialogue(group)
            except BadRow as bad:
                yield group[0][0], bad
            group = []
        if line.strip() and len(group) < _MAX_GROUP:
            group.append((number, line))


def _convai2_dialogue(group: list[tuple[int, str]]) -> Row:
    """The persona called "your" is that of the one who replies, behind the tab."""
    personas: list[list[str]] = [[], []]
    turns: list[Row] = []
    for index, (number, line) in enumerate(group, 1):
        match = _CONVAI2_LINE.fullmatch(_check_line(line).rstrip("\r\n"))
        if match is None or int(match[1]) != index:
            raise BadRow("convai2", f"line {number} should begin with the number {index}")
        if match[2]:
            personas[match[2] == "your"].append(match[3])
            continue
        texts = match[3].split("\t")[:2]
        if len(texts) < 2:
            raise BadRow("convai2", f"line {number} has no reply behind a tab")
        turns += [{"speaker": speaker, "text": text} for speaker, text in enumerate(texts)]
    return {"personas": personas, "turns": turns}


def _parquet(stream: IO[bytes], columns: set[str]) -> Iterator[tuple[int, Row | BadRow]]:
    number = 0
    try:
        parquet = pq.ParquetFile(stream)
        wanted = [name for name in parquet.schema_arrow.names if name in columns]
        for batch in parquet.iter_batches(batch_size=1024, columns=wanted):
            for index in range(batch.num_rows):
                number += 1
                try:
                    yield number, batch.slice(index, 1).to_pylist()[0]
                except UnicodeDecodeError as error:
                    yield number, BadRow("encoding", f"a string is no UTF-8: {error.reason}")
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadRow("parquet", f"the file is damaged or no Parquet: {error}", number + 1) from error
