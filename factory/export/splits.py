"""Splits that keep a speaker on one side: by the hash of an id, so that a grown corpus moves no row.

A speaker's id is its seed's, unless the imported file gave it one. The two of an imported dialogue belong together, and
so does everybody whom a chain of such dialogues connects: they form a group, which goes to one side as a whole. The two
personas of a generated dialogue were paired by the factory and do not; a row with one of them on either side is left
out. Limitations: the shares are of the groups. With a share of 0.1 and two personas a row, about 1 % of the rows have
both in it, 81 % neither, and 18 % one on either side. A new dialogue between speakers of two groups makes them one, and
may move the rows of one. Personas that say the same under two ids count as two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from factory.base.fingerprint import fraction
from factory.methods.exports import ExportError
from factory.store.corpus import Corpus
from factory.store.records import Row

TRAIN = "train"
NAMES = (TRAIN, "validation", "test")
"""The names that `datasets` knows a split's files by."""


@dataclass(frozen=True, slots=True)
class Splits:
    """The shares of the groups, from 0 to 1, that go to test and to validation; the others go to train. `groups` has
    the id that stands for its group, for each id that is not a group of its own.

    A larger share takes groups from train alone. A share of test holds the seeds that `held` of a `factory train-lm`
    keeps from training, where speakers have the ids of their seeds."""

    test: float = 0.0
    validation: float = 0.0
    groups: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, shares: Mapping[str, float], groups: Mapping[str, str] | None = None) -> Splits:
        """By name. Raises ExportError for another name, or shares that leave nothing to train on."""
        for name, share in shares.items():
            if name not in NAMES[1:]:
                raise ExportError(f"split {name}: use test or validation; what they leave is train")
            if not 0 < share < 1:
                raise ExportError(f"split {name}={share:g}: give a share of the seeds between 0 and 1")
        if sum(shares.values()) >= 1:
            raise ExportError("the splits leave no seed to train on: their shares add up to 1 or more")
        return cls(**shares, groups=groups or {})

    def side(self, id_: str) -> str:
        """The split of a speaker or a seed."""
        place = fraction("held", self.groups.get(id_, id_))
        if place < self.test:
            return "test"
        return "validation" if place >= 1 - self.validation else TRAIN

    def of_row(self, row: Row) -> str | None:
        """The split of a row, none if its speakers are on different sides."""
        sides = {self.side(speaker.id) for speaker in row.speakers}
        return sides.pop() if len(sides) == 1 else None

    def missed(self, found: Iterable[str]) -> list[str]:
        """What is to be said of splits that there should be and that are not among those found, a line each."""
        size = max(Counter(self.groups.values()).values(), default=0)
        together = (
            f"; {size:,} of the ids of speakers and dialogues form one group, which stands on one side: if the labels "
            "of speakers are roles, set `fields.speaker: false` for these seeds"
        )
        shares = {TRAIN: self.test + self.validation, "test": self.test, "validation": self.validation}
        return [
            f"there is no row for {name}{together if size > len(self.groups) // 2 else ''}"
            for name, share in shares.items()
            if share and name not in found
        ]


def groups_of(corpus: Corpus, version: int) -> dict[str, str]:
    """The groups of a version's speakers: to each id the smallest of its group, for groups of several ids. Raises
    CorpusError."""
    speakers = corpus.table.frame(corpus.table.shards_at(version)).select(pl.col("speakers").explode())
    ids = speakers.select(
        speaker=pl.col("speakers").struct.field("id"), seed=pl.col("speakers").struct.field("seed_id")
    )
    return connected(ids.filter(pl.col("speaker") != pl.col("seed")).unique().collect(engine="streaming").iter_rows())


def connected(pairs: Iterable[Sequence[str]]) -> dict[str, str]:
    """The connected components of a graph, by its edges: to each node the smallest of its component."""
    above: dict[str, str] = {}

    def root(node: str) -> str:
        while (next_up := above.setdefault(node, node)) != node:
            above[node] = above[next_up]  # halves the path
            node = next_up
        return node

    for pair in pairs:
        first, second = sorted(map(root, pair))
        above[second] = first
    return {node: root(node) for node in above}
