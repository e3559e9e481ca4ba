"""Ratios, and differences of means with intervals that hold for many columns at once, by the bootstrap.

Limitations: of few samples the intervals are a little too narrow, as the bootstrap's are; samples must be independent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
_RESAMPLES, _BLOCK = 2000, 100
_LEAST = 2
"""Known values of a column on either side that a difference needs."""


class Differences(NamedTuple):
    """By column: the difference of the means, other less one, and the ends of its interval; NaN where a side has fewer
    than two values."""

    difference: Values
    least: Values
    most: Values


def differences(one: Values, other: Values, level: float = 0.95, seed: int = 0) -> Differences:
    """Compare the means of two sets of samples column by column; shapes (samples, columns), NaN where a value is not
    known. All intervals together hold with the probability `level`: each is as many standard errors wide as the widest
    of them needs (the maximum over columns, Westfall and Young, 1993), so columns that go together cost nothing."""
    counts = np.minimum(*(np.isfinite(some).sum(axis=0) for some in (one, other)))
    chance = np.random.default_rng(seed)
    whole = [np.ones((1, len(some))) for some in (one, other)]
    found = np.where(counts >= _LEAST, (_means(other, whole[1]) - _means(one, whole[0]))[0], np.nan)
    blocks = [
        _means(other, _drawn(len(other), chance)) - _means(one, _drawn(len(one), chance))
        for _ in range(_RESAMPLES // _BLOCK)
    ]
    away = np.concatenate(blocks) - found
    known = np.isfinite(away)
    error = np.sqrt(np.where(known, away**2, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    scaled = np.where(known & (error > 0), np.abs(away) / np.where(error > 0, error, 1), 0)
    reach = np.quantile(scaled.max(axis=1), level) * error
    return Differences(found, found - reach, found + reach)


def ratios(over: Values, under: Values, seed: int = 0) -> Values:
    """Sums of columns over sums of others, as a mean over the turns of dialogues is: of all samples, and then of as
    many drawn from them with replacement, time after time; shapes (samples, columns) and (1 + resamples, columns). NaN
    where nothing is drawn. Columns are drawn alike, so what two of them differ by, resample by resample, is of pairs
    (Efron and Tibshirani, 1993)."""
    chance = np.random.default_rng(seed)
    parts = [np.ones((1, len(over))), *(_drawn(len(over), chance) for _ in range(_RESAMPLES // _BLOCK))]
    drawn = np.concatenate(parts)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Values = (drawn @ over) / (drawn @ under)
    return np.where(np.isfinite(found), found, np.nan)


def _drawn(count: int, chance: np.random.Generator) -> Values:
    """How often each of so many samples is drawn, shape (resamples, samples)."""
    return chance.multinomial(count, np.full(count, 1 / count), size=_BLOCK).astype(np.float64)


def _means(values: Values, weights: Values) -> Values:
    """The means of the known values by column, shape (resamples, columns); NaN where none is drawn."""
    known = np.isfinite(values)
    total = weights @ known
    with np.errstate(invalid="ignore"):
        means: Values = weights @ np.where(known, values, 0) / np.where(total > 0, total, np.nan)
    return means
