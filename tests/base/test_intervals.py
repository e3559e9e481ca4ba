from __future__ import annotations

import pytest
from scipy.stats import binomtest

from factory.base.intervals import difference, wilson


def test_the_interval_is_that_of_the_formula() -> None:
    share, total, z = 0.3, 50, 1.959964
    centre, spread = share + z * z / (2 * total), z * (share * (1 - share) / total + z * z / (4 * total**2)) ** 0.5
    expected = [(centre + sign * spread) / (1 + z * z / total) for sign in (-1, 1)]
    assert wilson(15, total) == pytest.approx(expected)


def test_it_widens_with_confidence_and_stays_within_0_and_1() -> None:
    assert wilson(5, 10, 0.99)[1] > wilson(5, 10)[1]
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == 1


def test_whole_counts_have_scipy_s_interval() -> None:
    for count in range(11):
        told = binomtest(count, 10).proportion_ci(0.9, method="wilson")
        assert wilson(count, 10, 0.9) == pytest.approx((told.low, told.high))


def test_the_difference_of_two_shares_is_newcombes() -> None:
    assert difference(56, 70, 48, 80, 0.95) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert difference(9, 10, 3, 10, 0.95) == pytest.approx((0.1705, 0.8090), abs=5e-5)
    least, most = difference(0, 20, 0, 10, 0.95)
    assert least < 0 < most
