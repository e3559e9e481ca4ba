"""Plain dialogues of Parquet, many at once: an id, turns of speakers 0 and 1, their ids, and no other column.

That is what `factory threads` writes. A row counts as plain only if `factory.seeds.source` would take it just as it is;
all others are read with care. Limitations: a file with any other column, or other types, has no plain rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from factory.base.arrays import arrow, mapped, offsets_of
from factory.seeds.plain import PlainRows, flags, odd_texts
from factory.seeds.values import MAX_ID, MAX_TURN, MAX_TURNS

TURN = pa.struct([("speaker", pa.int32()), ("text", pa.string())])
SPEAKER = pa.struct([("id", pa.string())])
DIALOGUES = pa.schema([("id", pa.string()), ("turns", pa.list_(TURN)), ("speakers", pa.list_(SPEAKER))])


@dataclass(frozen=True, slots=True)
class PlainDialogues:
    """Dialogues as columns: the numbers of their rows, and columns of DIALOGUES."""

    lines: NDArray[np.int64]
    rows: pa.RecordBatch

    def __len__(self) -> int:
        return len(self.lines)


PLAIN = (PlainRows, PlainDialogues)


def plain_dialogues(batch: pa.RecordBatch, first: int) -> tuple[PlainDialogues | None, list[int]]:
    """The plain rows of a batch, if any, and the places of all others; `first` is the number of its first row."""
    batch = batch.select(DIALOGUES.names)
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:  # a string is not UTF-8
        return None, list(range(len(batch)))
    plain = ~(_odd_dialogues(batch["turns"]) | _odd_speakers(batch["speakers"]) | _odd(batch["id"], MAX_ID))
    places = np.flatnonzero(plain)
    if not len(places):
        return None, list(range(len(batch)))
    rows = batch if len(places) == len(batch) else batch.take(arrow(places))
    return PlainDialogues(first + places, rows), np.flatnonzero(~plain).tolist()


def _odd(texts: pa.StringArray, longest: int) -> NDArray[np.bool_]:
    return ~flags(texts.is_valid()) | odd_texts(texts, longest)


def _odd_dialogues(turns: pa.ListArray) -> NDArray[np.bool_]:
    """Dialogues that are null, too short or long, of others than speakers 0 and 1, or with an odd text."""
    offsets, values = mapped(turns.offsets), turns.values
    speaker, text = values.field("speaker"), values.field("text")
    if not len(speaker):
        return np.ones(len(turns), np.bool_)
    number = np.frombuffer(speaker.buffers()[1], np.int32)[speaker.offset : speaker.offset + len(speaker)]
    known = flags(values.is_valid()) & flags(speaker.is_valid()) & ((number == 0) | (number == 1))
    of_both, of_one = offsets_of(known)[offsets], offsets_of(known & (number == 1))[offsets]
    lengths, ones = np.diff(offsets), np.diff(of_one)
    odd = offsets_of(_odd(text, MAX_TURN))[offsets]
    few = (lengths < 2) | (lengths > MAX_TURNS) | (ones == 0) | (ones == lengths)
    return np.asarray(few | (np.diff(of_both) < lengths) | (np.diff(odd) > 0) | ~flags(turns.is_valid()))


def _odd_speakers(speakers: pa.ListArray) -> NDArray[np.bool_]:
    """Speakers that are not two with an id each."""
    offsets, values = mapped(speakers.offsets), speakers.values
    odd = offsets_of(_odd(values.field("id"), MAX_ID) | ~flags(values.is_valid()))[offsets]
    return np.asarray((np.diff(offsets) != 2) | (np.diff(odd) > 0) | ~flags(speakers.is_valid()))
