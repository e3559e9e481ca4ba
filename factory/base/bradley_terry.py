"""Strengths of sides that were held against each other in pairs (Bradley and Terry, 1952), with bootstrap intervals.

Limitations: a side that wins everything has an interval without width, as the bootstrap cannot see what was not drawn;
sides that no chain of comparisons joins have no chance against each other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
_RESAMPLES, _STEPS = 2000, 500


class Chances(NamedTuple):
    """The chance of each side (rows) against each other one (columns), p = s_i / (s_i + s_j) of their strengths s, and
    the ends of its interval; shape (sides, sides), NaN where it cannot be told."""

    chance: Values
    least: Values
    most: Values


def chances(points: Values, level: float = 0.95, seed: int = 0) -> Chances:
    """From the points of each side against each other one in each slot, shape (slots, sides, sides): 1 for a win, a
    half for a tie, NaN where they were not compared; those of two sides sum to 1. Slots are drawn as a whole."""
    slots = len(points)
    flat = np.nan_to_num(points).reshape(slots, -1)
    drawn = np.random.default_rng(seed).multinomial(slots, np.full(slots, 1 / slots), size=_RESAMPLES)
    weights = np.concatenate([np.ones((1, slots)), drawn])
    found = _fitted((weights @ flat).reshape(-1, *points.shape[1:]))
    tail = (1 - level) / 2
    with np.errstate(all="ignore"):
        least, most = (_quantile(found[1:], at) for at in (tail, 1 - tail))
    return Chances(found[0], least, most)


def _quantile(found: Values, at: float) -> Values:
    known = np.isfinite(found).any(axis=0)
    ends = np.full(found.shape[1:], np.nan)
    ends[known] = np.nanquantile(found[:, known], at, axis=0)
    return ends


def _fitted(won: Values) -> Values:
    """The chances that are likeliest, by Hunter's steps (Annals of Statistics, 2004); `won` has the points of each side
    against each other one, shape (resamples, sides, sides)."""
    games, wins = won + won.transpose(0, 2, 1), won.sum(axis=2)
    strength = np.ones_like(wins)
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(_STEPS):
            both = strength[:, :, None] + strength[:, None, :]
            faced = np.where(games > 0, games / both, 0).sum(axis=2)
            before, strength = strength, np.where(faced > 0, wins / faced, strength)
            strength = strength / strength.sum(axis=1, keepdims=True)
            if np.allclose(before, strength, atol=1e-9, rtol=0):
                break
        told: Values = strength[:, :, None] / (strength[:, :, None] + strength[:, None, :])
    faced_none = games.sum(axis=2) == 0
    told[faced_none[:, :, None] | faced_none[:, None, :]] = np.nan
    return told
