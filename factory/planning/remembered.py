"""The last comparison of a corpus, kept beside its ledger, for a plan that would come to the very same.

A plan that follows another of the same seeds, job and rows (`run` after `plan`, or a nightly run with nothing new) need
not hash millions of slots again. What was compared is named by a key over all that the comparison reads: the files of
the seeds, what is left out of them, the pairing, the recipes, the committed shards and the files of the ledger.
Limitations: one comparison is kept, the last, and none of more than 131,072 differing rows; seeds behind https:// are
compared each time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pyarrow as pa

from factory.base.arrays import arrow, lists, mapped
from factory.base.fingerprint import blake
from factory.methods.registry import found
from factory.planning.compare import Compared, ToDrop, ToMake, compare
from factory.planning.ledger import LEDGER, Ledger
from factory.planning.wanted import Wanted
from factory.spec.identity import KINDS
from factory.store.storage import ReadOnlyError

REMEMBERED = f"{LEDGER}.compared"
_VERSION = 1
"""Raised when slots would be paired, drawn or compared otherwise."""
_MOST_ROWS = 1 << 17
"""Differing rows that are kept at most, about 6 MB."""

_SCHEMA = pa.schema(
    [
        *((f"make.{name}", pa.list_(kind)) for name, kind in (
            ("first", pa.int32()), ("second", pa.int32()), ("sample", pa.int32()), ("slot", pa.uint64()),
            ("shard", pa.int32()), ("chain", pa.int32()), ("todo", pa.int64()), ("refresh", pa.uint8()),
            ("reason", pa.int32()),
        )),
        *((f"drop.{name}", pa.list_(kind)) for name, kind in (
            ("slot", pa.uint64()), ("shard", pa.int32()), ("reason", pa.int32()),
        )),
    ]
)  # fmt: skip
"""One row: each array of the comparison is a list."""


def compared(
    wanted: Wanted, ledger: Ledger, report: Callable[[str, int], None] = lambda *_: None, *, retry: bool = False
) -> Compared:
    """What `compare` finds, from the last time if nothing that it reads has changed since."""
    key = _key(wanted, ledger, retry)
    known = _recall(ledger, key) if key else None
    if known is not None:
        return known
    new = compare(wanted, ledger, report, retry=retry)
    if key and len(new.make) + len(new.drop) <= _MOST_ROWS:
        with suppress(ReadOnlyError):  # the next plan then compares again
            ledger.corpus.storage.write_arrow(REMEMBERED, _table(new, key))
    return new


def _key(wanted: Wanted, ledger: Ledger, retry: bool) -> str | None:
    """A hash over all that the comparison reads; none if the seeds cannot be told from others without reading them."""
    if wanted.seeds.identity is None:
        return None
    return blake(
        str(_VERSION),
        wanted.seeds.identity,
        hashlib.blake2b(wanted.left_out.tobytes()).hexdigest(),
        wanted.job.pairing.model_dump_json(),
        *(recipe.model_dump_json() for kind in KINDS for recipe in wanted.making.recipes[kind]),
        json.dumps(sorted(found("makers"))),
        str(wanted.donated),
        "" if wanted.donors is None else wanted.donors.identity,
        json.dumps([shard.path for shard in ledger.shards]),
        json.dumps(ledger.files),
        str(retry),
    )


def _table(new: Compared, key: str) -> pa.Table:
    arrays = {
        f"{part}.{name}": getattr(rows, name)
        for part, rows in (("make", new.make), ("drop", new.drop))
        for name in (field.partition(".")[2] for field in _SCHEMA.names if field.startswith(f"{part}."))
    }
    columns = [
        lists(np.array([0, len(array)]), arrow(array.astype(np.uint8) if array.dtype == np.bool_ else array))
        for array in arrays.values()
    ]
    metadata = {"key": key, "reasons": json.dumps(new.reasons)}
    return pa.table(columns, schema=_SCHEMA.with_metadata(metadata))


def _recall(ledger: Ledger, key: str) -> Compared | None:
    """The comparison of this key, if it is the one that was kept."""
    try:
        table = ledger.corpus.storage.read_arrow(REMEMBERED)
        told = table.schema.metadata
        if told[b"key"].decode() != key:
            return None
        arrays = {name: np.array(mapped(table[name].combine_chunks().values)) for name in _SCHEMA.names}
        reasons = list(map(str, json.loads(told[b"reasons"])))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):  # none yet, or damaged: it is made again
        return None
    arrays["make.refresh"] = arrays["make.refresh"].astype(np.bool_)
    make, drop = ([array for name, array in arrays.items() if name.startswith(part)] for part in ("make.", "drop."))
    return Compared(ToMake(*make), ToDrop(*drop), reasons)
