"""The seeds of a job as arrays: what planning compares in memory, the rest in files that are mapped into it.

A file of seeds is parsed once and kept beside the corpus, in `_seeds/`, under a name that changes with the file; so a
plan over millions of seeds reads only the files that changed. Gives up: one row more in a large file parses all of it
again (add seeds as a file of their own); files behind gs:// and https:// are parsed each time.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from factory.fingerprint import Keys, blake, key
from factory.pairing import Indices
from factory.records import Seed
from factory.seed_files import SeedFile, find_files, stamp
from factory.seeds import BadSeed, SeedSource, read_file
from factory.storage import Storage

SEEDS = "_seeds"
_VERSION = 1
"""Raised when a file would be read differently."""

_BATCH = 4096
_PARTS = (".content.arrow", ".bad.json", ".keys.arrow")
"""The files of a seed file, the keys last: where they are, all is."""

_KEYS = pa.schema(
    [
        ("key", pa.uint64()),
        ("digest", pa.uint64()),
        ("facts", pa.list_(pa.uint64())),
        ("characters", pa.int32()),
        ("turns", pa.int32()),
    ]
)
_CONTENT = pa.schema(
    [
        ("id", pa.string()),
        ("digest", pa.string()),
        ("line", pa.int64()),
        ("personas", pa.list_(pa.list_(pa.string()))),
        ("turns", pa.list_(pa.struct([("speaker", pa.int32()), ("text", pa.string())]))),
    ]
)


def seed_key(seed_id: str) -> int:
    """The key of a seed's id."""
    return key("seed", seed_id)


def fact_key(text: str) -> int:
    """The key of a fact."""
    return key("fact", text)


class TooManyBadSeeds(Exception):  # noqa: N818 - a condition of the input
    """More unreadable seeds than allowed; `first` is one of them."""

    def __init__(self, first: BadSeed) -> None:
        super().__init__(first.detail)
        self.first = first


class Seeds:
    """The readable seeds of a job in the order of its sources. Arrays of one value a seed: `keys` of ids, `digests` of
    contents, `facts` (how many), `characters` (of all facts), `turns` (0 for a persona). `bad` are the unreadable."""

    def __init__(
        self,
        sources: Sequence[SeedSource],
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
        self.kept: set[str] = set()
        """Files in `_seeds/` that these seeds are read from."""
        files = [(source, file) for source in sources for file in find_files(source.path, source.format, base)]
        self._names = [file.name for _, file in files]
        parts = [self._open(source, file) for source, file in files]
        self._content = [content for _, content in parts]
        self._keys = pa.concat_tables([keys for keys, _ in parts])
        self._starts = np.cumsum([0, *(content.num_rows for content in self._content)])
        self._places: Indices = np.arange(self._starts[-1])
        self.keys: Keys = self._column("key")
        self._drop_duplicates()
        self.digests: Keys = self._column("digest")
        self.characters: NDArray[np.int32] = self._column("characters")
        self.turns: NDArray[np.int32] = self._column("turns")
        self.facts: NDArray[np.int32] = (
            self._keys["facts"].combine_chunks().value_lengths().to_numpy(False)[self._places]
        )

    def __len__(self) -> int:
        return len(self._places)

    def take(self, indices: Indices) -> list[Seed]:
        """The seeds at these indices."""
        found: list[Seed] = [None] * len(indices)  # type: ignore[list-item]
        places = self._places[indices]
        numbers = np.searchsorted(self._starts, places, side="right") - 1
        for number in np.unique(numbers):
            chosen = np.flatnonzero(numbers == number)
            table = self._content[number].take(pa.array(places[chosen] - self._starts[number]))
            for place, row in zip(chosen, table.to_pylist(), strict=True):
                found[place] = Seed(
                    row["id"],
                    row["digest"],
                    self._names[number],
                    row["line"],
                    tuple(map(tuple, row["personas"])),
                    tuple((turn["speaker"], turn["text"]) for turn in row["turns"]),
                )
        return found

    def fact_keys(self) -> tuple[Indices, Keys]:
        """Where each seed's facts begin in the second array, which holds the keys of all facts."""
        facts = self._keys["facts"].combine_chunks()
        return facts.offsets.to_numpy()[self._places].astype(np.int64), facts.values.to_numpy()

    def _column(self, name: str) -> Any:
        return self._keys[name].to_numpy()[self._places]

    def _drop_duplicates(self) -> None:
        """An id given twice, or the same content twice without an id, is bad the second time."""
        _, firsts, which = np.unique(self.keys, return_index=True, return_inverse=True)
        again = np.flatnonzero(firsts[which] != np.arange(len(self.keys)))
        if not len(again):
            return
        for seed, first in zip(self.take(again), self.take(firsts[which[again]]), strict=True):
            detail = f"the same seed as {first.source}, line {first.line}"
            self._add_bad(BadSeed(seed.source, seed.line, "duplicate_id", detail))
        self._places = np.delete(self._places, again)
        self.keys = np.delete(self.keys, again)

    def _add_bad(self, bad: BadSeed) -> None:
        self.bad.append(bad)
        if len(self.bad) > self._max_bad:
            raise TooManyBadSeeds(self.bad[0])

    def _open(self, source: SeedSource, file: SeedFile) -> tuple[pa.Table, pa.Table]:
        """Keys and contents of a file's seeds, mapped into memory; parsed if that has not been done."""
        changed = stamp(file)
        if changed is None:
            name = uuid.uuid4().hex
            self._parse(source, file, name)
            content, bad, keys = (self._here(f"{name}{part}") for part in _PARTS)
        else:
            options = source.model_dump_json(include={"format", "fields"})
            name = blake("seed file", str(_VERSION), file.uri, file.name, file.format, options, changed)
            if not self._storage.exists(f"{SEEDS}/{name}{_PARTS[-1]}"):
                self._parse(source, file, name)
                for part in _PARTS:
                    self._storage.upload(self._here(f"{name}{part}"), f"{SEEDS}/{name}{part}")
                    self._here(f"{name}{part}").unlink()
            paths = [f"{SEEDS}/{name}{part}" for part in _PARTS]
            self.kept.update(paths)
            content, bad, keys = (self._storage.local(path, Path(self._folder.name)) for path in paths)
        for seed in json.loads(bad.read_text(encoding="utf-8")):
            self._add_bad(BadSeed(**seed))
        return tuple(pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in (keys, content))

    def _here(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def _parse(self, source: SeedSource, file: SeedFile, name: str) -> None:
        bad: list[BadSeed] = []
        with (
            pa.OSFile(str(self._here(f"{name}.keys.arrow")), "wb") as keys_file,
            pa.ipc.new_file(keys_file, _KEYS) as keys,
            pa.OSFile(str(self._here(f"{name}.content.arrow")), "wb") as content_file,
            pa.ipc.new_file(content_file, _CONTENT) as content,
        ):
            readable = self._readable(source, file, bad)
            while seeds := list(islice(readable, _BATCH)):
                keys.write_batch(pa.RecordBatch.from_pylist([_keys(seed) for seed in seeds], _KEYS))
                content.write_batch(pa.RecordBatch.from_pylist([_content(seed) for seed in seeds], _CONTENT))
        self._here(f"{name}.bad.json").write_text(json.dumps([asdict(seed) for seed in bad]), encoding="utf-8")

    def _readable(self, source: SeedSource, file: SeedFile, bad: list[BadSeed]) -> Iterator[Seed]:
        for seed in read_file(file, source.fields):
            self._read += 1
            if self._read % _BATCH == 0:
                self._report("seeds read", self._read)
            if isinstance(seed, Seed):
                yield seed
            else:
                bad.append(seed)
                if len(self.bad) + len(bad) > self._max_bad:
                    raise TooManyBadSeeds((self.bad + bad)[0])


def _keys(seed: Seed) -> dict[str, object]:
    facts = [fact for persona in seed.personas for fact in persona]
    return {
        "key": seed_key(seed.id),
        "digest": int(seed.digest[:16], 16),
        "facts": [fact_key(fact) for fact in facts],
        "characters": sum(map(len, facts)),
        "turns": len(seed.turns),
    }


def _content(seed: Seed) -> dict[str, object]:
    turns = [{"speaker": speaker, "text": text} for speaker, text in seed.turns]
    return {"id": seed.id, "digest": seed.digest, "line": seed.line, "personas": seed.personas, "turns": turns}
