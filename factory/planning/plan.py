"""The difference between the corpus that the job wants and the one that is committed.

Wanted and committed rows are compared as keys (`factory.planning.compare`), unless the last plan did just that; seeds
and shards are opened only where something is to be done. Limitations: after any change each wanted slot is hashed.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from factory.planning.compare import REFRESHED, TRIM, Compared, ToDrop, ToMake, bits_of
from factory.planning.duplicate_seeds import duplicate_seeds
from factory.planning.estimate import Estimate, Estimator
from factory.planning.ledger import SLOT_COLUMNS, Ledger, slots_by_id, slots_of
from factory.planning.letters import Letters
from factory.planning.remembered import compared
from factory.planning.shard import STAGING, ShardSpec, outstanding
from factory.planning.wanted import PlanError, Slots, Wanted
from factory.seeds.source import first_of
from factory.seeds.store import Seeds, TooManyBadSeeds
from factory.spec.identity import INPUTS, KINDS, row_fingerprints
from factory.spec.job import SELECT, Job
from factory.spec.select import Conditions, scored_frame
from factory.spec.sources import sources_of
from factory.store.corpus import Corpus
from factory.store.records import Row, place_of, rows_from_table
from factory.store.shards import Shard

_Rows = TypeVar("_Rows", ToMake, ToDrop)

_UNMADE = "left_out"
"""In `Summary.remake`, rows of which no entry is redone, but that lose what a maker wrote or their decision."""
Report = Callable[[str, int], None]
"""Told what is being counted, and how far it is."""


@dataclass(slots=True)
class Work:
    """One shard to make, with the skeletons of its new and changed rows, which are written when it is handed out."""

    spec: ShardSpec
    skeletons: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class Summary(Estimate):
    """What a plan would do, in rows; `remake` by the first entry that is redone, `reasons` by what is done: "make",
    "drop" or the entry. `near_duplicates` are seeds left out since they nearly repeat another; `left` are rows to make
    or drop that a limit leaves for later plans; `corpora` are those that seeds are read from, with their versions;
    `unkept` says, file by file, what of the seeds no row can hold, and who is in no row; `beyond` are limits of the
    run's budget that it will reach."""

    make: int = 0
    remake: Counter[str] = field(default_factory=Counter)
    drop: int = 0
    unchanged: int = 0
    left: int = 0
    failed: int = 0
    bad_seeds: int = 0
    repeated_seeds: int = 0
    near_duplicates: int = 0
    corpora: list[str] = field(default_factory=list)
    unkept: list[str] = field(default_factory=list)
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    beyond: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows to make, remake, decide again or drop."""
        return self.make + self.remake.total() + self.drop

    @property
    def model_calls(self) -> int:
        """Requests to the language model, and batches of pairs to the NLI model."""
        return self.calls.total()


def plan(job: Job, *, retry_failed: bool = False, limit: int | None = None, report: Report = lambda *_: None) -> Plan:
    """Compare what the job wants with what is committed; the table is not changed. With a `limit`, no more rows than
    that are planned, the first ones, and none is dropped.

    Raises PlanError, SourceError, CorpusError or StorageError.
    """
    corpus = Corpus(job.corpus)
    seeds, alike = _read(job, corpus, report), job.pairing.near_duplicates
    repeats = None if alike is None else duplicate_seeds(seeds, corpus.storage, alike, report).repeats
    wanted = Wanted(job, seeds, repeats)
    ledger = Ledger(corpus)
    ledger.sync(report)
    corpus.table.with_columns(wanted.making.columns)  # what it refuses must not be made first
    difference = compared(wanted, ledger, report, retry=retry_failed)
    found = Plan(wanted, ledger, Letters(corpus), difference, retry=retry_failed)
    found.refuse_to_lose()
    failed = found.set_failed_aside(retry_failed)
    found.leave_what_is_decided_alike(report)
    if limit is not None:
        found.keep_to(limit)
    found.find_staged()
    found.summarize(failed)
    return found


class Plan:
    """What `run` would do: `plan` makes it, step by step."""

    def __init__(self, wanted: Wanted, ledger: Ledger, letters: Letters, found: Compared, *, retry: bool) -> None:
        self.job = wanted.job
        self.corpus = ledger.corpus
        self.wanted = wanted
        self.ledger = ledger
        self.letters = letters
        self.bad_seeds = wanted.seeds.bad
        self.stale_letters: set[str] = set()
        self.summary = Summary()
        self._reasons = found.reasons
        self._make, self._drop = found.make, found.drop
        self._retry = retry
        self._later = 0
        self._staged: dict[int, list[str]] = defaultdict(list)

    def work(self) -> Iterator[Work]:
        """The shards to make: first those that take the place of others, then new ones in the order of the seeds."""
        yield from self._replacing()
        fresh = self._make.at(self._make.shard < 0)
        fresh = fresh.at(np.argsort(self.wanted.seeds.sorted.seed[fresh.first], kind="stable"))
        size = self.job.run.rows_per_shard
        for start in range(0, len(fresh), size):
            part = fresh.at(np.arange(start, min(start + size, len(fresh))))
            work = Work(ShardSpec(uuid.uuid4().hex, retry=self._retry), list(self._rows(part)))
            work.spec.redo = [row.row_id for row in work.skeletons]
            self._send(work.spec, part)
            yield work

    def _replacing(self) -> Iterator[Work]:
        make = self._make.at(self._make.shard >= 0)
        make = make.at(np.argsort(make.shard, kind="stable"))
        drop = self._drop.at(np.argsort(self._drop.shard, kind="stable"))
        for number in np.union1d(make.shard, drop.shard):
            shard = self.ledger.shards[number]
            part, gone = _of_shard(make, number), _of_shard(drop, number)
            ids = slots_by_id(self.corpus.table.read(shard, SLOT_COLUMNS))
            spec = ShardSpec(uuid.uuid4().hex, shard, retry=self._retry)
            work = Work(spec, list(self._rows(part.at(part.refresh))))
            work.spec.redo = [ids[slot] for slot in part.slot.tolist()]
            work.spec.drop = [ids[slot] for slot in gone.slot.tolist()]
            self._send(work.spec, part)
            yield work

    def _rows(self, part: ToMake) -> Iterator[Row]:
        first, second = part.first.astype(np.int64), part.second.astype(np.int64)
        nothing = np.empty((len(INPUTS), len(part)), np.uint64)
        return self.wanted.rows(Slots(first, second, part.sample, part.slot, nothing))

    def _send(self, spec: ShardSpec, part: ToMake) -> None:
        """Which staged files the shard continues from, and how many rows each phase works on."""
        spec.staged = sorted({path for slot in part.slot.tolist() for path in self._staged.get(slot, ())})
        kinds = self.wanted.imported[part.first].astype(np.int8)
        spec.rows = tuple(int((part.todo & bits[kinds] != 0).sum()) for bits in self._phase_bits)

    @cached_property
    def _phase_bits(self) -> list[NDArray[np.int64]]:
        """For each phase the bits of its entries, by kind of row."""
        recipes = self.wanted.making.recipes
        return [
            np.array([bits_of(recipes[kind], phase.stages) for kind in KINDS], np.int64)
            for phase in self.wanted.making.phases
        ]

    def refuse_to_lose(self) -> None:
        """A damaged file hides seeds that are still wanted: their rows must not be dropped for it."""
        damaged = next((seed for seed in self.bad_seeds if seed.ends), None)
        if damaged and len(self._drop):
            raise PlanError(
                f"{place_of(damaged.source, damaged.line)}: {damaged.detail}; the damage hides seeds, and "
                f"{len(self._drop)} rows would be dropped for it; repair the file, or take it out of the job's seeds"
            )

    def set_failed_aside(self, retry: bool) -> int:
        """Rows that failed as they are wanted are not tried again unless asked for, and one of them that is in the
        corpus too leaves it. How many."""
        held = self.letters.of_rows()
        self.stale_letters = set(held)
        if not held:
            return 0
        seeds = [letter.seeds for letter in held.values() if letter.seeds is not None]
        letters = slots_of(seeds, [letter.sample for letter in held.values()])
        maybe = np.flatnonzero(np.isin(self._make.slot, letters))
        failed = []
        for place, row in zip(maybe.tolist(), self._rows(self._make.at(maybe)), strict=True):
            letter = held.get(row.row_id)
            wanted = row_fingerprints(self.wanted.making.recipes[row.kind], row)
            if letter and letter.fingerprint == wanted.get(letter.stage):
                self.stale_letters.discard(row.row_id)
                failed.append(place)
        if retry:
            return 0
        aside = np.zeros(len(self._make), np.bool_)
        aside[failed] = True
        leaving = self._make.at(aside & (self._make.shard >= 0))
        self._drop = ToDrop.joined([self._drop, ToDrop(leaving.slot, leaving.shard, self._code("failed", leaving))])
        self._make = self._make.at(~aside)
        return len(failed)

    def _code(self, reason: str, rows: ToMake) -> NDArray[np.int32]:
        self._reasons.append(reason)
        return np.full(len(rows), len(self._reasons) - 1, np.int32)

    def leave_what_is_decided_alike(self, report: Report) -> None:
        """Rows that only have to be decided again are decided here, and left alone if the decision stays."""
        conditions = self.job.select
        if conditions is None:
            return
        recipes = self.wanted.making.recipes
        select = np.array([bits_of(recipes[kind], [SELECT]) for kind in KINDS], np.int64)
        kinds = self.wanted.imported[self._make.first].astype(np.int8)
        outdated = self._make.at((self._make.todo == select[kinds]) & ~self._make.refresh)
        outdated = outdated.at(np.argsort(outdated.shard, kind="stable"))
        alike, seen = [], 0
        for number in np.unique(outdated.shard):
            part = _of_shard(outdated, number).slot.tolist()
            alike += self._decided_alike(conditions, self.ledger.shards[number], part)
            seen += len(part)
            report("rows decided", seen)
        left = np.isin(self._make.slot, np.array(alike, np.uint64))
        for kind in (0, 1):  # whose recipes of `select` may differ, since imported rows pass fewer makers
            some = self._make.at(left & (kinds == kind))
            if len(some):
                self.ledger.redecide(some.slot, some.chain, recipes[KINDS[kind]][-1].id)
        self._make = self._make.at(~left)

    def _decided_alike(self, conditions: Conditions, shard: Shard, slots: list[int]) -> list[int]:
        """Those of the slots whose decision and reasons stay."""
        rows = self.corpus.table.frame([shard])
        frame = scored_frame(rows, conditions, *SLOT_COLUMNS, "decision", "reasons").collect()
        new = conditions.decide(frame, self.wanted.making.passes)
        same = frame["decision"].eq_missing(new["decision"]) & (frame["reasons"] == new["reasons"])
        alike = slots_by_id(frame.filter(same).select(SLOT_COLUMNS).to_arrow())
        return [slot for slot in slots if slot in alike]

    def keep_to(self, limit: int) -> None:
        """Leave all but the first rows to make, in the order in which they are handed out, for later plans."""
        make = self._make
        order = np.lexsort((self.wanted.seeds.sorted.seed[make.first], make.shard, make.shard < 0))
        self._later = max(0, len(make) - limit)
        self.summary.left = self._later + len(self._drop)
        self._make, self._drop = make.at(order[:limit]), self._drop.at(order[:0])

    def find_staged(self) -> None:
        """Rows that a run before this one staged and did not commit continue from there."""
        order = np.argsort(self._make.slot)
        for path in self.corpus.storage.list(STAGING):
            if not path.endswith((".rows.arrow", ".begun.arrow")):
                continue
            table = self.corpus.storage.read_arrow(path)
            rows = {row.row_id: row for row in rows_from_table(table)}
            slots = {slot: rows[row_id] for slot, row_id in slots_by_id(table).items()}
            keys = np.array(list(slots), np.uint64)
            places = np.searchsorted(self._make.slot, keys, sorter=order)
            keys, places = keys[places < len(order)], order[places[places < len(order)]]
            wanted = places[self._make.slot[places] == keys]
            for place, skeleton in zip(wanted.tolist(), self._rows(self._make.at(wanted)), strict=True):
                self._go_on_from(path, place, slots[int(self._make.slot[place])], skeleton)

    def _go_on_from(self, path: str, place: int, staged: Row, skeleton: Row) -> None:
        """Take the row at this place as staged in a file, if less is left to do for it."""
        recipes, todo = self.wanted.making.recipes[skeleton.kind], int(self._make.todo[place])
        left = bits_of(recipes, outstanding(staged, row_fingerprints(recipes, skeleton)))
        if left.bit_count() < (todo & ~TRIM).bit_count():
            self._make.todo[place] = left | (todo & TRIM)
            self._staged[int(self._make.slot[place])].append(path)

    def summarize(self, failed: int) -> None:
        """Count what is to be done."""
        make, drop, estimator = self._make, self._drop, Estimator(self.wanted, self.corpus)
        summary = replace(self.summary, failed=failed, bad_seeds=len(self.bad_seeds), drop=len(drop))
        summary.repeated_seeds = self.wanted.seeds.repeated
        summary.near_duplicates = int(self.wanted.left_out.sum())
        summary.corpora, summary.unkept = self.wanted.seeds.corpora, self.wanted.seeds.unkept + self.wanted.cast.told
        summary.unchanged = len(self.wanted) - failed - len(make) - self._later
        kinds = self.wanted.imported[make.first].astype(np.int8)
        new = make.shard < 0
        summary.make = int(new.sum())
        summary.reasons = {"make": self._told(make.reason[new]), "drop": self._told(drop.reason)}
        for kind, name in enumerate(KINDS):
            recipes = self.wanted.making.recipes[name]
            for todo in np.unique(make.todo[kinds == kind]).tolist():
                some = (kinds == kind) & (make.todo == todo)
                left = [recipe for place, recipe in enumerate(recipes) if todo >> place & 1]
                old = some & ~new
                if old.any():
                    first = left[0].stage if left else _UNMADE if todo else REFRESHED
                    summary.remake[first] += int(old.sum())
                    summary.reasons.setdefault(first, Counter()).update(self._told(make.reason[old]))
                estimator.add(make.at(some), name, left, summary)
        if reached := self.job.run.budget.beyond(summary.used, summary.seconds):
            summary.beyond = [f"the run will stop at its budget: it takes about {one}" for one in reached]
        self.summary = summary

    def _told(self, reasons: NDArray[np.int32]) -> Counter[str]:
        told = Counter[str]()
        for code, count in zip(*np.unique(reasons, return_counts=True), strict=True):
            told[self._reasons[code]] += int(count)  # several codes may have one text
        return told


def _read(job: Job, corpus: Corpus, report: Callable[[str, int], None]) -> Seeds:
    limit = job.run.max_bad_seeds
    try:
        return Seeds(sources_of(job.seeds, job.base, job.corpus), job.base, corpus.storage, limit, report)
    except TooManyBadSeeds as error:
        raise PlanError(
            f"more than {limit:,} unreadable seeds (run.max_bad_seeds); the first:{first_of(error.bad)}"
        ) from error


def _of_shard(rows: _Rows, number: int) -> _Rows:
    """Those of one shard, of rows sorted by shard."""
    return rows.at(np.arange(*np.searchsorted(rows.shard, [number, number + 1])))
