from __future__ import annotations

import numpy as np
import pytest

from factory.base.frechet import frechet, unbiased_frechet

WIDTH = 20


def drawn(seed: int, count: int, centre: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return centre + scale * np.random.default_rng(seed).normal(size=(count, WIDTH))


def test_the_distance_is_that_of_the_normal_distributions():
    one = drawn(0, 4000)
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet(one, one + 0.5) == pytest.approx(WIDTH * 0.25)
    assert frechet(one, 3 * one) == pytest.approx(
        np.trace(np.cov(one, rowvar=False)) * 4 + 4 * (one.mean(0) ** 2).sum()
    )
    assert frechet(one, drawn(1, 4000, 0.5, 2)) == pytest.approx(WIDTH * (0.25 + 1), rel=0.05)


def test_small_samples_are_not_taken_for_unlike_ones():
    pairs = [(drawn(number, 60), drawn(number + 100, 60)) for number in range(20)]
    biased = np.mean([frechet(*pair) for pair in pairs])
    mended = np.mean([unbiased_frechet(*pair) for pair in pairs])
    assert abs(mended) < 0.25 * biased
    far = [unbiased_frechet(one, other + 1) for one, other in pairs]
    assert np.mean(far) == pytest.approx(WIDTH, rel=0.1)


def test_of_sets_of_unlike_size_the_distance_is_the_same():
    one, other = drawn(2, 2000), drawn(3, 300, 0.5)
    assert unbiased_frechet(one, other) == pytest.approx(WIDTH * 0.25, rel=0.15)
    assert unbiased_frechet(one, other) == unbiased_frechet(one, other)
