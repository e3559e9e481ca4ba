"""How sure a share is that was counted."""

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
