"""Formats of seeds and dialogues: the bytes of a file as a stream of rows.

Every format comes out as the mapping a JSON Lines row would hold, so that `factory.seeds.source` alone judges rows.
A bad row is handed on as a value and never stops the stream; damage to a file ends that file with one bad row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from factory.seeds.compressed import open_file
from factory.seeds.delimited import csv_records
from factory.seeds.files import BadRow, SeedFile
from factory.seeds.jsonl import json_rows
from factory.seeds.lines import FileRow, check_line, each_line, first_line, pieces, whole_lines
from factory.seeds.plain import PlainReader, PlainRows
from factory.seeds.plain_dialogues import DIALOGUES, PLAIN, PlainDialogues, plain_dialogues

_MAX_GROUP = 2_000
"""Lines of one ConvAI2 dialogue that are looked at: its facts and turns cannot be that many."""
_PLAIN_ROWS = 4096
"""Plain rows of Parquet read together."""
_OTHERS_SHOWN = 20
"""Names of Parquet columns that rows show without their values, so that they can be told."""
SPC_HEADER = ["user 1 personas", "user 2 personas", "Best Generated Conversation"]
_SPC_TURN = re.compile(r"\W*User ([12])\s*:(.*)")
_SPC_DIRECTION = re.compile(r"\[[^\]]*\]?|\([^)]*\)?|\*.*\*")
_JSON_FIRST = re.compile(r'\s*(?:\{\s*(?:"|$)|\[\s*(?:\{|$))')
_CONVAI2_FIRST = re.compile(r"1 (?:your|partner's) persona:")
_CONVAI2_LINE = re.compile(r"(\d{1,9}) (?:(your|partner's) persona:)?(.*)", re.DOTALL)


def read_rows(
    file: SeedFile, columns: Iterable[str], others: Iterable[str] | None = ()
) -> Iterator[tuple[int, FileRow | BadRow]]:
    """Line number, from 1 (of Parquet and of a JSON array: the row's), and the row; `columns` are the ones to read
    from Parquet, and to know the delimiter of a CSV header by. Of Parquet, `others` are read too (all, for none); a
    value among them that cannot be read is a BadRow.

    Raises SourceError when the file cannot be opened or its transport fails on the way."""
    rows = rows_and_blocks(file, columns, others, None)
    return ((line, row) for line, row in rows if not isinstance(row, PLAIN))


def rows_and_blocks(
    file: SeedFile, columns: Iterable[str], others: Iterable[str] | None, plain: PlainReader | None
) -> Iterator[tuple[int, FileRow | BadRow | PlainRows | PlainDialogues]]:
    """The same, but that the plain rows of a block of lines of JSON, or of Parquet, are handed on at once, before its
    others."""
    try:
        with open_file(file) as stream:
            if file.format == "parquet":
                yield from _parquet(stream, set(columns), others if others is None else set(others), plain)
            else:
                yield from _text_format(file, pieces(stream), set(columns), plain)
    except BadRow as bad:
        bad.ends = True
        yield bad.line, bad


def _text_format(
    file: SeedFile, lines: Iterator[tuple[int, str]], columns: set[str], plain: PlainReader | None
) -> Iterator[tuple[int, FileRow | BadRow | PlainRows]]:
    if file.format == "jsonl":
        return json_rows(lines, plain)
    if file.format in ("csv", "tsv", "spc"):
        return _csv_rows(whole_lines(lines), file, columns)
    if file.format == "text" and file.sniff:
        first, lines = first_line(lines)
        if _CONVAI2_FIRST.match(first):
            return _convai2(whole_lines(lines))
        if _JSON_FIRST.match(first):
            return json_rows(lines, plain)
    lines = whole_lines(lines)
    return _convai2(lines) if file.format == "convai2" else each_line(lines, lambda line: {"persona": line})


def _csv_rows(
    lines: Iterator[tuple[int, str]], file: SeedFile, columns: set[str]
) -> Iterator[tuple[int, FileRow | BadRow]]:
    records = csv_records(lines, "\t" if file.format == "tsv" else ",", columns)
    line, header = next(records, (1, []))
    if isinstance(header, BadRow):
        raise BadRow(header.reason, f"in the header: {header.detail}", line)
    header = [name.strip() for name in header]
    header = [f"{name}.{again}" if (again := header[:at].count(name)) else name for at, name in enumerate(header)]
    spc = header == SPC_HEADER and (file.sniff or file.format == "spc")
    if file.format == "spc" and not spc:
        raise BadRow("missing_field", f"the header of this format is {','.join(SPC_HEADER)}", line)
    for line, record in records:
        if isinstance(record, BadRow):
            yield line, record
        elif len(record) != len(header):
            found = f"{len(record)} fields where the header has {len(header)}"
            yield line, BadRow("csv", f"{found}: put fields that hold the delimiter in double quotes")
        else:
            yield line, spc_row(*record) if spc else dict(zip(header, record, strict=True))


def spc_row(first: str, second: str, conversation: str) -> FileRow:
    """A Synthetic-Persona-Chat row. A line without a speaker goes on with the turn before it; stage directions (in
    brackets or asterisks) and what stands before the first turn are nobody's words and are left out."""
    turns: list[FileRow] = []
    for line in conversation.splitlines():
        if match := _SPC_TURN.match(line):
            turns.append({"speaker": int(match[1]), "text": match[2]})
        elif turns and not _SPC_DIRECTION.fullmatch(line.strip()):
            turns[-1]["text"] += f" {line}"
    return {"personas": [first.splitlines(), second.splitlines()], "turns": turns}


def _convai2(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, FileRow | BadRow]]:
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


def _convai2_dialogue(group: list[tuple[int, str]]) -> FileRow:
    """The persona called "your" is that of the one who replies, behind the tab."""
    personas: list[list[str]] = [[], []]
    turns: list[FileRow] = []
    for index, (number, line) in enumerate(group, 1):
        match = _CONVAI2_LINE.fullmatch(check_line(line).rstrip("\r\n"))
        if match is None or int(match[1]) != index:
            raise BadRow("convai2", f"line {number} should begin with the number {index}")
        if match[2]:
            personas[match[2] == "your"].append(match[3])
            continue
        texts = match[3].split("\t")
        if len(texts) < 2:
            raise BadRow("convai2", f"line {number} has no reply behind a tab")
        others = {"candidates": texts[3].split("|")} if texts[3:] else {}  # behind the reward, which is empty
        turns += [{"speaker": 0, "text": texts[0]}, {"speaker": 1, "text": texts[1], **others}]
    return {"personas": personas, "turns": turns}


def _parquet(
    stream: IO[bytes], columns: set[str], others: set[str] | None, plain: PlainReader | None
) -> Iterator[tuple[int, FileRow | BadRow | PlainDialogues]]:
    number = 0
    try:
        parquet = pq.ParquetFile(stream)
        names = parquet.schema_arrow.names
        wanted = [name for name in names if name in columns]
        besides = [name for name in names if name not in columns and (others is None or name in others)]
        shown = dict.fromkeys([name for name in names if name not in columns][:_OTHERS_SHOWN])
        whole = plain is not None and plain.usual and parquet.schema_arrow.equals(DIALOGUES)
        for batch in parquet.iter_batches(batch_size=_PLAIN_ROWS if whole else 1024, columns=[*wanted, *besides]):
            rows: Iterable[int] = range(batch.num_rows)
            if whole:
                found, rows = plain_dialogues(batch, number + 1)
                if found is not None:
                    yield number + 1, found
            more = [_values(batch, name) for name in besides]
            part = batch.select(wanted)
            for index in rows:
                row = shown | {name: values[index] for name, values in zip(besides, more, strict=True)}
                try:
                    yield number + index + 1, row | part.slice(index, 1).to_pylist()[0] if wanted else row
                except UnicodeDecodeError as error:
                    yield number + index + 1, BadRow("encoding", f"a string is not UTF-8: {error.reason}")
            number += batch.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadRow("parquet", f"the file is damaged, or not Parquet: {error}", number + 1) from error


def _values(batch: pa.RecordBatch, name: str) -> Sequence[object]:
    """The values of a column that no seed depends on."""
    try:
        return list(batch[name].to_pylist())
    except ValueError as error:  # text that is no UTF-8, a time finer than Python's
        return [BadRow("wrong_type", f"cannot be read: {error}")] * batch.num_rows
