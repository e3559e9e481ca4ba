"""How sure a share is that was counted, and the difference of two."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist


def wilson(count: float, total: float, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of the share of `count` in `total`, which is not 0 (Wilson, 1927). Of weighted counts, `total` is
    the effective size, and `count` the share of it."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = count / total
    centre, spread = share + z * z / (2 * total), z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    least, most = ((centre + sign * spread) / (1 + z * z / total) for sign in (-1, 1))
    return least if count else 0.0, most if count < total else 1.0


def difference(count: float, total: float, other: float, other_total: float, confidence: float) -> tuple[float, float]:
    """The interval of how much greater the share of `count` in `total` is than that of `other` in `other_total`,
    neither of them 0: the square-and-add of both Wilson intervals (Newcombe, 1998, method 10)."""
    share, other_share = count / total, other / other_total
    least, most = wilson(count, total, confidence)
    other_least, other_most = wilson(other, other_total, confidence)
    down = sqrt((share - least) ** 2 + (other_most - other_share) ** 2)
    up = sqrt((most - share) ** 2 + (other_share - other_least) ** 2)
    return share - other_share - down, share - other_share + up
