"""The seeds of a job as arrays, in files that are mapped into memory.

A file of seeds is parsed once and kept beside the corpus, in `_seeds/`, under a name that changes with the file; so a
plan over millions of seeds reads only the files that changed. What planning compares of all of them is kept there too,
sorted once, under a name that changes with any of the files. Limitations: a new file sorts all seeds again, in memory;
one row more in a large file parses all of it again (add seeds as a file of their own); files behind https:// are
parsed, and sorted with all others, each time; and so is all where the corpus may only be read.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from operator import ne
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from factory.base.arrays import arrow, mapped, offsets_of
from factory.base.fingerprint import Indices, Keys, blake, ring_points
from factory.seeds.columns import CONTENT, DIGESTS, KEYS, content_of, keys_of, said_keys
from factory.seeds.files import SeedFile, stamp
from factory.seeds.made import MadeSource, files_of
from factory.seeds.plain import PlainRows
from factory.seeds.plain_dialogues import PLAIN, PlainDialogues
from factory.seeds.source import BadSeed, SeedSource, read_blocks
from factory.store.records import OF_CORPUS, PARTS, Seed, SeedSpeaker, place_of
from factory.store.storage import Storage, on_scratch

SEEDS = "_seeds"
_VERSION = 9
"""Raised when a file would be read differently."""
_SORTED_VERSION = 6
"""Raised when seeds would be sorted or keyed differently."""

_BATCH = 4096
"""Seeds kept together, about."""
_SORTED_AT_ONCE = 1 << 16
_DAMAGED = (OSError, ValueError, KeyError, TypeError, pa.ArrowException)
"""What reading a file raises that is not there or damaged."""

_FILES = (".content.arrow", ".told.json", ".keys.arrow")
"""The files of a seed file, the keys last: where they are, all is. What is told are its bad seeds, and what of it could
not be kept."""

_SORTED = pa.schema(
    [
        ("point", pa.uint64()),
        ("key", pa.uint64()),
        ("digests", DIGESTS),
        ("seed", pa.int32()),
        ("characters", pa.int32()),
        ("turns", pa.int32()),
        ("pair", pa.int8()),
        ("facts", pa.large_list(pa.uint64())),
        ("partners", pa.large_list(pa.uint64())),
    ]
)


@dataclass(frozen=True, slots=True)
class Sorted:
    """Seeds in the order of their points on the ring, as arrays mapped into memory: points, keys of ids, digests of
    their contents (shape: PARTS, seeds), their indices in the order of the sources, characters of all facts, turns (0
    for personas), whether they are two personas who are to talk (1) or not (0), where their facts begin (and, after the
    last, end) in `facts`, and there the keys of facts as facts of that seed; and in the same way, keys of the seeds
    that a persona is to talk to."""

    point: Keys
    key: Keys
    digests: Keys
    seed: NDArray[np.int32]
    characters: NDArray[np.int32]
    turns: NDArray[np.int32]
    pair: NDArray[np.int8]
    starts: NDArray[np.int64]
    facts: Keys
    partner_starts: NDArray[np.int64]
    partners: Keys

    def __len__(self) -> int:
        return len(self.point)


def _by_part(digests: pa.FixedSizeListArray) -> Keys:
    """Keys of digests (shape: seeds, PARTS)."""
    return np.asarray(mapped(digests.flatten()).reshape(-1, len(PARTS)))


class TooManyBadSeeds(Exception):  # noqa: N818 - a condition of the input
    """More unreadable seeds than allowed; `bad` are those that were met."""

    def __init__(self, bad: Sequence[BadSeed]) -> None:
        super().__init__(bad[0].detail)
        self.bad = bad


class Seeds:
    """The readable seeds of a job in the order of its sources, and `sorted`, as planning compares them. What is asked
    of them in their own order is copied together each time. `bad` are the unreadable, `repeated` counts the rows that
    are seeds again: with the id and content of one before them, or without an id and with its content. `unkept` says,
    in a sentence for each file concerned, what of it no seed can hold."""

    def __init__(
        self,
        sources: Sequence[SeedSource | MadeSource],
        base: Path,
        storage: Storage,
        max_bad: int,
        report: Callable[[str, int], None] = lambda *_: None,
    ) -> None:
        """Read the seeds. Raises SourceError or TooManyBadSeeds."""
        self._folder = tempfile.TemporaryDirectory(prefix="seeds-", ignore_cleanup_errors=True)
        self._storage = storage
        self._max_bad = max_bad
        self._report = report
        self._read = 0
        self.bad: list[BadSeed] = []
        self.repeated = 0
        self.unkept: list[str] = []
        self.kept: set[str] = set()
        """Files in `_seeds/` that these seeds are read from."""
        self.identity: str | None = None
        """What changes with any of the files; none where one of them can only be told by reading it."""
        files = files_of(sources, base)
        self._names = [file.name for _, file in files]
        self.corpora = [name.removeprefix(OF_CORPUS) for name in self._names if name.startswith(OF_CORPUS)]
        """Corpora that seeds are read from, with their versions."""
        parts = [self._open(source, file) for source, file in files]
        self._content = [content.to_batches() for _, content, _ in parts]
        self._batch_starts = [offsets_of([len(batch) for batch in batches]) for batches in self._content]
        self._keys = pa.concat_tables([keys for keys, _, _ in parts])
        self._starts = np.cumsum([0, *(content.num_rows for _, content, _ in parts)])
        self._again: Indices = np.empty(0, np.int64)
        self.sorted = self._in_order([name for _, _, name in parts])

    def __len__(self) -> int:
        return int(self._starts[-1]) - len(self._again)

    def take(self, indices: Indices) -> list[Seed]:
        """The seeds at these indices."""
        found: list[Seed] = [None] * len(indices)  # type: ignore[list-item]
        places = indices + np.searchsorted(self._again - np.arange(len(self._again)), indices, side="right")
        numbers = np.searchsorted(self._starts, places, side="right") - 1
        for number in np.unique(numbers):
            chosen = np.flatnonzero(numbers == number)
            for place, row in zip(chosen, self._rows(number, places[chosen] - self._starts[number]), strict=True):
                found[place] = Seed(
                    row["id"],
                    tuple(row["digests"]),
                    self._names[number],
                    row["line"],
                    tuple(map(tuple, row["personas"])),
                    tuple((turn["speaker"], turn["text"]) for turn in row["turns"]),
                    tuple(SeedSpeaker(**speaker) for speaker in row["speakers"]),
                    tuple(row["partners"]),
                    tuple(map(tuple, row["candidates"])),
                )
        return found

    def _rows(self, number: int, places: Indices) -> list[dict[str, Any]]:
        """Rows of a file's content. Taken batch by batch: of a table Arrow would copy all of it together first."""
        rows: list[dict[str, Any]] = [{}] * len(places)
        starts = self._batch_starts[number]
        batches = np.searchsorted(starts, places, side="right") - 1
        for batch in np.unique(batches).tolist():
            chosen = np.flatnonzero(batches == batch)
            taken = self._content[number][batch].take(arrow(places[chosen] - starts[batch]))
            for place, row in zip(chosen, taken.to_pylist(maps_as_pydicts="strict"), strict=True):
                rows[place] = row
        return rows

    def _facts(self) -> pa.LargeListArray:
        return self._keys["facts"].cast(_SORTED.field("facts").type).combine_chunks()

    @property
    def facts_digests(self) -> Keys:
        """Keys of what the facts of each seed say, in the order of the sources; other ones for those of dialogues."""
        digests = _by_part(self._keys["digests"].combine_chunks())[:, 0]
        return np.asarray(np.delete(np.where(self._column("turns") > 0, ~digests, digests), self._again))

    def told(self, of: Callable[[pa.RecordBatch], pa.Array]) -> pa.Array:
        """What a function takes out of batches of CONTENT, a value a seed, in the order of the sources."""
        return self._without_again(pa.concat_arrays([of(batch) for batches in self._content for batch in batches]))

    @property
    def files(self) -> pa.StringArray:
        """The file of each seed, or what makes it, as messages name it, in the order of the sources."""
        numbers = np.repeat(np.arange(len(self._names)), np.diff(self._starts))
        return self._without_again(pa.array(self._names, pa.string()).take(arrow(numbers)))

    def _without_again(self, values: pa.Array) -> pa.Array:
        return values.take(arrow(np.delete(np.arange(len(values)), self._again))) if len(self._again) else values

    def _column(self, name: str) -> Any:
        return mapped(self._keys[name].combine_chunks())

    def _in_order(self, names: Sequence[str | None]) -> Sorted:
        """The seeds of files kept under these names, sorted; that is kept too, unless one of them is not (`None`)."""
        path = f"{SEEDS}/{blake('sorted seeds', str(_SORTED_VERSION), *map(str, names))}.sorted.arrow"
        if None not in names:
            self.kept.add(path)
            self.identity = path
        try:
            batch, again = self._batch(self._storage.local(path, Path(self._folder.name)))
        except _DAMAGED:
            here = self._here("sorted.arrow")
            self._sort(here)
            if path in self.kept:
                self._storage.keep(here, path)
            batch, again = self._batch(here)
        self._leave_out(*again)
        facts, partners = batch["facts"], batch["partners"]
        alone = (name for name in _SORTED.names if name not in ("facts", "digests", "partners"))
        return Sorted(
            **{name: mapped(batch[name]) for name in alone},
            digests=_by_part(batch["digests"]).T,
            starts=mapped(facts.offsets),
            facts=mapped(facts.values),
            partner_starts=mapped(partners.offsets),
            partners=mapped(partners.values),
        )

    @staticmethod
    def _batch(file: Path) -> tuple[pa.RecordBatch, tuple[list[int], list[int], list[int]]]:
        """The sorted seeds, and what `_leave_out` takes."""
        with pa.ipc.open_file(pa.memory_map(str(file))) as reader:
            batch = reader.get_batch(0).select(_SORTED.names)
            repeats, others, firsts = json.loads(batch.schema.metadata[b"again"])
            return batch, (repeats, others, firsts)

    def _sort(self, here: Path) -> None:
        """Sort the seeds into a file."""
        keys, digests = self._column("key"), _by_part(self._keys["digests"].combine_chunks())
        points = ring_points(keys)
        order = np.argsort(points, kind="stable")
        points = points[order]
        twice = np.flatnonzero(points[1:] == points[:-1]) + 1
        again, firsts = order[twice], order[np.searchsorted(points, points[twice])]
        partners = self._keys["partners"].cast(_SORTED.field("partners").type).combine_chunks()
        other = (digests[again] != digests[firsts]).any(axis=1)
        if len(partners.values):
            before, after = (partners.take(arrow(some)).to_pylist() for some in (firsts, again))
            other |= np.fromiter(map(ne, before, after), np.bool_, len(again))
        if other.sum() > self._max_bad:
            self._leave_out([], again[other].tolist(), firsts[other].tolist())
        if len(twice):
            order, points = np.delete(order, twice), np.delete(points, twice)
        keys = keys[order]
        columns = {
            "point": arrow(points),
            "key": arrow(keys),
            "digests": pa.FixedSizeListArray.from_arrays(arrow(digests[order].ravel()), type=DIGESTS),
            "seed": arrow((order - np.searchsorted(np.sort(again), order)).astype(np.int32)),
            "characters": arrow(self._column("characters")[order]),
            "turns": arrow(self._column("turns")[order]),
            "pair": arrow(self._column("pair")[order]),
            "facts": self._said(keys, order),
            "partners": partners.take(arrow(order)),
        }
        left_out = json.dumps([again[~other].tolist(), again[other].tolist(), firsts[other].tolist()])
        schema = _SORTED.with_metadata({"again": left_out})
        batch = pa.RecordBatch.from_arrays([columns[name] for name in _SORTED.names], schema=schema)
        with on_scratch(self._folder.name), pa.OSFile(str(here), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            writer.write_batch(batch)

    def _said(self, keys: Keys, order: Indices) -> pa.LargeListArray:
        """Keys of the facts of seeds, in this order."""
        facts = self._facts()
        said, starts = np.empty(len(facts.values), np.uint64), np.zeros(len(order) + 1, np.int64)
        for start in range(0, len(order), _SORTED_AT_ONCE):
            some = slice(start, start + _SORTED_AT_ONCE)
            taken = facts.take(arrow(order[some]))
            ends = starts[start] + mapped(taken.offsets)
            starts[start : start + len(ends)] = ends
            said[ends[0] : ends[-1]] = said_keys(np.repeat(keys[some], np.diff(ends)), mapped(taken.values))
        return pa.LargeListArray.from_arrays(arrow(starts), arrow(said[: starts[-1]]))

    def _leave_out(self, repeats: list[int], others: list[int], firsts: list[int]) -> None:
        """Leave out the seeds that repeat another, and as bad ones those with the id of another but other content."""
        pairs = np.array(sorted(zip(others, firsts, strict=True)), np.int64).reshape(-1, 2)
        for seed, first in zip(self.take(pairs[:, 0]), self.take(pairs[:, 1]), strict=True):
            detail = f"another seed has the id {seed.id!r}: {place_of(first.source, first.line)}; ids must differ"
            self._add_bad(BadSeed(seed.source, seed.line, "duplicate_id", detail))
        self.repeated = len(repeats)
        self._again = np.sort(np.array([*repeats, *others], np.int64))

    def _add_bad(self, bad: BadSeed) -> None:
        self.bad.append(bad)
        if len(self.bad) > self._max_bad:
            raise TooManyBadSeeds(self.bad)

    def _open(self, source: SeedSource, file: SeedFile) -> tuple[pa.Table, pa.Table, str | None]:
        """Keys and contents of a file's seeds, mapped into memory, and the name they are kept under; parsed if that has
        not been done."""
        changed, kept = stamp(file), None
        if changed is None:
            name = uuid.uuid4().hex
            self._parse(source, file, name)
            content, told, keys = (self._here(f"{name}{ending}") for ending in _FILES)
        else:
            options = source.model_dump_json(include={"format", "fields"})
            name = kept = blake("seed file", str(_VERSION), file.uri, file.name, file.format, options, changed)
            paths = [f"{SEEDS}/{name}{ending}" for ending in _FILES]
            self.kept.update(paths)
            try:
                return *self._mapped(*(self._storage.local(path, Path(self._folder.name)) for path in paths)), kept
            except _DAMAGED:
                self._parse(source, file, name)
            for path in paths:
                self._storage.keep(self._here(path.rpartition("/")[2]), path)
            content, told, keys = (self._here(f"{name}{ending}") for ending in _FILES)
        return *self._mapped(content, told, keys), kept

    def _mapped(self, content: Path, told: Path, keys: Path) -> tuple[pa.Table, pa.Table]:
        """Keys and contents, from the files that hold them; what is told is noted."""
        tables = [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in (keys, content)]
        found = json.loads(told.read_text(encoding="utf-8"))
        bad, unkept = [BadSeed(**seed) for seed in found["bad"]], list(found["unkept"])
        for seed in bad:
            self._add_bad(seed)
        self.unkept += unkept
        return tables[0], tables[1]

    def _here(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def _parse(self, source: SeedSource, file: SeedFile, name: str) -> None:
        bad: list[BadSeed] = []
        unkept: list[str] = []
        with (
            on_scratch(self._folder.name),
            pa.OSFile(str(self._here(f"{name}.keys.arrow")), "wb") as keys_file,
            pa.ipc.new_file(keys_file, KEYS) as keys,
            pa.OSFile(str(self._here(f"{name}.content.arrow")), "wb") as content_file,
            pa.ipc.new_file(content_file, CONTENT) as content,
        ):
            for seeds in self._batches(source, file, bad, unkept):
                keys.write_batch(keys_of(seeds))
                content.write_batch(seeds)
        told = {"bad": [asdict(seed) for seed in bad], "unkept": unkept}
        self._here(f"{name}.told.json").write_text(json.dumps(told), encoding="utf-8")

    def _batches(
        self, source: SeedSource, file: SeedFile, bad: list[BadSeed], unkept: list[str]
    ) -> Iterator[pa.RecordBatch]:
        """The contents of the readable seeds, in the order of their lines."""
        plain: PlainRows | PlainDialogues | None = None
        seeds: list[Seed] = []
        for read in read_blocks(file, source.fields, unkept):
            self._count(len(read) if isinstance(read, PLAIN) else 1)
            if isinstance(read, BadSeed):
                bad.append(read)
                if len(self.bad) + len(bad) > self._max_bad:
                    raise TooManyBadSeeds(self.bad + bad)
                continue
            if isinstance(read, PLAIN) or len(seeds) == _BATCH:
                if plain or seeds:
                    yield content_of(seeds, plain)
                plain, seeds = None, []
            if isinstance(read, PLAIN):
                plain = read
            else:
                seeds.append(read)
        if plain or seeds:
            yield content_of(seeds, plain)

    def _count(self, read: int) -> None:
        before, self._read = self._read, self._read + read
        if before // _BATCH < self._read // _BATCH:
            self._report("seeds read", self._read)
