"""Plain rows of JSON Lines, many at once: an id, or none, a list of facts, and nothing else.

Arrow parses a block of lines; a row counts as plain only if `factory.seeds.source` would take its id and facts just as
they are. All others are handed back as lines, to be read with care. Limitations: a row in a block with one that has
other columns or kinds of values, is none, or stands with another on a line, is not plain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from numpy.typing import NDArray

from factory.base.arrays import arrow, mapped, offsets_of, text_keys
from factory.base.fingerprint import mix
from factory.seeds.fields import SeedFields
from factory.seeds.files import BadRow
from factory.seeds.lines import MAX_LINE
from factory.seeds.values import MAX_FACT, MAX_FACTS, MAX_ID

Lines = list[tuple[int, str]]

_BLOCK, _BLOCK_CHARACTERS = 4096, 1 << 23
"""Lines parsed together, and the characters after which a block of fewer ends."""
_ODD = r"^$|^ | $|  |[\x00-\x1f\x7f-\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
"""In a string that is changed when it is normalised: white space but for single spaces within, control characters."""


@dataclass(frozen=True, slots=True)
class PlainRows:
    """Rows as columns: their lines, ids (null for none), and facts, as lists of strings."""

    lines: NDArray[np.int64]
    ids: pa.StringArray
    facts: pa.ListArray

    def __len__(self) -> int:
        return len(self.lines)


class PlainReader:
    """Takes the plain rows out of blocks of lines."""

    def __init__(self, fields: SeedFields) -> None:
        self._id = fields.id or "id"
        self._must_have_id = fields.id is not None
        self._facts = fields.facts_columns
        names = [self._id, *self._facts, fields.name, "turns"]
        others = fields.speaker or fields.partner or fields.opening or fields.attributes is not None
        self._usable = not others and len(set(names)) == len(names)
        self.usual = fields == SeedFields()
        self._kinds = [pa.string(), pa.int64()]

    def read(self, block: Lines) -> tuple[PlainRows | None, Lines]:
        """The plain rows of a block, if any, and the lines of all others."""
        table = self._parsed(block) if self._usable else None
        if table is None:
            return None, block
        held = [name for name in self._facts if table[name].null_count < len(table)]
        if len(held) != 1:
            return None, block
        ids, facts = (table[name].combine_chunks() for name in (self._id, held[0]))
        ids, lines = ids.cast(pa.string()), np.array([line for line, _ in block], np.int64)
        odd = self._odd_ids(ids) | _odd_lists(facts)
        if not odd.any():
            return PlainRows(lines, ids, facts), []
        plain = arrow(np.flatnonzero(~odd))
        rest = [block[place] for place in np.flatnonzero(odd)]
        return (PlainRows(lines[~odd], ids.take(plain), facts.take(plain)) if len(plain) else None), rest

    def _parsed(self, block: Lines) -> pa.Table | None:
        """The rows, one a line, unless one of them has something else than ids and lists of strings."""
        try:
            data = "".join([text for _, text in block]).replace("\r\n", "\n").rstrip("\n").encode()
        except UnicodeEncodeError:
            return None
        # Else Arrow might see other rows than there are lines.
        ends = data.count(b"\n")
        alone = data[:1] == b"{" and data[-1:] == b"}" and data.count(b"}\n{") == ends == len(block) - 1
        if not alone or b"\r" in data or len(data) >= MAX_LINE:
            return None
        for kind in tuple(self._kinds):
            schema = pa.schema([(self._id, kind), *((name, pa.list_(pa.string())) for name in self._facts)])
            try:
                table = pj.read_json(
                    pa.BufferReader(data),
                    pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
                    pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
                )
            except pa.ArrowInvalid:
                continue
            self._kinds.sort(key=kind.__ne__)  # the next block is likely to have the same
            return table if len(table) == len(block) else None
        return None

    def _odd_ids(self, ids: pa.StringArray) -> NDArray[np.bool_]:
        if ids.null_count == len(ids):
            return np.full(len(ids), self._must_have_id)
        odd = odd_texts(ids, MAX_ID)
        return odd if self._must_have_id else odd & flags(ids.is_valid())


def _odd_lists(lists: pa.ListArray) -> NDArray[np.bool_]:
    """Lists that are null, empty or too long, or hold an odd string or one twice."""
    offsets, values = mapped(lists.offsets), lists.values
    lengths = np.diff(offsets)
    of_list = np.repeat(np.arange(len(lists)), lengths)
    odd = odd_texts(values, MAX_FACT)
    said = mix(text_keys("plain", values), of_list.astype(np.uint64))
    order = np.argsort(said)
    odd[order[1:]] |= said[order[1:]] == said[order[:-1]]
    found = np.diff(offsets_of(odd)[offsets]) > 0
    return np.asarray(found | (lengths == 0) | (lengths > MAX_FACTS) | ~flags(lists.is_valid()))


def odd_texts(texts: pa.StringArray, longest: int) -> NDArray[np.bool_]:
    """Strings that are null, too long, or changed when they are normalised."""
    # A null reads as empty then; a scalar to fill it with would import pandas.
    held = pa.StringArray.from_buffers(len(texts), *texts.buffers()[1:], offset=texts.offset)
    return np.asarray(flags(pc.match_substring_regex(held, _ODD)) | (mapped(pc.utf8_length(held)) > longest))


def flags(array: pa.BooleanArray) -> NDArray[np.bool_]:
    """The values of an array without nulls."""
    return np.asarray(mapped(array.cast(pa.uint8())), np.bool_)


def blocks(lines: Iterator[tuple[int, str]]) -> Iterator[Lines]:
    """The lines that are not blank, many at once, and of one in pieces the first. Raises what the lines raise, once all
    before that are handed on."""
    block: Lines = []
    last = size = 0
    try:
        for line in lines:
            if line[0] == last or line[1].isspace():
                continue
            last = line[0]
            block.append(line)
            size += len(line[1])
            if len(block) == _BLOCK or size > _BLOCK_CHARACTERS:
                yield block
                block, size = [], 0
    except BadRow:
        if block:
            yield block
        raise
    if block:
        yield block
