"""Whose facts distract: those that the job's own seeds give, or those of a corpus at a stated version.

Dialogues without personas give no facts, so a job on them has none to distract with. PPDS (arXiv 2412.09034) gets them
by extraction: one job extracts, and the next, of the same seeds, draws from what the first one's accepted rows hold.
There a donor is a person: a speaker with an id of its own is one in all its dialogues. Draws are made on a ring, so one
fact more moves only the draws of its own donor. Limitations: a corpus's facts are read anew by each plan, all into
memory; speakers whose ids the corpus does not tell, since their rows failed there, are strangers to all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import polars as pl
import pyarrow as pa

from factory.base.arrays import offsets_of, text_keys, texts
from factory.base.fingerprint import Indices, Keys, blake, key, mix, ring_points
from factory.base.places import absolute
from factory.methods.origins import origins
from factory.methods.registry import found
from factory.planning.pairing import Ring
from factory.seeds.columns import fact_keys, said_keys, seed_keys
from factory.seeds.store import Seeds
from factory.spec.job import Job
from factory.store.corpus import Corpus
from factory.store.records import Fact

_DONOR, _FACT = key("donor"), key("donor fact")


class Donors(Protocol):
    """Who may give facts, and which: `starts` says where those of each donor begin in `said`, keys of the facts as
    facts of their seeds; `identity` changes with what is drawn from, but for the job's own seeds."""

    ring: Ring
    starts: Indices
    said: Keys
    identity: str

    def own(self, seeds: Indices) -> Indices:
        """For each of the job's seeds, by their places on the ring, the donors that it speaks for: shape (seeds, any),
        -1 where there are no more."""
        ...

    def facts(self, given: Indices, places: Indices) -> list[list[Fact]]:
        """The drawn facts of each slot, by their donors (-1 for none) and places in `said`, shape (donors, slots)."""
        ...


def donors_of(job: Job, seeds: Seeds) -> Donors:
    """The donors of a job. Raises CorpusError if their corpus or its version is not there."""
    return _OwnSeeds(seeds) if job.pairing.donors is None else _OfCorpus(job, seeds)


def order_of(slot: Keys, side: int) -> Indices:
    """Slots in the order of one side's draws, so that what is read of the ring lies together."""
    return np.argsort(mix(_DONOR, slot, side))


def drawn(donors: Donors, seeds: Sequence[Indices], slot: Keys, side: int, count: int) -> tuple[Indices, Indices]:
    """The donors of one side of slots, of these first and second seeds, -1 where there are no more, and the places of
    the drawn facts: shape (count, slots)."""
    excluded = np.concatenate([donors.own(one) for one in seeds], axis=1)
    given = donors.ring.donors(mix(_DONOR, slot, side), excluded, count).T
    # As mix(_FACT, slot, side, number) would be, but what is the same for all numbers is mixed once.
    chance = mix(mix(_FACT, slot, side) ^ np.arange(count, dtype=np.uint64)[:, None])
    known = np.maximum(given, 0)
    starts = donors.starts[known]
    facts = np.maximum(donors.starts[known + 1] - starts, 1)
    return given, starts + (chance % facts.astype(np.uint64)).astype(np.int64)


class _OwnSeeds:
    """Every seed with facts, by its place on the ring."""

    identity = ""

    def __init__(self, seeds: Seeds) -> None:
        order = seeds.sorted
        self._seeds = seeds
        self.starts, self.said = order.starts, order.facts
        giving = order.starts[1:] > order.starts[:-1]
        self.ring = Ring(order.key, None if giving.all() else np.flatnonzero(giving), order.point)

    def own(self, seeds: Indices) -> Indices:
        return seeds[:, None]

    def facts(self, given: Indices, places: Indices) -> list[list[Fact]]:
        needed = np.unique(given)
        needed = needed[needed >= 0]
        seeds = dict(
            zip(needed.tolist(), self._seeds.take(self._seeds.sorted.seed[needed].astype(np.int64)), strict=True)
        )

        def fact(donor: int, place: int) -> Fact:
            told = [text for persona in seeds[donor].personas for text in persona]
            return Fact(told[place - int(self.starts[donor])], "seed", seeds[donor].id)

        return _by_slot(given, places, fact)


class _OfCorpus:
    """Every person with facts in the accepted rows of a corpus."""

    def __init__(self, job: Job, seeds: Seeds) -> None:
        assert job.pairing.donors is not None
        corpus, version = Corpus(absolute(job.pairing.donors.corpus, job.base)), job.pairing.donors.version
        shards = corpus.table.shards_at(version)
        self.identity = blake("donors", *sorted(shard.path for shard in shards))
        accepted = (pl.col("decision").fill_null("accept") == "accept").alias("accepted")
        speakers = corpus.table.frame(shards).select(accepted, pl.col("speakers")).explode("speakers")
        one = pl.col("speakers").struct
        known = speakers.select("accepted", one.field("id"), one.field("seed_id"), one.field("facts"))
        self._facts = _facts_of(known)
        persons = self._facts["id"].unique(maintain_order=True)
        counts = self._facts.group_by("id", maintain_order=True).len()["len"]
        self.starts = offsets_of(counts.to_numpy())
        self.said = said_keys(seed_keys(_array(self._facts["source_id"])), fact_keys(_array(self._facts["text"])))
        self.ring = Ring(text_keys("donor", _array(persons)))
        self._own = _own_of(known, persons, seeds)

    def own(self, seeds: Indices) -> Indices:
        return self._own[seeds]

    def facts(self, given: Indices, places: Indices) -> list[list[Fact]]:
        texts, origins, sources = (self._facts[name] for name in ("text", "origin", "source_id"))
        return _by_slot(given, places, lambda _, place: Fact(texts[place], origins[place], sources[place]))


def _facts_of(known: pl.LazyFrame) -> pl.DataFrame:
    """The facts of accepted rows, each once a person, in an order of their own, whatever shards they stand in."""
    fact = pl.col("facts").struct
    told = known.filter("accepted").select("id", "facts").explode("facts").drop_nulls("facts")
    given = told.select("id", *(fact.field(name) for name in ("text", "origin", "source_id")))
    ordered = given.filter(pl.col("origin").is_in(_own_origins())).sort("id", "text", "source_id", "origin")
    return ordered.unique(["id", "text"], keep="first", maintain_order=True).collect()


def _own_origins() -> list[str]:
    """Origins of facts that say something of their speaker: not those of makers that are given facts of others."""
    own = {field for maker in found("makers").values() if maker.donors == 0 for field in maker.writes}
    return [origin for origin in origins() if origin == "seed" or f"facts.{origin}" in own]


def _own_of(known: pl.LazyFrame, persons: pl.Series, seeds: Seeds) -> Indices:
    """For each seed of the job, the donors whom it speaks for: shape (seeds, most of one), -1 where there are no
    more."""
    places = pl.LazyFrame({"id": persons, "place": np.arange(len(persons))})
    own = known.select("seed_id", "id").unique().join(places, on="id").group_by("seed_id").agg("place").collect()
    most = max((len(row) for row in own["place"].to_list()), default=0)
    speaking = np.full((len(seeds.sorted), most), -1, np.int64)
    if not len(seeds.sorted):
        return speaking
    points = ring_points(seed_keys(_array(own["seed_id"])))
    where = np.minimum(np.searchsorted(seeds.sorted.point, points), len(seeds.sorted) - 1)
    for row, place, point in zip(own["place"].to_list(), where.tolist(), points, strict=True):
        if seeds.sorted.point[place] == point:
            speaking[place, : len(row)] = sorted(row)
    return speaking


def _array(values: pl.Series) -> pa.StringArray:
    return texts(values.to_list())


def _by_slot(given: Indices, places: Indices, fact: Callable[[int, int], Fact]) -> list[list[Fact]]:
    return [
        [fact(donor, place) for donor, place in zip(some, drawn_places, strict=True) if donor >= 0]
        for some, drawn_places in zip(given.T.tolist(), places.T.tolist(), strict=True)
    ]
