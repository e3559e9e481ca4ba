"""The ledger: what is committed, row by row, in 60 bytes each.

For each committed row it holds the keys of its seeds' ids, its sample, the keys of what went into it, the recipes it
was made by and the shard it stands in; so a plan compares millions of rows without opening a shard. It is a cache
beside the corpus, in `_ledger/`: whatever it lacks is read from the shards, and it can be deleted at any time. It is
kept as a few files sorted by the first seed's point on the ring, each over some shards, which are mapped into memory
and let go of again, a range at a time. Limitations: a corpus whose ledger is lost is read once, those columns of every
shard; one that may only be read, each time, as far as its ledger does not tell.
"""

from __future__ import annotations

import json
import mmap
import tempfile
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from factory.base.arrays import arrow, mapped, offsets_of, text_keys, texts
from factory.base.fingerprint import Keys, mix, ring_points
from factory.planning.wanted import donor_keys, input_keys, slot_keys
from factory.seeds.columns import digest_keys, fact_keys, said_keys, seed_keys
from factory.spec.identity import INPUTS
from factory.spec.job import SELECT
from factory.store.corpus import Corpus
from factory.store.records import PARTS
from factory.store.shards import Shard
from factory.store.storage import ReadOnlyError, on_scratch

LEDGER = "_ledger/5"
"""Numbered by how keys are made: one that is made otherwise must not be compared with those of before."""

_ROWS_AT_ONCE = 1 << 20
_SHARDS_AT_ONCE = 16
"""Shards whose entries are made at once: of small ones that takes half the time of one after the other."""
_RANGE = 1 << 16
"""Rows that are compared at once, about."""
_MOST_FILES = 8
"""Files after which all are made one."""

_READ = (
    "sample",
    "seeds.list.element.id",
    "seeds.list.element.digests",
    "donors.list.element.list.element.source_id",
    "donors.list.element.list.element.text",
    "stages.list.element.stage",
    "stages.list.element.recipe",
    "stages.list.element.failed",
)
"""Columns and, of nested ones, the fields in them that entries are made of."""

_REPEATED = ("stages.list.element.stage", "stages.list.element.recipe")

_SCHEMA = pa.schema(
    [
        ("first", pa.uint64()),
        ("second", pa.uint64()),
        ("sample", pa.int32()),
        *((name, pa.uint64()) for name in INPUTS),
        ("chain", pa.int32()),
        ("shard", pa.int32()),
    ]
)


Chain = tuple[tuple[str, str, bool], ...]
"""What a row was made by: each entry's name and recipe, and whether it failed."""


@dataclass(frozen=True, slots=True)
class Entries:
    """Committed rows as arrays: keys of the seeds' ids, sample, keys of what went in (INPUTS), and indices of the
    recipes' chain and of the shard."""

    first: Keys
    second: Keys
    sample: NDArray[np.int32]
    facts: Keys
    turns: Keys
    attributes: Keys
    donors: Keys
    chain: NDArray[np.int32]
    shard: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def inputs(self) -> Keys:
        """Keys of what went in, shape (inputs, rows)."""
        return np.stack([getattr(self, name) for name in INPUTS])

    @property
    def slot(self) -> Keys:
        """Keys of the slots."""
        return slot_keys(self.first, self.second, self.sample)

    def at(self, which: NDArray[np.generic] | slice) -> Entries:
        """Some of them."""
        return Entries(*(getattr(self, name)[which] for name in self.__slots__))


_NONE = Entries(*(np.empty(0, field.type.to_pandas_dtype()) for field in _SCHEMA))


def join(parts: Sequence[Entries]) -> Entries:
    """All of them, one part after the other."""
    return Entries(*(np.concatenate([getattr(part, name) for part in (_NONE, *parts)]) for name in _SCHEMA.names))


def ranges(rows: int) -> Iterator[tuple[int, int]]:
    """Ranges of points on the ring, first and last, that hold about as many of so many rows each."""
    parts = 1 << max(0, (rows - 1) // _RANGE).bit_length()
    width = (1 << 64) // parts
    for part in range(parts):
        yield part * width, (part + 1) * width - 1


@dataclass(frozen=True, slots=True)
class _File:
    """Entries sorted by the first seed's point, mapped into `memory` part by part, and the point that each part begins
    with; what their `chain` and `shard` are in this ledger, the shard -1 where it is gone or told by another file."""

    path: str
    memory: mmap.mmap
    parts: list[Entries]
    begins: list[int]
    chains: NDArray[np.int32]
    shards: NDArray[np.int32]


class Ledger:
    """The ledger of a corpus. `shards` are the committed shards, `chains` what rows were made by: for each entry that
    they went through, its name and recipe, and whether it failed."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self._folder = tempfile.TemporaryDirectory(prefix="ledger-", ignore_cleanup_errors=True)
        self._files: list[_File] = []
        self._renamed: tuple[Keys, NDArray[np.int32]] = np.empty(0, np.uint64), np.empty(0, np.int32)
        self.shards: list[Shard] = []
        self.chains: list[Chain] = []
        self._numbers: dict[Chain, int] = {}

    def __len__(self) -> int:
        return sum(shard.rows for shard in self.shards)

    @property
    def files(self) -> list[str]:
        """The files it is kept in, each of which never changes."""
        return [file.path for file in self._files]

    def sync(self, report: Callable[[str, int], None] = lambda *_: None) -> None:
        """Bring the ledger up to the newest version of the corpus. Raises CorpusError."""
        self.shards = self.corpus.table.shards()
        self._files = []
        lacking = {shard.path: place for place, shard in enumerate(self.shards)}
        for path in self.corpus.storage.list(LEDGER):
            try:
                self._open(path, self.corpus.storage.local(path, Path(self._folder.name)), lacking)
            except FileNotFoundError:  # another run has just made one file of all
                continue
            except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):  # damaged: the shards tell it again
                self._delete(path)
        read = 0
        while lacking:
            batch: list[Entries] = []
            told: list[int] = []
            while lacking and sum(map(len, batch)) < _ROWS_AT_ONCE:
                some = [lacking.popitem()[1] for _ in range(min(_SHARDS_AT_ONCE, len(lacking)))]
                batch.append(self._entries(some))
                told += some
                read += len(batch[-1])
                report("rows indexed", read)
            self._write([join(batch)], told)
        if len(self._files) > _MOST_FILES:
            self.compact()

    def between(self, low: int, high: int) -> Entries:
        """The entries whose first seed's point is between `low` and `high`, both included."""
        found = []
        for file in self._files:
            # Entries of one point may lie in two parts, so the one that ends where `low` begins counts.
            for part in file.parts[max(0, bisect_left(file.begins, low) - 1) : bisect_right(file.begins, high)]:
                points = ring_points(part.first)
                start = np.searchsorted(points, np.uint64(low))
                some = part.at(slice(start, np.searchsorted(points, np.uint64(high), side="right")))
                shard = file.shards[some.shard]
                some = replace(some, shard=shard, chain=file.chains[some.chain]).at(shard >= 0)
                found.append(replace(some, chain=self._present_chain(some)))
            # What was copied need not stay in memory; the pages are read again where another range shares them.
            file.memory.madvise(mmap.MADV_DONTNEED)
        return join(found)

    def chain(self, made: Chain) -> int:
        """The index of a chain."""
        if made not in self._numbers:
            self._numbers[made] = len(self.chains)
            self.chains.append(made)
        return self._numbers[made]

    def redecide(self, slots: Keys, chains: NDArray[np.int32], recipe: str) -> None:
        """Take rows, which were made by these chains, as decided by another recipe of `select`: it would leave them
        just as they are."""
        held, which = np.unique(chains, return_inverse=True)
        decided = [
            self.chain(tuple((name, recipe if name == SELECT else one, bad) for name, one, bad in self.chains[number]))
            for number in held.tolist()
        ]
        slots = np.concatenate([self._renamed[0], slots])
        order = np.argsort(slots)
        self._renamed = slots[order], np.concatenate([self._renamed[1], np.array(decided, np.int32)[which]])[order]
        self.keep_renamed()

    def keep_renamed(self) -> None:
        """Have the file tell what was renamed, once the recipes are kept: without them nobody could say what sets those
        rows apart from others."""
        recipes = {recipe for chain in np.unique(self._renamed[1]) for _, recipe, _ in self.chains[chain]}
        if recipes and all(self.corpus.recipe(recipe) is not None for recipe in recipes):
            self.compact()

    def _present_chain(self, part: Entries) -> NDArray[np.int32]:
        slots, chains = self._renamed
        if not len(slots):
            return part.chain
        place = np.minimum(np.searchsorted(slots, part.slot), len(slots) - 1)
        return np.where(slots[place] == part.slot, chains[place], part.chain)

    def compact(self) -> None:
        """Make one file of all, with what was renamed."""
        old = [file.path for file in self._files]
        by_point = (self.between(*part) for part in ranges(len(self)))
        self._write(by_point, range(len(self.shards)))
        self._files = self._files[-1:]
        self._renamed = self._renamed[0][:0], self._renamed[1][:0]
        for path in old:
            self._delete(path)

    def _delete(self, path: str) -> None:
        with suppress(ReadOnlyError):  # it then stays, and is passed over as it is now
            self.corpus.storage.delete(path)

    def _open(self, path: str, local: Path, lacking: dict[str, int]) -> None:
        """Open a file, which is `local` on this disk, and take the shards that it tells of off `lacking`."""
        with local.open("rb") as file:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        reader = pa.ipc.open_file(pa.py_buffer(memory))
        told = json.loads(reader.schema.metadata[b"shards"])
        chains = json.loads(reader.schema.metadata[b"chains"])
        batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
        parts = [Entries(*(mapped(column) for column in batch.columns)) for batch in batches]
        begins = [int(ring_points(part.first[:1])[0]) for part in parts]
        made = [tuple((str(name), str(recipe), bool(failed)) for name, recipe, failed in chain) for chain in chains]
        found = np.array([self.chain(chain) for chain in made], np.int32)
        # Last, since nothing may fail between this and the file's being one of the ledger's.
        shards = np.array([lacking.pop(shard, -1) for shard in map(str, told)], np.int32)
        self._files.append(_File(path, memory, parts, begins, found, shards))

    def _write(self, parts: Iterable[Entries], told: Sequence[int]) -> None:
        """Write the entries of these shards, in parts that follow one another, as a file of their own, and open it."""
        place = np.full(len(self.shards), -1, np.int32)
        place[told] = np.arange(len(told), dtype=np.int32)
        paths = [self.shards[number].path for number in told]
        metadata = {"shards": json.dumps(paths), "chains": json.dumps(self.chains)}
        name = f"{uuid.uuid4().hex}.arrow"
        path, written = f"{LEDGER}/{name}", Path(self._folder.name) / name
        schema = _SCHEMA.with_metadata(metadata)
        with (
            on_scratch(self._folder.name),
            pa.OSFile(str(written), "wb") as file,
            pa.ipc.new_file(file, schema) as writer,
        ):
            for part in parts:
                order = np.argsort(ring_points(part.first), kind="stable")
                for start in range(0, len(part), _RANGE):
                    some = part.at(order[start : start + _RANGE])
                    some = replace(some, shard=place[some.shard])
                    arrays = [arrow(getattr(some, column)) for column in _SCHEMA.names]
                    writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        if self.corpus.storage.keep(written, path):
            written.unlink()
            written = self.corpus.storage.local(path, Path(self._folder.name))
        self._open(path, written, {self.shards[number].path: number for number in told})

    def _entries(self, numbers: Sequence[int]) -> Entries:
        """The entries of shards, from their rows."""
        tables = [self.corpus.table.read(self.shards[number], _READ, dictionaries=_REPEATED) for number in numbers]
        table = pa.concat_tables(tables)
        seeds = _column(table, "seeds")
        ends = mapped(seeds.offsets)
        first, last = ends[:-1], ends[1:] - 1
        keys = seed_keys(seeds.values.field("id"))
        digests = digest_keys(seeds.values.field("digests").values).reshape(-1, len(PARTS)).T
        return Entries(
            first=keys[first],
            second=keys[last],
            sample=mapped(_column(table, "sample")),
            **{part: input_keys(keys[first], keys[last]) for part, keys in zip(PARTS, digests, strict=True)},
            donors=_donors(_column(table, "donors")),
            chain=self._chains_of(_column(table, "stages")),
            shard=np.repeat(np.array(numbers, np.int32), [len(one) for one in tables]),
        )

    def _chains_of(self, stages: pa.ListArray) -> NDArray[np.int32]:
        flat, ends = stages.values, mapped(stages.offsets)
        failed = mapped(flat.field("failed").is_valid().cast(pa.uint64()))
        entries = mix(_repeated("stage", flat.field("stage")), _repeated("recipe", flat.field("recipe")), failed)
        sums = _sums(mix(_within(np.diff(ends)), entries), ends)
        _, examples, which = np.unique(sums, return_index=True, return_inverse=True)
        told = stages.take(arrow(examples)).to_pylist()
        chains = [tuple((one["stage"], one["recipe"], one["failed"] is not None) for one in made) for made in told]
        return np.array([self.chain(chain) for chain in chains], np.int32)[which]


def _repeated(kind: str, strings: pa.DictionaryArray) -> Keys:
    """Keys of strings of which each stands there many times."""
    return np.asarray(text_keys(kind, strings.dictionary)[mapped(strings.indices)])


def _column(table: pa.Table, name: str) -> pa.Array:
    """A column, as one array."""
    return table[name].combine_chunks()


SLOT_COLUMNS = ("row_id", "sample", "seeds")


def slots_by_id(table: pa.Table) -> dict[int, str]:
    """Row ids by the keys of their slots, of a table with SLOT_COLUMNS."""
    ids = [(seeds[0]["id"], seeds[-1]["id"]) for seeds in table["seeds"].to_pylist()]
    slots = slots_of(ids, table["sample"].to_pylist())
    return dict(zip(slots.tolist(), table["row_id"].to_pylist(), strict=True))


def slots_of(seeds: Sequence[tuple[str, str]], samples: Sequence[int]) -> Keys:
    """Keys of slots by the ids of their first and last seeds and their samples."""
    return slot_keys(
        seed_keys(texts([first for first, _ in seeds])),
        seed_keys(texts([second for _, second in seeds])),
        np.array(samples, np.int32),
    )


def _donors(donors: pa.ListArray) -> Keys:
    """Keys of the donors' facts of each row: its sides' lists of facts."""
    sides = donors.values
    facts = sides.values
    of_row, of_side = mapped(donors.offsets), mapped(sides.offsets)
    keys = donor_keys(
        np.repeat(_within(np.diff(of_row)), np.diff(of_side)),
        _within(np.diff(of_side)),
        said_keys(seed_keys(facts.field("source_id")), fact_keys(facts.field("text"))),
    )
    return _sums(keys, of_side[of_row])


def _sums(keys: Keys, ends: NDArray[np.integer]) -> Keys:
    """Sums of keys from each end to the next."""
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(keys)])
    return np.asarray(sums[ends[1:]] - sums[ends[:-1]])


def _within(lengths: NDArray[np.integer]) -> Keys:
    """0, 1, ... up to each length, one after the other."""
    offsets = offsets_of(lengths)
    return (np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)).astype(np.uint64)
