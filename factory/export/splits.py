"""Splits that keep a persona on one side: by the hash of its seed's id, so that a grown corpus moves no row.

Limitations: the shares are of the seeds. With a share of 0.1 and two personas a row, about 1 % of the rows have both in
it, 81 % neither, and 18 % one on either side, which no split can take. Personas that say the same under two ids count
as two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from factory.base.fingerprint import fraction
from factory.methods.exports import ExportError
from factory.store.records import Row

TRAIN = "train"
NAMES = (TRAIN, "validation", "test")
"""The names that `datasets` knows a split's files by."""


@dataclass(frozen=True, slots=True)
class Splits:
    """The shares of the seeds, from 0 to 1, that go to test and to validation; the others go to train.

    A larger share takes seeds from train alone. A share of test holds the seeds that `held` of a `factory train-lm`
    keeps from training."""

    test: float = 0.0
    validation: float = 0.0

    @classmethod
    def of(cls, shares: Mapping[str, float]) -> Splits:
        """By name. Raises ExportError for another name, or shares that leave nothing to train on."""
        for name, share in shares.items():
            if name not in NAMES[1:]:
                raise ExportError(f"split {name}: use test or validation; what they leave is train")
            if not 0 < share < 1:
                raise ExportError(f"split {name}={share:g}: give a share of the seeds between 0 and 1")
        if sum(shares.values()) >= 1:
            raise ExportError("the splits leave no seed to train on: their shares add up to 1 or more")
        return cls(**shares)

    def side(self, seed_id: str) -> str:
        """The split of a persona."""
        place = fraction("held", seed_id)
        if place < self.test:
            return "test"
        return "validation" if place >= 1 - self.validation else TRAIN

    def of_row(self, row: Row) -> str | None:
        """The split of a row, none if its personas are on different sides."""
        sides = {self.side(seed.id) for seed in row.seeds}
        return sides.pop() if len(sides) == 1 else None
