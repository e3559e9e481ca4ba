"""The difference between the corpus that the job wants and the one that is committed.

Wanted and committed rows are compared as keys (`factory.planning.compare`); seeds and shards are opened only where
something is to be done. Limitations: each wanted slot is hashed on each plan.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from factory.methods.scores.select import Select
from factory.planning.compare import KINDS, Comparison, ToDrop, ToMake
from factory.planning.estimate import Estimate, Estimator
from factory.planning.ledger import SLOT_COLUMNS, Ledger, slots_by_id, slots_of
from factory.planning.shard import STAGING, ShardSpec, leg_of, leg_start, passed
from factory.planning.wanted import PlanError, Slots, Wanted
from factory.seeds.source import first_of
from factory.seeds.store import Seeds, TooManyBadSeeds
from factory.spec.job import LEGS, Job, row_fingerprints
from factory.store.corpus import Corpus
from factory.store.letters import Letters
from factory.store.records import Row, rows_from_table

_Rows = TypeVar("_Rows", ToMake, ToDrop)

_STATE_COLUMNS = ("row_id", "kind", "sample", "seeds", "speakers", "donors", "stages")


@dataclass(slots=True)
class Work:
    """One shard to make, with the skeletons of its new and changed rows, which are written when it is handed out."""

    spec: ShardSpec
    skeletons: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class Summary(Estimate):
    """What a plan would do, in rows; `remake` by the first stage that is redone, `reasons` by what is done: "make",
    "drop" or the stage. `unkept` says, file by file, what of the seeds no row can hold."""

    make: int = 0
    remake: Counter[str] = field(default_factory=Counter)
    drop: int = 0
    unchanged: int = 0
    failed: int = 0
    bad_seeds: int = 0
    repeated_seeds: int = 0
    unkept: list[str] = field(default_factory=list)
    reasons: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows to make, remake, decide again or drop."""
        return self.make + self.remake.total() + self.drop

    @property
    def model_calls(self) -> int:
        """Requests to the language model, and batches of pairs to the NLI model."""
        return self.calls.total()


def plan(job: Job, *, retry_failed: bool = False) -> Plan:
    """Compare what the job wants with what is committed; the table is not changed.

    Raises PlanError, SourceError, CorpusError or StorageError.
    """
    return Plan(job, retry_failed=retry_failed)


class Plan:
    """What `run` would do. `report` is told what is being counted, and how far it is."""

    def __init__(
        self, job: Job, *, retry_failed: bool = False, report: Callable[[str, int], None] = lambda *_: None
    ) -> None:
        self.job = job
        self.corpus = Corpus(job.corpus)
        self.wanted = Wanted(job, _read(job, self.corpus, report))
        self.bad_seeds = self.wanted.seeds.bad
        self.ledger = Ledger(self.corpus)
        self.ledger.sync(report)
        self.letters = Letters(self.corpus)
        compared = Comparison(self.wanted, self.ledger, report)
        self._reasons = compared.reasons
        self._make, self._drop = compared.make, compared.drop
        self._refuse_to_lose()
        self.stale_letters: set[str] = set()
        failed = self._set_failed_aside(retry_failed)
        self._leave_what_is_decided_alike(report)
        self._staged: dict[int, list[str]] = defaultdict(list)
        self._find_staged()
        self.summary = self._summary(failed)

    def work(self) -> Iterator[Work]:
        """The shards to make: first those that take the place of others, then new ones in the order of the seeds."""
        yield from self._replacing()
        fresh = self._make.at(self._make.shard < 0)
        fresh = fresh.at(np.argsort(self.wanted.seeds.sorted.seed[fresh.first], kind="stable"))
        size = self.job.run.rows_per_shard
        for start in range(0, len(fresh), size):
            part = fresh.at(np.arange(start, min(start + size, len(fresh))))
            work = Work(ShardSpec(uuid.uuid4().hex), list(self._rows(part)))
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
            work = Work(ShardSpec(uuid.uuid4().hex, shard), list(self._rows(part.at(part.refresh))))
            work.spec.redo = [ids[slot] for slot in part.slot.tolist()]
            work.spec.drop = [ids[slot] for slot in gone.slot.tolist()]
            self._send(work.spec, part)
            yield work

    def _rows(self, part: ToMake) -> Iterator[Row]:
        first, second = part.first.astype(np.int64), part.second.astype(np.int64)
        nothing = np.empty(len(part), np.uint64)
        return self.wanted.rows(Slots(first, second, part.sample, part.slot, nothing, nothing))

    def _send(self, spec: ShardSpec, part: ToMake) -> None:
        """Where the shard enters, and which staged files it goes on from."""
        spec.staged = sorted({path for slot in part.slot.tolist() for path in self._staged.get(slot, ())})
        kinds = self.wanted.imported[part.first]
        stops = set(zip(kinds.tolist(), part.keep.tolist(), strict=True))
        starts = [[leg_start(self.wanted.chains[KINDS[kind]], leg + 1) for kind in (0, 1)] for leg in range(len(LEGS))]
        spec.rows = tuple(int((part.keep < np.array(start)[kinds.astype(np.int8)]).sum()) for start in starts)
        spec.leg = min((leg_of(self.wanted.chains[KINDS[kind]], keep) for kind, keep in stops), default=len(LEGS))

    def _refuse_to_lose(self) -> None:
        """A damaged file hides seeds that are still wanted: their rows must not be dropped for it."""
        damaged = next((seed for seed in self.bad_seeds if seed.ends), None)
        if damaged and len(self._drop):
            raise PlanError(
                f"{damaged.source}, line {damaged.line}: {damaged.detail}; the damage hides seeds, and "
                f"{len(self._drop)} rows would be dropped for it; mend the file, or take it out of the job's seeds"
            )

    def _set_failed_aside(self, retry: bool) -> int:
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
            if letter and letter.fingerprint == row_fingerprints(self.wanted.chains[row.kind], row)[-1]:
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

    def _leave_what_is_decided_alike(self, report: Callable[[str, int], None]) -> None:
        """Rows that only have to be decided again are decided here, and left alone if the decision stays."""
        if self.job.stages.select is None or not self._make.redecide.any():
            return
        outdated = self._make.at(self._make.redecide)
        outdated = outdated.at(np.argsort(outdated.shard, kind="stable"))
        select, alike, seen = Select(self.job.stages.select), [], 0
        for number in np.unique(outdated.shard):
            part = _of_shard(outdated, number).slot.tolist()
            table = self.corpus.table.read(self.ledger.shards[number])
            ids = slots_by_id(table)
            rows = {row.row_id: row for row in rows_from_table(table)}
            alike += [slot for slot in part if _decided_alike(select, rows[ids[slot]])]
            seen += len(part)
            report("rows decided", seen)
        left = np.isin(self._make.slot, np.array(alike, np.uint64))
        if left.any():
            chains = [self.ledger.chain(tuple(recipe.id for recipe in self.wanted.chains[kind])) for kind in KINDS]
            kinds = self.wanted.imported[self._make.first[left]].astype(np.int8)
            self.ledger.rename(self._make.slot[left], np.array(chains, np.int32)[kinds])
            self._make = self._make.at(~left)

    def _find_staged(self) -> None:
        """Rows that a run before this one staged and did not commit go on from there."""
        order = np.argsort(self._make.slot)
        for path in self.corpus.storage.list(STAGING):
            if not path.endswith((".rows.parquet", ".begun.parquet")):
                continue
            table = self.corpus.storage.read_parquet(path, _STATE_COLUMNS)
            rows = {row.row_id: row for row in rows_from_table(table)}
            slots = {slot: rows[row_id] for slot, row_id in slots_by_id(table).items()}
            keys = np.array(list(slots), np.uint64)
            places = np.searchsorted(self._make.slot, keys, sorter=order)
            keys, places = keys[places < len(order)], order[places[places < len(order)]]
            wanted = places[self._make.slot[places] == keys]
            for place, skeleton in zip(wanted.tolist(), self._rows(self._make.at(wanted)), strict=True):
                slot = int(self._make.slot[place])
                reached = passed(slots[slot], row_fingerprints(self.wanted.chains[skeleton.kind], skeleton))
                if reached > self._make.keep[place]:
                    self._make.keep[place] = reached
                    self._staged[slot].append(path)

    def _summary(self, failed: int) -> Summary:
        make, drop, estimator = self._make, self._drop, Estimator(self.job, self.wanted, self.corpus)
        summary = Summary(failed=failed, bad_seeds=len(self.bad_seeds), drop=len(drop))
        summary.repeated_seeds = self.wanted.seeds.repeated
        summary.unkept = self.wanted.seeds.unkept
        summary.unchanged = len(self.wanted) - failed - len(make)
        kinds = self.wanted.imported[make.first].astype(np.int8)
        new = make.shard < 0
        summary.make = int(new.sum())
        summary.reasons = {"make": self._told(make.reason[new]), "drop": self._told(drop.reason)}
        for kind, name in enumerate(KINDS):
            chain = self.wanted.chains[name]
            for keep in np.unique(make.keep[kinds == kind]):
                some = (kinds == kind) & (make.keep == keep)
                old = some & ~new
                if old.any():
                    stage = chain[min(keep, len(chain) - 1)].stage
                    summary.remake[stage] += int(old.sum())
                    summary.reasons.setdefault(stage, Counter()).update(self._told(make.reason[old]))
                estimator.add(make.at(some), name, int(keep), summary)
        return summary

    def _told(self, reasons: NDArray[np.int32]) -> Counter[str]:
        codes, counts = np.unique(reasons, return_counts=True)
        return Counter({self._reasons[code]: int(count) for code, count in zip(codes, counts, strict=True)})


def _read(job: Job, corpus: Corpus, report: Callable[[str, int], None]) -> Seeds:
    limit = job.run.max_bad_seeds
    try:
        return Seeds(job.seeds, job.base, corpus.storage, limit, report)
    except TooManyBadSeeds as error:
        raise PlanError(
            f"more than {limit:,} unreadable seeds (run.max_bad_seeds); the first:{first_of(error.bad)}"
        ) from error


def _of_shard(rows: _Rows, number: int) -> _Rows:
    """Those of one shard, of rows sorted by shard."""
    return rows.at(np.arange(*np.searchsorted(rows.shard, [number, number + 1])))


def _decided_alike(select: Select, row: Row) -> bool:
    before = row.decision, row.reasons
    select.decide(row)
    return (row.decision, row.reasons) == before
