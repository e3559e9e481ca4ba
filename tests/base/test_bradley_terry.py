"""Strengths from comparisons: planted ones are found, and what was not compared has no chance."""

from __future__ import annotations

import numpy as np
import pytest

from factory.base.bradley_terry import chances


def points(strengths: list[float], slots: int, seed: int) -> np.ndarray:
    """Drawn comparisons of each pair of sides."""
    chance, sides = np.random.default_rng(seed), len(strengths)
    table = np.full((slots, sides, sides), np.nan)
    for one in range(sides):
        for other in range(one):
            share = strengths[one] / (strengths[one] + strengths[other])
            table[:, one, other] = chance.random(slots) < share
            table[:, other, one] = 1 - table[:, one, other]
    return table


def test_of_two_sides_it_is_the_share_of_points():
    table = np.array([[[np.nan, won], [1 - won, np.nan]] for won in (1, 1, 0.5, 0, 1, 1)])
    assert chances(table).chance[0, 1] == pytest.approx(4.5 / 6)
    assert chances(table).chance[1, 0] == pytest.approx(1.5 / 6)


def test_planted_strengths_are_found_within_their_intervals():
    strengths = [1.0, 2.0, 5.0]
    found = chances(points(strengths, 400, seed=1))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        planted = strengths[one] / (strengths[one] + strengths[other])
        assert found.least[one, other] < planted < found.most[one, other]
        assert found.most[one, other] - found.least[one, other] < 0.12


def test_a_chain_of_comparisons_is_enough():
    table = points([1.0, 3.0, 9.0], 4000, seed=2)
    table[:, 0, 2] = table[:, 2, 0] = np.nan
    assert chances(table).chance[2, 0] == pytest.approx(0.9, abs=0.03)


def test_a_side_without_comparisons_has_no_chance():
    table = points([1.0, 1.0, 1.0], 50, seed=3)
    table[:, 2] = table[:, :, 2] = np.nan
    found = chances(table)
    assert np.isnan([found.chance[0, 2], found.least[0, 2], found.most[2, 1]]).all()
    assert np.isfinite(found.chance[0, 1])


def test_a_side_that_wins_everything_has_a_chance_of_one():
    table = np.array([[[np.nan, 1.0], [0.0, np.nan]]] * 12)
    found = chances(table)
    assert (found.chance[0, 1], found.least[0, 1]) == (1, 1)
