from __future__ import annotations

import numpy as np
import pytest

from factory.base.bootstrap import differences, ratios


def drawn(seed: int, count: int) -> np.ndarray:
    """Columns as scores have them: a normal one, one that goes with it, a skewed and a rare one, one that never
    varies, and one that half of the samples have."""
    chance = np.random.default_rng(seed)
    normal = chance.normal(size=count)
    rare = (chance.random(count) < 0.05).astype(float)
    half = np.where(chance.random(count) < 0.5, chance.random(count), np.nan)
    columns = [normal, normal + 0.1 * chance.normal(size=count), chance.exponential(size=count) ** 2, rare]
    return np.stack([*columns, np.full(count, 8.0), half], axis=1)


def found_in(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    difference, least, most = differences(one, other)
    return (difference != 0) & ((least > 0) | (most < 0))


def test_two_halves_of_one_set_do_not_differ_in_95_percent_of_splits():
    chance, whole, splits = np.random.default_rng(0), drawn(1, 240), 120
    wrong = 0
    for _ in range(splits):
        order = chance.permutation(len(whole))
        wrong += found_in(whole[order[:120]], whole[order[120:]]).any()
    assert wrong <= 0.05 * splits + 2 * (splits * 0.05 * 0.95) ** 0.5
    assert wrong >= 1  # intervals that are never wrong are too wide


@pytest.mark.parametrize("column", [0, 2, 3, 4, 5])
def test_a_shift_is_found_in_its_column_alone(column):
    one, other = drawn(2, 200), drawn(3, 200)
    other[:, column] += 2
    expected = np.zeros(one.shape[1], bool)
    expected[column] = True
    assert found_in(one, other).tolist() == expected.tolist()


def test_the_interval_is_around_the_difference_of_the_known_values():
    one, other = np.array([[1.0, np.nan], [3.0, 2.0]]), np.array([[2.0, 1.0], [np.nan, 5.0], [4.0, 0.0]])
    difference, least, most = differences(one, other)
    assert difference[0] == 1
    assert np.isnan(difference[1])  # one known value of a side is too few
    assert least[0] < 1 < most[0]
    assert differences(one, other).least[0] == least[0]


def test_columns_that_go_together_cost_nothing():
    one, other = drawn(4, 100)[:, :1], drawn(5, 100)[:, :1]
    alone = differences(one, other)
    many = differences(np.repeat(one, 20, axis=1), np.repeat(other, 20, axis=1))
    assert many.most[7] == pytest.approx(alone.most[0])
    unlike = differences(
        np.random.default_rng(6).normal(size=(100, 20)), np.random.default_rng(7).normal(size=(100, 20))
    )
    assert (unlike.most - unlike.least).mean() > 1.3 * (alone.most - alone.least)[0]


def test_ratios_are_of_sums_over_all_and_over_what_is_drawn() -> None:
    over, under = np.array([[1.0, 2.0, 0.0], [5.0, 6.0, 0.0]]), np.array([[1.0, 1.0, 0.0], [3.0, 3.0, 0.0]])
    found = ratios(over, under)
    assert found[0, :2].tolist() == [1.5, 2.0]
    assert np.isnan(found[:, 2]).all()
    # Of two samples there are three ways to draw two, and both columns are drawn alike.
    assert {round(one, 6) for one in found[1:, 0]} == {1.0, 1.5, round(5 / 3, 6)}
    assert {(round(one, 6), round(other, 6)) for one, other in found[1:, :2]} == {
        (1, 2),
        (1.5, 2),
        (round(5 / 3, 6), 2),
    }


def test_the_spread_of_ratios_is_that_of_their_samples() -> None:
    chance = np.random.default_rng(3)
    over, under = chance.normal(10, 2, (400, 1)), np.ones((400, 1))
    spread = ratios(over, under)[1:].std()
    assert spread == pytest.approx(over.std() / 20, rel=0.1)
