"""Arrow's arrays and numpy's: the one as the other without a copy, texts as arrays, and keys of texts by the million.

None of it imports pandas, which `to_numpy` and `pyarrow.array` do, at the cost of a second. Limitations: a key has 64
bits and is no cryptographic hash: texts can be made to share one; two of a million do with a probability of 3e-8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from factory.base.fingerprint import Keys, key, mix

_AT_ONCE = 1 << 12
"""Texts whose keys are made at once: what that takes fits a processor's cache."""
_WORD = 8
_FIRST_BYTES = np.array([(1 << 8 * count) - 1 for count in range(_WORD)], np.uint64)
"""Masks of the first bytes of a word, by how many."""


def mapped(column: pa.Array) -> Any:
    """An Arrow array without nulls as one of numpy's; nothing is copied."""
    return np.from_dlpack(column)


def arrow(array: NDArray[Any]) -> pa.Array:
    """A numpy array as one of Arrow's; nothing is copied."""
    array = np.ascontiguousarray(array)
    return pa.Array.from_buffers(pa.from_numpy_dtype(array.dtype), len(array), [None, pa.py_buffer(array)])


def texts(values: Sequence[str | None]) -> pa.StringArray:
    """Strings as an array. Raises ArrowInvalid if they have more than 2 GiB."""
    encoded = [b"" if value is None else value.encode() for value in values]
    offsets = arrow(offsets_of([len(one) for one in encoded])).cast(pa.int32())
    valid = pa.py_buffer(np.packbits(np.array([one is not None for one in values], np.bool_), bitorder="little"))
    return pa.StringArray.from_buffers(len(encoded), offsets.buffers()[1], pa.py_buffer(b"".join(encoded)), valid)


def offsets_of(lengths: Any) -> NDArray[np.int64]:
    """Where lists of these lengths begin, one after the other, and where the last ends."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def lists(offsets: NDArray[Any], values: pa.Array) -> pa.ListArray:
    """Lists of values, by where they begin. Raises ArrowInvalid if there are more than 2³¹ values."""
    return pa.ListArray.from_arrays(arrow(offsets).cast(pa.int32()), values)


def text_keys(kind: str, strings: pa.StringArray) -> Keys:
    """A key for each string of an array without nulls; equal strings of different kinds have different ones.

    The words of a string, 8 bytes each, are mixed with their places and added up (as in Zobrist's hashing), and mixed
    with the string's length. Keys are kept, so they are the same on all machines and in all versions.
    """
    if not len(strings):
        return np.empty(0, np.uint64)
    offsets, data = strings.buffers()[1:]
    ends = np.frombuffer(offsets, np.int32)[strings.offset : strings.offset + len(strings) + 1].astype(np.int64)
    begin, end = int(ends[0]), int(ends[-1])
    # With one word more, so that the last one of the last string can be read whole.
    padded = np.zeros(end - begin + _WORD, np.uint8)
    if data is not None:
        padded[: end - begin] = np.frombuffer(data, np.uint8)[begin:end]
    words = np.ndarray((len(padded) - _WORD + 1,), "<u8", padded, strides=(1,))
    starts, lengths, sums = ends[:-1] - begin, np.diff(ends), np.empty(len(strings), np.uint64)
    for some in (slice(start, start + _AT_ONCE) for start in range(0, len(strings), _AT_ONCE)):
        sums[some] = _sums(words, starts[some], lengths[some])
    return mix(key(kind), lengths.astype(np.uint64), sums)


def _sums(words: NDArray[np.uint64], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Keys:
    """For each string the sum of its mixed words; the last holds what bytes are left, which may be none."""
    counts = lengths // _WORD + 1
    firsts = offsets_of(counts)
    places = np.arange(firsts[-1]) - np.repeat(firsts[:-1], counts)
    read = words[np.repeat(starts, counts) + places * _WORD]
    read[firsts[1:] - 1] &= _FIRST_BYTES[lengths % _WORD]
    return np.add.reduceat(mix(mix(np.arange(counts.max(), dtype=np.uint64))[places] ^ read), firsts[:-1])
