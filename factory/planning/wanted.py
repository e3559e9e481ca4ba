"""The rows that a job wants: every slot of its seeds, pairing and samples, as arrays.

What planning compares is computed for millions of slots at once, a range of seeds at a time; rows are built only for
those that have something to be done. Seeds are told by their places on the ring, in the order they are sorted in, so
that what is read of them for a range lies together. Limitations: two bytes of memory for each seed; the rest is mapped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from factory.base.fingerprint import Indices, Keys, key, mix, ring_points
from factory.base.places import absolute
from factory.methods.registry import found
from factory.planning.casts import Cast, CastError, cast_of
from factory.planning.donors import donors_of, drawn, order_of
from factory.planning.matching import matched
from factory.planning.pairing import Ring
from factory.seeds.corpora import CorpusSource
from factory.seeds.source import first_of
from factory.seeds.store import Seeds
from factory.spec.identity import DONORS, INPUTS, entries, of_personas
from factory.spec.job import Job
from factory.spec.phases import making
from factory.store.records import Candidate, Fact, Row, Seed, SeedRef, SeedSpeaker, Speaker, Turn, place_of, row_id

_DRAWN_AT_ONCE = 1 << 13
"""Slots whose donors are drawn at once: what that takes fits a processor's cache."""

_SLOT = key("slot")


class PlanError(Exception):
    """The job cannot be planned: what is wrong with its seeds, and what to do."""


def slot_keys(first: Keys, second: Keys, sample: NDArray[np.int32]) -> Keys:
    """Keys of slots, from those of their seeds' ids (twice the same for a dialogue or a pair) and the sample's number.

    Two of 10 million slots share one with a probability of 3e-6.
    """
    return mix(_SLOT, first, second, sample.astype(np.uint64))


def input_keys(first: Keys, second: Keys) -> Keys:
    """Keys of what two seeds say in a part, from their digests of it."""
    return mix(first, second)


def donor_keys(side: Keys | int, place: Keys, said: Keys) -> Keys:
    """Keys of donors' facts (`said_keys`) at their places; those of a row are added up."""
    return mix(mix(side, place) ^ said)


@dataclass(frozen=True, slots=True)
class Slots:
    """Slots as arrays: places of their seeds (the same twice for one that is a dialogue or a pair), sample, and keys:
    the slot's own, and of its INPUTS, shape (inputs, slots): what its seeds say in each part, and its donors' facts (0
    where none are drawn)."""

    first: Indices
    second: Indices
    sample: NDArray[np.int32]
    slot: Keys
    inputs: Keys

    def __len__(self) -> int:
        return len(self.slot)

    def at(self, which: NDArray[np.generic]) -> Slots:
        """Some of them."""
        return Slots(*(getattr(self, name)[..., which] for name in self.__slots__))


class Wanted:
    """The rows that the job wants. Raises PlanError if the seeds do not suit the job."""

    def __init__(self, job: Job, seeds: Seeds, repeats: NDArray[np.bool_] | None = None) -> None:
        """`repeats` says which seeds, in the order of the sources, nearly repeat an earlier one, and are left out."""
        self.job = job
        self.seeds = seeds
        self.left_out = np.zeros(len(seeds), np.bool_) if repeats is None else repeats[seeds.sorted.seed]
        """Whether the seed at each place is left out."""
        self.making = making(job)
        makers = {entry.name: entry.method for entry in entries(job).values() if entry.section == "makers"}
        self._asking = [name for name, maker in makers.items() if maker.donors]
        self.donated = max((maker.donors for maker in makers.values()), default=0)
        self._talks = any("turns" in maker.writes for maker in makers.values())
        self.alone = of_personas(job)
        """Whether rows of personas are personas alone."""
        self._new = any(getattr(maker, "personas", "same") == "new" for maker in makers.values())
        self.imported: NDArray[np.bool_] = seeds.sorted.turns > 1
        """Whether the seed at each place is a dialogue."""
        self._pairs: NDArray[np.bool_] = (
            ((seeds.sorted.pair > 0) | self.alone) & (seeds.sorted.turns == 0) & ~self.left_out
        )
        """Whether the seed at each place makes rows by itself: two personas who are to talk, or a persona alone."""
        self.donors = donors_of(job, seeds) if self.donated else None
        self._check()
        self.cast, self._chosen = self._cast()
        self._partners = self._ring(self.cast.partner)

    def __len__(self) -> int:
        dialogues = int(self.imported.sum())
        drawn = int(self.cast.opens.sum()) * self._drawn_partners if self._chosen is None else len(self._chosen[1])
        return dialogues + (int(self._pairs.sum()) + drawn) * self.job.pairing.samples

    @property
    def _drawn_partners(self) -> int:
        """Partners that are drawn for each who opens."""
        most = len(self._partners) - (not self.cast.apart)
        return max(0, most if self.cast.partners is None else min(self.cast.partners, most))

    def _cast(self) -> tuple[Cast, tuple[Indices, Indices] | None]:
        """Who can talk to whom and, where that is not drawn on the ring, who talks to whom. Raises PlanError."""
        order, pairing = self.seeds.sorted, self.job.pairing
        alone = ~self.imported & ~self.left_out & ~self._pairs
        try:
            cast = cast_of(pairing, self.seeds, alone & (order.turns == 0), alone & (order.turns == 1))
            if pairing.match is not None:
                *pairs, told = matched(pairing.match, self.seeds, cast)
                cast.told.extend(told)
                return cast, (pairs[0], pairs[1])
        except CastError as error:
            raise PlanError(str(error)) from error
        return cast, self._chosen_partners() if pairing.partners == "file" else None

    def _chosen_partners(self) -> tuple[Indices, Indices]:
        """The partners that the seeds name: places of who names them, in order, and of whom. Raises PlanError."""
        order = self.seeds.sorted
        naming = np.repeat(np.arange(len(order)), np.diff(order.partner_starts))
        points = ring_points(order.partners)
        named = np.minimum(np.searchsorted(order.point, points), len(order) - 1)
        alone = (order.turns == 0) & (order.pair == 0)
        wrong = np.flatnonzero((order.point[named] != points) | (named == naming) | ~alone[named])
        if len(wrong):
            (seed,) = self.seeds.take(order.seed[naming[wrong[:1]]].astype(np.int64))
            name = seed.partners[wrong[0] - order.partner_starts[naming[wrong[0]]]]
            raise PlanError(
                f"{place_of(seed.source, seed.line)}: the partner {name!r} is no other persona of the seeds; "
                f"{len(wrong):,} such partner(s) are named: mend the column, or leave out pairing.partners"
            )
        if not len(naming) and not self._pairs.any() and alone.any():
            raise PlanError("pairing.partners is `file`, but no seed names a partner: set fields.partner of the seeds")
        both = ~self.left_out[naming] & ~self.left_out[named]
        return naming[both], named[both]

    def _partners_of(self, personas: Indices) -> tuple[Indices, Indices]:
        """Who talks to whom, of these personas, whose places follow each other."""
        if self._chosen is None and self.cast.partners is None:
            return np.repeat(personas, len(self._partners)), np.tile(self._partners.members, len(personas))
        if self._chosen is None:
            partners = self._partners.partners(personas, self._drawn_partners, apart=self.cast.apart)
            return np.repeat(personas, partners.shape[1]), partners.ravel()
        naming, named = self._chosen
        some = slice(*np.searchsorted(naming, [personas[0], personas[-1] + 1])) if len(personas) else slice(0)
        return naming[some], named[some]

    def _ring(self, which: NDArray[np.bool_]) -> Ring:
        members = None if which.all() else np.flatnonzero(which)
        return Ring(self.seeds.sorted.key, members, self.seeds.sorted.point)

    def _check(self) -> None:
        dialogues = int(self.imported.sum())
        personas = int((self.seeds.sorted.turns == 0).sum())
        if personas and not self._talks and not self.alone:
            writers = " or ".join(
                f"makers.{name}" for name, maker in found("makers").items() if "turns" in maker.writes
            )
            raise PlanError(f"the seeds are personas, but no maker writes dialogues of them; add {writers}")
        talk = {"partners": 1, "pools": None, "match": None, "cross": None}
        for name, usual in talk.items() if self.alone else ():
            if getattr(self.job.pairing, name) != usual:
                raise PlanError(f"the makers make personas, who talk to nobody: leave out pairing.{name}")
        if self.alone and (self.seeds.sorted.turns == 1).any():
            raise PlanError("the makers make personas, but some seeds are openings: leave out fields.opening")
        if (donors := self.job.pairing.donors) is not None:
            read = [one.corpus for one in self.job.seeds if isinstance(one, CorpusSource)]
            if absolute(donors.corpus, self.job.base) in (absolute(one, self.job.base) for one in read):
                raise PlanError(
                    f"the personas of {donors.corpus} are the seeds: leave out pairing.donors, and facts of other "
                    "seeds are taken"
                )
        if self.job.pairing.donors is not None and not self.donated:
            takers = " or ".join(f"makers.{name}" for name, maker in found("makers").items() if maker.donors)
            raise PlanError(f"no maker takes facts of others: leave out pairing.donors, or add {takers}")
        if not dialogues and personas < 2 and not self._pairs.any() and not self.job.pairing.cross:
            wanting = "a persona is needed" if self.alone else "a dialogue needs two personas"
            raise PlanError(f"{personas} readable seed(s): {wanting}; {self._unread()}")
        if dialogues and not self.making.recipes["imported"]:
            raise PlanError("the seeds are dialogues, but there is no maker, score or select to run on them")
        if self.donors is not None and not len(self.donors.ring):
            where = "the seeds hold no persona; leave it out, or name a corpus to take them from: pairing.donors"
            if given := self.job.pairing.donors:
                where = f"no accepted row of {given.corpus} at version {given.version} holds any"
            raise PlanError(f"{self._asking[0]} needs facts of other speakers, but {where}")

    def _unread(self) -> str:
        """Why there are not more seeds."""
        bad, repeated = self.seeds.bad, self.seeds.repeated
        again = f"{repeated:,} row(s) repeat another; " if repeated else ""
        return again + (f"{len(bad):,} cannot be read:{first_of(bad)}" if bad else "add seeds")

    def has(self, keys: Keys) -> NDArray[np.bool_]:
        """Whether there is a seed with each of these keys."""
        points, sought = self.seeds.sorted.point, ring_points(keys)
        place = np.minimum(np.searchsorted(points, sought), len(points) - 1)
        return np.asarray(points[place] == sought)

    def slots(self, low: int, high: int) -> Slots:
        """The slots whose first seed's point on the ring is between `low` and `high`, both included."""
        points = self.seeds.sorted.point
        start, stop = np.searchsorted(points, np.uint64(low)), np.searchsorted(points, np.uint64(high), side="right")
        seeds = np.arange(start, stop)
        dialogues, pairs = seeds[self.imported[seeds]], seeds[self._pairs[seeds]]
        personas = seeds[self.cast.opens[seeds]]
        samples = self.job.pairing.samples
        numbers = np.arange(samples, dtype=np.int32)
        first, second = self._partners_of(personas)
        return self._slots(
            np.concatenate([dialogues, np.repeat(np.concatenate([pairs, first]), samples)]),
            np.concatenate([dialogues, np.repeat(np.concatenate([pairs, second]), samples)]),
            np.concatenate([np.zeros(len(dialogues), np.int32), np.tile(numbers, len(pairs) + len(first))]),
        )

    def _slots(self, first: Indices, second: Indices, sample: NDArray[np.int32]) -> Slots:
        keys, digests = self.seeds.sorted.key, self.seeds.sorted.digests
        slot = slot_keys(keys[first], keys[second], sample)
        inputs = np.zeros((len(INPUTS), len(slot)), np.uint64)
        for place, digest in enumerate(digests):
            inputs[place] = input_keys(digest[first], digest[second])
        if self.donors is not None:
            self._draw(first, second, slot, inputs[INPUTS.index(DONORS)])
        return Slots(first, second, sample, slot, inputs)

    def _draw(self, first: Indices, second: Indices, slot: Keys, keys: Keys) -> None:
        """Add the keys of the donors' facts to those of the slots."""
        assert self.donors is not None
        for side in (0, 1):
            order = order_of(slot, side)
            for start in range(0, len(slot), _DRAWN_AT_ONCE):
                some = order[start : start + _DRAWN_AT_ONCE]
                given, facts = drawn(self.donors, (first[some], second[some]), slot[some], side, self.donated)
                places = np.arange(len(given), dtype=np.uint64)[:, None]
                new = donor_keys(side, places, self.donors.said[facts])
                new[given < 0] = 0
                keys[some] += new.sum(axis=0, dtype=np.uint64)

    def rows(self, slots: Slots) -> Iterator[Row]:
        """The skeletons of slots: seeds, speakers and donors, nothing made yet."""
        given = []
        if self.donors is not None:
            both = (slots.first, slots.second)
            draws = [drawn(self.donors, both, slots.slot, side, self.donated) for side in (0, 1)]
            given = [self.donors.facts(*draw) for draw in draws]
        needed = np.unique(np.concatenate([slots.first, slots.second]))
        seeds = dict(zip(needed.tolist(), self.seeds.take(self.seeds.sorted.seed[needed]), strict=True))
        for number in range(len(slots)):
            first, second = int(slots.first[number]), int(slots.second[number])
            row = skeleton([seeds[index] for index in dict.fromkeys((first, second))], int(slots.sample[number]))
            if self._new and row.kind == "generated":
                _make_parents(row)
                yield row
                continue
            row.donors = [side[number] for side in given]
            yield row


def skeleton(seeds: list[Seed], sample: int) -> Row:
    """The row of these seeds before any maker or score."""
    imported, opened = len(seeds[0].turns) > 1, len(seeds[0].turns) == 1
    return Row(
        row_id=row_id(tuple(seed.id for seed in seeds), sample),
        kind="imported" if imported else "generated",
        sample=sample,
        seeds=[SeedRef(seed.id, list(seed.digests), seed.source, seed.line) for seed in seeds],
        speakers=[speaker for seed in seeds for speaker in _speakers(seed)],
        opening=seeds[0].turns[0][1] if opened else None,
        turns=list(_turns(seeds[0])) if imported else [],
    )


def _make_parents(row: Row) -> None:
    """Make speakers the parents of those that are to be made: what they tell is shown to makers, and no more."""
    row.donors = [speaker.facts for speaker in row.speakers]
    several = len(row.speakers) > 1
    row.speakers = [
        Speaker(f"{row.row_id}-{number}" if several else row.row_id, speaker.seed_id)
        for number, speaker in enumerate(row.speakers)
    ]


def _turns(seed: Seed) -> Iterator[Turn]:
    """The turns of a dialogue; with one that has candidates it is one of them, as where it was chosen from several."""
    candidates = seed.candidates or ((),) * len(seed.turns)
    for (speaker, text), others in zip(seed.turns, candidates, strict=True):
        own = [Candidate(text, True)] if others else []
        yield Turn(speaker, text, candidates=own + [Candidate(other, False) for other in others])


def _speakers(seed: Seed) -> list[Speaker]:
    told = seed.speakers or [SeedSpeaker()] * len(seed.personas)
    return [
        Speaker(
            id=one.id or seed.id,
            seed_id=seed.id,
            name=one.name,
            attributes=one.attributes,
            facts=[Fact(text, "seed", seed.id) for text in facts],
        )
        for one, facts in zip(told, seed.personas, strict=True)
    ]
