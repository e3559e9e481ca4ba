"""How sure a share is that was counted."""

from __future__ import annotations


def wilson(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of the share of `count` in `total`, which is not 0 (Wilson, 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(count, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)
