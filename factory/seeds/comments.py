"""Comments of a dump, such as Reddit's: read many at once, and chosen by the protocol of PolyAI.

The protocol is that of PolyAI's conversational data sets (Henderson et al., arXiv 1904.06472, `reddit/create_data.py`):
comments of 9 to 127 characters, and none that was deleted or removed. Arrow parses a block of lines; a block that it
refuses is parsed line by line, so that a broken line costs itself only. Limitations: fields have the names of Reddit's
dumps; text stays as it is there, Markdown and HTML entities too, but for white space and control characters; a JSON
file holds a comment a line; of a compressed file whose data is damaged, what stands behind the damage is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic_core import from_json

from factory.base.arrays import arrow, mapped, texts
from factory.seeds.compressed import open_file
from factory.seeds.files import BadRow, SeedFile
from factory.seeds.lines import MAX_LINE
from factory.seeds.plain import flags, odd_texts
from factory.seeds.values import MAX_ID, text_of

By = Literal["thread", "author"]
FIELDS: dict[By, tuple[str, ...]] = {
    "thread": ("link_id", "id", "parent_id", "author", "body"),
    "author": ("author", "id", "created_utc", "body"),
}
"""The fields of a comment that are read, the one to bucket by first."""
COMMENTS = {
    by: pa.schema([(name, pa.int64() if name == "created_utc" else pa.string()) for name in names])
    for by, names in FIELDS.items()
}
"""Comments as columns. Only `parent_id` may be null, of a comment on the post itself."""

_BLOCK = 1 << 23
"""Bytes parsed together, about."""
_ROWS = 1 << 14
"""Rows of Parquet read together."""
_LONGEST_ID = MAX_ID // 2 - 1
"""Characters: a seed's id has two of them, with a stroke between."""
_GONE = texts(["[deleted]", "[removed]"])
_COMMENT = "t1_"
"""How Reddit marks the id of a comment where it could be that of a post."""
_TIMES = (pa.int64(), pa.string(), pa.float64())
"""Kinds that `created_utc` has had over the years."""
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which comments are kept: those with so many characters."""

    by: By = "thread"
    least: int = 9
    most: int = 127


@dataclass(slots=True)
class Read:
    """Comments that were kept, by why others were not, and where a later reading may begin behind them: bytes of the
    unpacked file, or row groups of Parquet; none within a row group."""

    batch: pa.RecordBatch
    dropped: Counter[str]
    end: int | None


def read_comments(file: SeedFile, choice: Choice, start: int = 0) -> Iterator[Read]:
    """The comments of a file from a place on that an earlier reading named. Raises SourceError where the file cannot be
    read, and BadRow where its data breaks off, after all before that."""
    with open_file(file) as stream:
        if file.format == "parquet":
            yield from _of_parquet(stream, choice, start)
            return
        parser = _Parser(choice.by)
        for block, size in _blocks(stream, start):
            dropped = Counter[str]()
            start += size
            yield Read(chosen(parser.comments(block, dropped), choice, dropped), dropped, start)


def _of_parquet(stream: Any, choice: Choice, start: int) -> Iterator[Read]:
    schema, number = COMMENTS[choice.by], start
    try:
        parquet = pq.ParquetFile(stream)
        if lacking := [name for name in schema.names if name not in parquet.schema_arrow.names]:
            raise BadRow("missing_field", f"no column {', '.join(map(repr, lacking))}")
        for number in range(start, parquet.num_row_groups):
            left = parquet.metadata.row_group(number).num_rows
            for batch in parquet.iter_batches(_ROWS, row_groups=[number], columns=schema.names):
                dropped = Counter[str]()
                raw = pa.RecordBatch.from_arrays([batch[f.name].cast(f.type) for f in schema], schema=schema)
                left -= len(batch)
                yield Read(chosen(raw, choice, dropped), dropped, None if left else number + 1)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadRow("parquet", f"the file is damaged, or not Parquet: {error}", number + 1) from error


def _blocks(stream: Any, start: int) -> Iterator[tuple[bytes, int]]:
    """Whole lines, many at once, and how many bytes of the file they take. What is longer than a line may be, and has
    no end, comes in pieces."""
    skipped = 0
    while skipped < start and (piece := stream.read1(min(start - skipped, _BLOCK))):
        skipped += len(piece)
    held: list[bytes] = []
    size = 0
    failure: BadRow | None = None
    while True:
        try:
            piece = stream.read1(_BLOCK)
        except BadRow as bad:
            piece, failure = b"", bad
        held.append(piece)
        size += len(piece)
        if piece and size < _BLOCK:
            continue
        data = b"".join(held)
        whole = data.rfind(b"\n") + 1 if piece else len(data)
        if not whole and size > MAX_LINE:
            whole = len(data)
        if whole:
            yield (data[:whole].removeprefix(_MARK) if start == 0 else data[:whole]), whole
            start += whole
        if not piece:
            break
        held, size = [data[whole:]], len(data) - whole
    if failure is not None:
        raise failure


class _Parser:
    """Parses blocks of lines, each of them a comment as JSON."""

    def __init__(self, by: By) -> None:
        self._schema = COMMENTS[by]
        times = _TIMES if "created_utc" in FIELDS[by] else (pa.null(),)
        self._tried = [
            pa.schema([(f.name, kind if f.name == "created_utc" else f.type) for f in self._schema]) for kind in times
        ]

    def comments(self, block: bytes, dropped: Counter[str]) -> pa.RecordBatch:
        """The comments as they stand there; null for what is missing, or no text."""
        for schema in tuple(self._tried):
            try:
                table = pj.read_json(
                    pa.BufferReader(block),
                    pj.ReadOptions(use_threads=False, block_size=len(block) + 1),
                    pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
                )
                table.validate(full=True)  # Arrow takes bytes that are no UTF-8
                columns = [table[field.name].combine_chunks().cast(field.type) for field in self._schema]
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                continue
            self._tried.sort(key=schema.__ne__)  # the next block is likely to have the same
            return pa.RecordBatch.from_arrays(columns, schema=self._schema)
        return self._line_by_line(block, dropped)

    def _line_by_line(self, block: bytes, dropped: Counter[str]) -> pa.RecordBatch:
        rows = []
        for line in block.split(b"\n"):
            if line.strip():
                row = _object(line)
                if row is None:
                    dropped["json"] += 1
                else:
                    rows.append(row)
        columns: list[pa.Array] = []
        for field in self._schema:
            values = [row.get(field.name) for row in rows]
            columns.append(_times(values) if field.name == "created_utc" else texts([_text(value) for value in values]))
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        row = from_json(line)
        return row if isinstance(row, dict) else None
    except ValueError:
        return None


def _text(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _times(values: list[Any]) -> pa.Array:
    seconds: list[str | None] = []
    for value in values:
        try:
            seconds.append(str(int(float(value))))
        except (TypeError, ValueError, OverflowError):
            seconds.append(None)
    return texts(seconds).cast(pa.int64())


def chosen(raw: pa.RecordBatch, choice: Choice, dropped: Counter[str]) -> pa.RecordBatch:
    """The comments that the protocol keeps, with their text as seeds hold it. Each of the others is counted once."""

    def without(batch: pa.RecordBatch, out: NDArray[np.bool_], reason: str) -> pa.RecordBatch:
        if not out.any():
            return batch
        dropped[reason] += int(out.sum())
        return batch.filter(_mask(~out))

    names = [name for name in raw.schema.names if name != "parent_id"]
    missing = np.zeros(len(raw), np.bool_)
    for name in names:
        missing |= ~flags(raw[name].is_valid())
    batch = without(raw, missing, "missing_field")
    odd = np.zeros(len(batch), np.bool_)
    for name in names:
        if name not in ("body", "created_utc"):
            length = mapped(pc.utf8_length(batch[name]))
            odd |= (length == 0) | (length > _LONGEST_ID)
    batch = without(batch, odd, "missing_field")
    gone = flags(pc.is_in(batch["body"], value_set=_GONE)) | flags(pc.is_in(batch["author"], value_set=_GONE))
    batch = without(batch, gone, "deleted")
    batch = without(batch, mapped(pc.utf8_length(batch["body"])) > choice.most, "too_long")
    batch = _normalised(batch)
    batch = without(batch, mapped(pc.utf8_length(batch["body"])) < choice.least, "too_short")
    for name in ("id", "parent_id"):
        if name in batch.schema.names:
            batch = with_column(batch, name, _unmarked(batch[name]))
    return batch


def _mask(keep: NDArray[np.bool_]) -> pa.BooleanArray:
    return arrow(keep.view(np.uint8)).cast(pa.bool_())


def _normalised(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The comments with each run of white space as one space, and without control characters."""
    body = batch["body"]
    odd = odd_texts(body, MAX_LINE)
    if not odd.any():
        return batch
    mask = _mask(odd)
    clean = texts([text_of(text, MAX_LINE, "the body") for text in body.filter(mask).to_pylist()])
    return with_column(batch, "body", pc.replace_with_mask(body, mask, clean))


def _unmarked(ids: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pc.starts_with(ids, _COMMENT), pc.utf8_slice_codeunits(ids, len(_COMMENT)), ids)


def with_column(batch: pa.RecordBatch, name: str, column: pa.Array) -> pa.RecordBatch:
    """The batch with other values in a column."""
    columns = [column if field.name == name else batch[field.name] for field in batch.schema]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)
