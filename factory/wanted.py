"""The rows that a job wants: every slot of its seeds, pairing and samples, by bucket.

Slots are held as three integers each; rows are built when they are asked for. Gives up: all seeds are held in memory
(some hundred bytes each), and every wanted row is hashed on each run (some microseconds each).
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence

from factory.corpus import bucket_of, slot_digest
from factory.fingerprint import add_digests, blake
from factory.job import Job, recipes, row_fingerprints
from factory.pairing import Ring
from factory.records import Fact, Row, Seed, SeedRef, Speaker, Turn, row_id
from factory.shard import Chains

_DONORS_PER_DISTRACTOR = 3
"""Donors drawn for each distractor that `augment` may place, since some will contradict."""


class PlanError(Exception):
    """The job cannot be planned: what is wrong with its seeds, and what to do."""


class Wanted:
    """The rows that the job wants, by bucket."""

    def __init__(self, job: Job, seeds: Sequence[Seed], buckets: int | None) -> None:
        self.job = job
        self.seeds = seeds
        self.chains: Chains = {"generated": recipes(job, "generated"), "imported": recipes(job, "imported")}
        self._ring = Ring([seed.id for seed in seeds])
        self._personas = [index for index, seed in enumerate(seeds) if not seed.turns]
        self._persona_ring = Ring([seeds[index].id for index in self._personas])
        self._first, self._second, self._sample = array("q"), array("q"), array("q")
        self._check()
        for first, second, sample in self._slots():
            self._first.append(first)
            self._second.append(second)
            self._sample.append(sample)
        self.buckets = buckets or _bucket_count(len(self._first), job.run.rows_per_shard)
        self._members: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
        for number in range(len(self._first)):
            self._members[bucket_of(self._row_id(number), self.buckets)].append(number)

    def __len__(self) -> int:
        return len(self._first)

    def _check(self) -> None:
        personas, dialogues = len(self._personas), len(self.seeds) - len(self._personas)
        if personas and self.job.stages.converse is None:
            raise PlanError("the seeds are personas, but there is no stages.converse to make dialogues of them")
        if not dialogues and personas < 2:
            raise PlanError(
                f"{personas} readable seed(s): a dialogue needs two personas; add seeds, or see dead letters"
            )
        if dialogues and not self.chains["imported"]:
            raise PlanError("the seeds are dialogues, but no stage from extract to select is given to run on them")
        if self.job.stages.augment and not any(persona for seed in self.seeds for persona in seed.personas):
            raise PlanError("stages.augment needs facts of other speakers, but the seeds hold no persona; leave it out")

    def _slots(self) -> Iterator[tuple[int, int, int]]:
        for index, seed in enumerate(self.seeds):
            if seed.turns:
                yield index, index, 0
        for place, index in enumerate(self._personas):
            for partner in self._persona_ring.partners(place, self.job.pairing.partners):
                for sample in range(self.job.pairing.samples):
                    yield index, self._personas[partner], sample

    def _row_seeds(self, number: int) -> list[int]:
        first, second = self._first[number], self._second[number]
        return [first] if first == second else [first, second]

    def _row_id(self, number: int) -> str:
        ids = tuple(self.seeds[index].id for index in self._row_seeds(number))
        return row_id(ids, self._sample[number])

    def digest(self, bucket: int) -> str:
        """The digest of what is wanted in a bucket."""
        rows = (self.skeleton(number) for number in self._members[bucket])
        return add_digests(slot_digest(row.row_id, row_fingerprints(self.chains[row.kind], row)[-1]) for row in rows)

    def rows(self, bucket: int) -> dict[str, Row]:
        """Skeletons of the rows wanted in a bucket: seeds, speakers and donors, nothing made yet."""
        return {row.row_id: row for row in map(self.skeleton, self._members[bucket])}

    def skeleton(self, number: int) -> Row:
        """The skeleton of one row."""
        indices = self._row_seeds(number)
        seeds = [self.seeds[index] for index in indices]
        imported = bool(seeds[0].turns)
        personas = seeds[0].personas if imported else tuple(seed.personas[0] for seed in seeds)
        owners = [seeds[0].id] * len(personas) if imported else [seed.id for seed in seeds]
        row = Row(
            row_id=self._row_id(number),
            kind="imported" if imported else "generated",
            sample=self._sample[number],
            seeds=[SeedRef(seed.id, seed.digest, seed.source, seed.line) for seed in seeds],
            speakers=[
                Speaker(owner, facts=[Fact(text, "seed", owner) for text in facts])
                for owner, facts in zip(owners, personas, strict=True)
            ],
        )
        if imported:
            row.turns = [Turn(speaker, text) for speaker, text in seeds[0].turns]
        if self.job.stages.augment is not None:
            wanted = self.job.stages.augment.count * _DONORS_PER_DISTRACTOR
            row.donors = [self._donors(row.row_id, side, wanted, indices) for side in range(len(row.speakers))]
        return row

    def _donors(self, row: str, side: int, count: int, excluded: Sequence[int]) -> list[Fact]:
        drawn: list[Fact] = []
        for place, index in enumerate(self._ring.donors(f"{row}/{side}", count, excluded)):
            facts = [text for persona in self.seeds[index].personas for text in persona]
            if facts:
                pick = int(blake("donor_fact", row, str(side), str(place))[:8], 16) % len(facts)
                drawn.append(Fact(facts[pick], "augment", self.seeds[index].id))
        return drawn


def _bucket_count(rows: int, rows_per_shard: int) -> int:
    """A power of two that gives about a shard per bucket; a corpus keeps the number it was begun with."""
    return 1 << max(0, (rows - 1) // rows_per_shard).bit_length()
