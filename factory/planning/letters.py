"""Dead letters: what could not be made, and why, kept beside the corpus until it can.

A row is either in the corpus or a dead letter. Letters are committed before the rows they belong with, and a letter
whose row stands finished in the corpus, or is no longer wanted, is taken away by the next run. Limitations: what is
known of all letters is held in memory, some hundred bytes each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from factory.base.fingerprint import blake
from factory.seeds.source import BadSeed
from factory.store.corpus import Corpus
from factory.store.dead_letters import DeadLetter, dead_letters_to_table
from factory.store.records import COUNTS
from factory.store.shards import Shard

_COLUMNS = ("id", "row_id", "seed_ids", "sample", "stage", "fingerprint")
_ADDED_UP = ("attempts", *COUNTS)


@dataclass(frozen=True, slots=True)
class Held:
    """A committed letter: the entry that failed, and the fingerprint it should have left. `seeds` are the ids of the
    first and last seed and `sample` is the row's; none for a seed."""

    shard: Shard
    stage: str
    fingerprint: str
    seeds: tuple[str, str] | None
    sample: int


class Letters:
    """The dead letters of a corpus, by id: changes are gathered, and committed together. Raises CorpusError."""

    def __init__(self, corpus: Corpus) -> None:
        self._table = corpus.dead
        self._held: dict[str, Held] = {}
        self._gone: set[str] = set()
        self._new: dict[str, DeadLetter] = {}
        for shard in self._table.shards():
            self._hold(shard, self._table.read(shard, _COLUMNS))

    def of_rows(self) -> dict[str, Held]:
        """The letters of rows, by row id."""
        return {letter: held for letter, held in self._held.items() if held.seeds is not None}

    def settle_seeds(self, bad: Sequence[BadSeed]) -> None:
        """Make the letters of unreadable seeds those of this reading."""
        seen = Counter[BadSeed]()
        letters = {}
        for seed in bad:
            letter = _seed_letter(seed, seen[seed])
            seen[seed] += 1
            letters[letter.id] = letter
        held = {letter for letter, kept in self._held.items() if kept.seeds is None}
        self._gone |= held - letters.keys()
        self._new |= {letter: letters[letter] for letter in letters.keys() - held}

    def settle(self, tried: Collection[str], letters: Sequence[DeadLetter]) -> None:
        """Replace the letters of the rows that were tried by those that they left; `commit` adds up what a row that
        fails again took."""
        self._new |= {letter.id: letter for letter in letters}
        self._gone.update(self._held.keys() & {*tried, *self._new})

    @property
    def version(self) -> int | None:
        """The newest version of the dead letters; none while there are none."""
        return self._table.version()

    def commit(self) -> None:
        """Commit what was settled. Raises ConflictError."""
        if not (self._gone or self._new):
            return
        add, remove = [], list({self._held[letter].shard for letter in self._gone})
        kept = [self._without_gone(self._table.read(shard)) for shard in remove]
        new = dead_letters_to_table(list(self._new.values()))
        for letter in self._gone:
            del self._held[letter]
        for table in (*kept, new):
            if table.num_rows:
                add.append(self._table.write(table))
                self._hold(add[-1], table)
        self._table.commit(add, remove, f"{len(self._new)} dead letters more, {len(self._gone)} settled")
        self._gone, self._new = set(), {}

    def _without_gone(self, table: pa.Table) -> pa.Table:
        """The letters of a shard that stay. What those cost that others replace is added to these."""
        gone = pc.is_in(table["id"], pa.array(self._gone, pa.string()))
        for earlier in table.filter(gone).select(("id", *_ADDED_UP)).to_pylist():
            if letter := self._new.get(earlier["id"]):
                for name in _ADDED_UP:
                    setattr(letter, name, getattr(letter, name) + earlier[name])
        return table.filter(pc.invert(gone))

    def _hold(self, shard: Shard, table: pa.Table) -> None:
        for row in table.select(_COLUMNS).to_pylist():
            seeds = (row["seed_ids"][0], row["seed_ids"][-1]) if row["row_id"] else None
            self._held[row["id"]] = Held(shard, row["stage"], row["fingerprint"], seeds, row["sample"] or 0)


def _seed_letter(seed: BadSeed, before: int) -> DeadLetter:
    """The letter of an unreadable seed; `before` counts those of the same row that were unreadable for the same
    reason, as sessions of one row may be."""
    return DeadLetter(
        id=blake("bad_seed", seed.source, str(seed.line), seed.reason, seed.detail, str(before)),
        row_id=None,
        seed_ids=[],
        sample=None,
        source=seed.source,
        line=seed.line,
        stage="seeds",
        reason=seed.reason,
        detail=seed.detail,
        attempts=1,
        fingerprint="",
        failed_at=datetime.now(UTC),
    )
