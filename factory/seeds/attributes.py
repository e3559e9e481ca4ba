"""Attributes of seeds as columns, for what looks at all seeds at once.

Limitations: of a seed of several speakers, the first one's; the contents of all seeds are read.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.base.arrays import mapped
from factory.seeds.store import Seeds


def attribute(seeds: Seeds, name: str) -> pa.StringArray:
    """The value of an attribute of each seed, null where it has none, in the order of the sources."""

    def of(batch: pa.RecordBatch) -> pa.StringArray:
        speakers = batch["speakers"]
        values = pc.map_lookup(speakers.values.field("attributes"), name, "first")
        some = pa.py_buffer(np.packbits(mapped(speakers.value_lengths()) > 0, bitorder="little"))
        first = np.ascontiguousarray(mapped(speakers.offsets)[:-1])
        return values.take(pa.Array.from_buffers(pa.int32(), len(batch), [some, pa.py_buffer(first)]))

    return seeds.told(of)


def attribute_names(seeds: Seeds) -> list[str]:
    """The names of all attributes that seeds have."""
    names = set[str]()

    def of(batch: pa.RecordBatch) -> pa.Array:
        names.update(pc.unique(batch["speakers"].values.field("attributes").keys).to_pylist())
        return pa.nulls(len(batch))

    seeds.told(of)
    return sorted(names)
