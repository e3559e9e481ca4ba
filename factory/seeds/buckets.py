"""Rows by bucket: files of which each bucket's part can be read by itself.

A file begins with the places where the parts of its buckets begin, and where the last ends (8 bytes each, little
endian); a part is an Arrow stream, and nothing where no row is of that bucket. Limitations: a file is held in memory
while it is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from factory.base.arrays import arrow, text_keys

_PLACE = np.dtype("<u8")
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


def packed(batches: Sequence[pa.RecordBatch], schema: pa.Schema, by: str, buckets: int) -> pa.Buffer:
    """Rows, each in the bucket of the hash of its column `by`, in the order in which they come."""
    table = pa.Table.from_batches(batches, schema).combine_chunks()
    bucket = np.concatenate([text_keys(by, batch[by]) for batch in batches]) % np.uint64(buckets)
    order = np.argsort(bucket, kind="stable")
    table = table.take(arrow(order))
    begins = np.searchsorted(bucket[order], np.arange(buckets + 1, dtype=np.uint64))
    head = _PLACE.itemsize * (buckets + 1)
    places, parts = np.full(buckets + 1, head, _PLACE), pa.BufferOutputStream()
    for number in range(buckets):
        if begins[number] < begins[number + 1]:
            rows = table.slice(begins[number], begins[number + 1] - begins[number])
            with pa.ipc.new_stream(parts, schema, options=_OPTIONS) as writer:
                writer.write_table(rows)
        places[number + 1] += parts.tell()
    whole = pa.BufferOutputStream()
    whole.write(places.tobytes())
    whole.write(parts.getvalue())
    return whole.getvalue()


def part(file: Any, bucket: int) -> pa.Table | None:
    """The rows of a bucket in an open file; none if there are none."""
    begin, end = np.frombuffer(file.read_at(2 * _PLACE.itemsize, bucket * _PLACE.itemsize), _PLACE)
    if begin == end:
        return None
    with pa.ipc.open_stream(file.read_at(int(end - begin), int(begin))) as reader:
        return reader.read_all()
