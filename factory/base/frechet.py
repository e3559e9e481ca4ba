"""Fréchet distance of two sets of embeddings, as of two normal distributions (FID; Heusel et al., NeurIPS 2017).

It is biased upwards by as much as samples are small. So it is taken at several sizes, and a line over one by the size
is followed to where samples are endless (Chong and Forsyth, CVPR 2020). A few hundred samples do not fill hundreds of
dimensions, so only the directions count in which both sets together vary most. Limitations: what differs in others is
not seen; of sets of unlike size, only as many of the larger one count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.floating]
_DIRECTIONS = 32
"""Directions that count. Ours: of 384 dimensions, two halves of 800 turns of one source lay half as far apart as two
sources did, also when extrapolated."""
_SIZES = 6
_SMALLEST = 0.5
"""The smallest size, as a share of the sample. The bias is no line for samples near the number of directions."""


def frechet(one: Vectors, other: Vectors) -> float:
    """|m - m'|² + tr(S + S' - 2 (S S')^½), of means and covariances; shapes (samples, dimensions)."""
    ones, others = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    values, axes = np.linalg.eigh(ones)
    root = axes * np.sqrt(np.clip(values, 0, None)) @ axes.T
    both = np.linalg.eigvalsh(root @ others @ root)
    shared = np.sqrt(np.clip(both, 0, None)).sum()
    apart = one.mean(axis=0) - other.mean(axis=0)
    return float(apart @ apart + np.trace(ones) + np.trace(others) - 2 * shared)


def unbiased_frechet(one: Vectors, other: Vectors, seed: int = 0) -> float:
    """The same in 32 directions at most, extrapolated to endless samples; chance may make it a little less than 0."""
    chance = np.random.default_rng(seed)
    one, other = _leading(one, other)
    most = min(len(one), len(other))
    sizes = np.linspace(_SMALLEST * most, most, _SIZES).astype(int)
    found = [frechet(*(_drawn(some, size, chance) for some in (one, other))) for size in sizes]
    return float(np.polyfit(1 / sizes, found, 1)[1])


def _leading(one: Vectors, other: Vectors) -> tuple[Vectors, Vectors]:
    """Both sets in the directions of most variance of the two together."""
    _, axes = np.linalg.eigh(np.cov(np.concatenate([one, other]), rowvar=False))
    leading = axes[:, -_DIRECTIONS:]
    return one @ leading, other @ leading


def _drawn(vectors: Vectors, size: int, chance: np.random.Generator) -> Vectors:
    return vectors[chance.choice(len(vectors), size, replace=False)]
