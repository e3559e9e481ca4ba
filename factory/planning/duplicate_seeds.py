"""Which personas among the seeds nearly repeat an earlier one, so that planning can leave them out.

Signatures and what was found are kept beside the corpus in one file, in `_passes/`, which can be deleted at any time:
a persona is hashed once, and seeds that are added after the others are all that is compared. A seed takes some 150
bytes there and in memory (1 M seeds: 150 MB). Limitations: seeds that are put before others, or taken away, have all
seeds after them compared again; the file is written whole each time seeds are added.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from factory.base.minhash import BANDS, Indices, Signatures, algorithm, settle, signatures, similarities
from factory.methods.passes.near_duplicates import NearDuplicatesParams
from factory.planning.signatures import NAME, PASSES, SIGNATURE, as_column, from_column
from factory.seeds.store import Seeds
from factory.store.storage import Storage, on_scratch

FILE = f"{PASSES}/{NAME}/seeds.arrow"

_AT_ONCE = 1 << 14
_DAMAGED = (OSError, ValueError, KeyError, TypeError, pa.ArrowException)
_SCHEMA = pa.schema([("digest", pa.uint64()), ("leader", pa.int64()), ("signature", SIGNATURE)])


@dataclass(frozen=True, slots=True)
class DuplicateSeeds:
    """For each seed, in the order of the sources: the index of the earliest seed that it nearly repeats, its own if it
    repeats none, and the similarity of the two. Seeds that are dialogues repeat none."""

    leader: Indices
    similarity: NDArray[np.float32]

    @property
    def repeats(self) -> NDArray[np.bool_]:
        """Which seeds repeat an earlier one."""
        repeats: NDArray[np.bool_] = self.leader != np.arange(len(self.leader))
        return repeats


def duplicate_seeds(
    seeds: Seeds,
    storage: Storage,
    params: NearDuplicatesParams,
    report: Callable[[str, int], None] = lambda *_: None,
) -> DuplicateSeeds:
    """Find the personas that nearly repeat an earlier one in the order of the sources. Raises StorageError."""
    digests, recipe = seeds.facts_digests, params.recipe()
    with tempfile.TemporaryDirectory(prefix="seeds-") as folder:
        kept_digests, kept_leader, kept, by_this = _read(storage, Path(folder), recipe)
        signed = _signed(seeds, digests, kept_digests, kept, report)
        shorter = min(len(digests), len(kept_digests))
        same = int(np.argmin(np.append(digests[:shorter] == kept_digests[:shorter], False))) if by_this else 0
        leader = np.append(kept_leader[:same], np.arange(same, len(digests)))
        order = np.arange(len(digests))
        settle(
            lambda some: signed[some], order, leader, start=same, similarity=params.similarity,
            report=lambda count: report("seeds compared", count),
        )  # fmt: skip
        if same < len(digests) or len(kept_digests) != len(digests):
            _write(storage, Path(folder), recipe, [pa.array(digests), pa.array(leader), as_column(signed)])
    return DuplicateSeeds(leader, _similarity(signed, leader))


def _similarity(signed: Signatures, leader: Indices) -> NDArray[np.float32]:
    found = np.ones(len(leader), np.float32)
    repeats = np.flatnonzero(leader != np.arange(len(leader)))
    for start in range(0, len(repeats), _AT_ONCE):
        some = repeats[start : start + _AT_ONCE]
        found[some] = similarities(signed[some], signed[leader[some]])
    return found


def _signed(
    seeds: Seeds,
    digests: NDArray[np.uint64],
    kept_digests: NDArray[np.uint64],
    kept: Signatures,
    report: Callable[[str, int], None],
) -> Signatures:
    """The signatures of the seeds, of which those that are kept are not hashed again."""
    found: Signatures = np.empty((len(digests), BANDS), np.uint64)
    order = np.argsort(kept_digests)
    place = np.searchsorted(kept_digests, digests, sorter=order)
    known = place < len(order)
    known[known] = kept_digests[order[place[known]]] == digests[known]
    found[known] = kept[order[place[known]]]
    lacking = np.flatnonzero(~known)
    for start in range(0, len(lacking), _AT_ONCE):
        some = lacking[start : start + _AT_ONCE]
        taken = seeds.take(some)
        texts = ["" if seed.turns else " ".join(fact for own in seed.personas for fact in own) for seed in taken]
        found[some] = signatures(texts)
        report("seeds signed", start + len(some))
    return found


def _read(storage: Storage, folder: Path, recipe: str) -> tuple[NDArray[np.uint64], Indices, Signatures, bool]:
    """Digests, leaders and signatures that are kept, and whether those leaders were found by this recipe."""
    try:
        with pa.ipc.open_file(pa.memory_map(str(storage.local(FILE, folder)))) as reader:
            metadata, table = reader.schema.metadata, reader.read_all()
        if metadata[b"algorithm"].decode() != algorithm():
            raise ValueError(f"{FILE}: holds no signatures of this version")
        kept = np.concatenate([np.empty((0, BANDS), np.uint64), *map(from_column, table["signature"].chunks)])
        return table["digest"].to_numpy(), table["leader"].to_numpy(), kept, metadata[b"recipe"].decode() == recipe
    except _DAMAGED:  # or not there yet
        none = np.empty((0, BANDS), np.uint64)
        return np.empty(0, np.uint64), np.empty(0, np.int64), none, False


def _write(storage: Storage, folder: Path, recipe: str, columns: list[pa.Array]) -> None:
    schema = _SCHEMA.with_metadata({"algorithm": algorithm(), "recipe": recipe})
    here = folder / "written.arrow"
    with on_scratch(str(folder)), pa.OSFile(str(here), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    storage.keep(here, FILE)
