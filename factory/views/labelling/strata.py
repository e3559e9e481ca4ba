"""The strata of P(contradiction) that pairs are drawn from, and how many of each.

They are bounded by the thresholds and the points halfway between them. Half of a sample is spread over them equally: as
many pairs just below a threshold as just above it. The other half follows their sizes, as a plain random sample would.
Limitations: few pairs are drawn far below the thresholds, and each stands for many, so what is there is known worst.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Stratum:
    """The pairs whose P(contradiction) is at least `low` and below `high` (the last one: at most 1): how many there
    are, and how many of them are drawn."""

    low: float
    high: float
    pairs: int
    drawn: int

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}"


def edges_near(thresholds: Sequence[float]) -> list[float]:
    """The bounds of the strata: 0, the thresholds, the points halfway between all of these and 1, and 1."""
    known = [0.0, *thresholds, 1.0]
    halfway = [round((low + high) / 2, 6) for low, high in pairwise(known)]
    return sorted({*known, *halfway})


def allotted(sizes: Sequence[int], count: int) -> list[int]:
    """How many pairs to draw of strata of these sizes: half of all equally, half by size, at most what there is."""
    held, taken = sum(1 for size in sizes if size), [0] * len(sizes)
    wanted = [(1 / held + size / sum(sizes)) if size else 0.0 for size in sizes]
    for _ in range(min(count, sum(sizes))):
        free = (number for number, size in enumerate(sizes) if taken[number] < size)
        taken[min(free, key=lambda number: (taken[number] + 1) / wanted[number])] += 1
    return taken
