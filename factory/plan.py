"""The difference between the corpus that the job wants and the one that is committed.

Rows fall into buckets by the hash of their id. The digest of what is wanted in a bucket is compared with the sum of the
digests in the names of its shards, so that only buckets that differ are read, one at a time. Gives up: the order of
work; buckets are taken as they come, not by what a user would like to see first.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from factory.corpus import Corpus, Shard
from factory.fingerprint import add_digests
from factory.job import LEGS, Job, Recipe, row_fingerprints
from factory.records import DeadLetter, Row, Seed, dead_letters_from_table, rows_from_table
from factory.seeds import BadSeed, read_seeds
from factory.shard import ShardSpec, leg_of, passed
from factory.wanted import PlanError, Wanted

STAGING = "_staging"
SEED_LETTERS = 0
"""The bucket count in the names of dead-letter shards that hold unreadable seeds, which belong to no bucket."""

_DAMAGE = frozenset({"compression", "parquet"})
"""Reasons of bad seeds that stand for the rest of a file."""

_STATE_COLUMNS = ("row_id", "kind", "sample", "seeds", "speakers", "donors", "stages")


@dataclass(slots=True)
class Work:
    """One shard to make, with the skeletons of its new and changed rows, which are written when it is handed out."""

    spec: ShardSpec
    skeletons: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class Summary:
    """What a plan would do, in rows; calls and tokens are of models, both estimated."""

    make: int = 0
    remake: Counter[str] = field(default_factory=Counter)
    drop: int = 0
    unchanged: int = 0
    failed: int = 0
    bad_seeds: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def rows(self) -> int:
        """Rows to make, remake, decide again or drop."""
        return self.make + self.remake.total() + self.drop

    @property
    def model_calls(self) -> int:
        """Requests to the language model, and batches of pairs to the NLI model."""
        return self.calls.total()


def plan(job: Job, *, retry_failed: bool = False) -> Plan:
    """Compare what the job wants with what is committed; changes nothing.

    Raises PlanError, SourceError, CorpusError or StorageError.
    """
    return Plan(job, retry_failed=retry_failed)


class Plan:
    """What `run` would do; `work` finds it again bucket by bucket, so that a plan of any size fits in memory."""

    def __init__(self, job: Job, *, retry_failed: bool = False) -> None:
        self.job = job
        self.corpus = Corpus(job.corpus)
        self._retry = retry_failed
        seeds, self.bad_seeds = _read(job)
        self._committed = _by_bucket(self.corpus.table.shards())
        letters = self.corpus.dead.shards()
        self._letters = _by_bucket(shard for shard in letters if shard.buckets != SEED_LETTERS)
        self.seed_letters = [shard for shard in letters if shard.buckets == SEED_LETTERS]
        known = [shard.buckets for group in (*self._committed.values(), *self._letters.values()) for shard in group]
        self.wanted = Wanted(job, seeds, known[0] if known else None)
        self._staged = self._staged_rows()
        self.valid_letters: dict[int, set[str]] = {}
        self.changed = [bucket for bucket in range(self.wanted.buckets) if self._differs(bucket)]
        settled = self._letters.keys() - set(self.changed)
        failed = sum(shard.rows for bucket in settled for shard in self._letters[bucket])
        self.summary = Summary(unchanged=len(self.wanted) - failed, failed=failed, bad_seeds=len(self.bad_seeds))
        for bucket in self.changed:
            self._diff(bucket, self.summary)
        self._refuse_to_lose()

    def work(self) -> Iterator[Work]:
        """The shards to make, in bucket order."""
        for bucket in self.changed:
            yield from self._diff(bucket, Summary())

    def letters(self, bucket: int) -> tuple[list[Shard], list[DeadLetter]]:
        """The committed dead letters of a bucket's rows, and the shards that hold them."""
        shards = self._letters.get(bucket, [])
        return shards, [letter for shard in shards for letter in dead_letters_from_table(self.corpus.dead.read(shard))]

    def _refuse_to_lose(self) -> None:
        """A damaged file hides seeds that are still wanted: their rows must not be dropped for it."""
        damaged = next((seed for seed in self.bad_seeds if seed.reason in _DAMAGE), None)
        if damaged and self.summary.drop:
            raise PlanError(
                f"{damaged.source}, line {damaged.line}: {damaged.detail}; the damage hides seeds, and "
                f"{self.summary.drop} rows would be dropped for it; mend the file, or take it out of the job's seeds"
            )

    def _differs(self, bucket: int) -> bool:
        letters = self._letters.get(bucket, [])
        if letters and self._retry:
            return True
        held = add_digests(shard.digest for shard in (*self._committed.get(bucket, []), *letters))
        return held != self.wanted.digest(bucket)

    def _diff(self, bucket: int, summary: Summary) -> list[Work]:
        rows = self.wanted.rows(bucket)
        targets = {row_id: row_fingerprints(self.wanted.chains[row.kind], row) for row_id, row in rows.items()}
        _, letters = self.letters(bucket)
        valid = {letter.id for letter in letters if letter.id in rows and letter.fingerprint == targets[letter.id][-1]}
        failed = set() if self._retry else set(valid)
        works: list[Work] = []
        new = dict(rows)
        for shard in self._committed.get(bucket, []):
            work = Work(ShardSpec(uuid.uuid4().hex, bucket, self.wanted.buckets, base=shard, leg=len(LEGS)))
            for row in rows_from_table(self.corpus.table.read(shard, _STATE_COLUMNS)):
                skeleton = new.pop(row.row_id, None)
                if skeleton is not None and _complete(row, targets[row.row_id]):
                    valid.discard(row.row_id)
                elif skeleton is None or row.row_id in failed:
                    work.spec.drop.append(row.row_id)
                else:
                    self._add(work, row, skeleton, targets[row.row_id], summary)
            if work.spec.rows or work.spec.drop:
                works.append(work)
                summary.drop += len(work.spec.drop)
        fresh = [row for row_id, row in new.items() if row_id not in failed]
        size = self.job.run.rows_per_shard
        for start in range(0, len(fresh), size):
            work = Work(ShardSpec(uuid.uuid4().hex, bucket, self.wanted.buckets, leg=len(LEGS)))
            for row in fresh[start : start + size]:
                self._add(work, None, row, targets[row.row_id], summary)
            works.append(work)
        if letters:
            self.valid_letters[bucket] = valid
        summary.failed += len(failed & valid)
        summary.unchanged -= len(failed & valid) + sum(work.spec.rows for work in works)
        return works

    def _add(self, work: Work, held: Row | None, skeleton: Row, target: list[str], summary: Summary) -> None:
        chain = self.wanted.chains[skeleton.kind]
        count = passed(held, target) if held else 0
        for path, staged in self._staged.get(skeleton.row_id, []):
            reached = passed(staged, target)
            if reached > count:
                count = reached
                work.spec.staged = sorted({*work.spec.staged, path})
        if held is None or self._retry or row_fingerprints(chain, held) != target:
            work.skeletons.append(skeleton)
        work.spec.rows += 1
        work.spec.leg = min(work.spec.leg, leg_of(chain, count))
        if held is None:
            summary.make += 1
        else:
            summary.remake[chain[min(count, len(chain) - 1)].stage] += 1
        for recipe in chain[count:]:
            _estimate(recipe, skeleton, self.job, summary)

    def _staged_rows(self) -> dict[str, list[tuple[str, Row]]]:
        found: dict[str, list[tuple[str, Row]]] = defaultdict(list)
        for path in self.corpus.storage.list(STAGING):
            if path.endswith(".rows.parquet"):
                for row in rows_from_table(self.corpus.storage.read_parquet(path, _STATE_COLUMNS)):
                    found[row.row_id].append((path, row))
        return found


def _read(job: Job) -> tuple[list[Seed], list[BadSeed]]:
    seeds: list[Seed] = []
    bad: list[BadSeed] = []
    for seed in read_seeds(job.seeds, job.base):
        if isinstance(seed, Seed):
            seeds.append(seed)
            continue
        bad.append(seed)
        if len(bad) > job.run.max_bad_seeds:
            first = bad[0]
            raise PlanError(
                f"more than {job.run.max_bad_seeds} unreadable seeds (run.max_bad_seeds); the first: "
                f"{first.source}, line {first.line}: {first.reason}: {first.detail}"
            )
    return seeds, bad


def _complete(row: Row, target: list[str]) -> bool:
    return [record.fingerprint for record in row.stages] == target


def _by_bucket(shards: Iterable[Shard]) -> dict[int, list[Shard]]:
    groups: dict[int, list[Shard]] = defaultdict(list)
    for shard in shards:
        groups[shard.bucket].append(shard)
    return groups


def _estimate(recipe: Recipe, row: Row, job: Job, summary: Summary) -> None:
    """Calls of one stage for one row, and tokens at four characters each, half of the longest completion."""
    turns = len(row.turns) or (job.stages.converse.turns if job.stages.converse else 0)
    script = job.stages.converse is not None and job.stages.converse.mode == "script"
    calls = {"expand": len(row.speakers), "converse": 1 if script else turns, "extract": turns, "select": 0}
    count = calls.get(recipe.stage, 1)
    summary.calls[recipe.stage] += count
    if recipe.prompt is None:
        return
    params = getattr(job.stages, recipe.stage)
    answer = params.sampling.max_tokens // 2
    persona = sum(len(fact.text) for speaker in row.speakers for fact in speaker.facts) // (4 * len(row.speakers))
    history = answer * (turns // 2) if recipe.stage == "converse" and not script else 0
    summary.prompt_tokens += count * (len(recipe.prompt) // 4 + persona + history)
    summary.completion_tokens += count * answer * getattr(params, "candidates", 1)
