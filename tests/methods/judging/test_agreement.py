from __future__ import annotations

import random
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.methods.judging.agreement import Answer, Binomial, fewest, settle, two_sided


def answers(*values, orders=1):
    return [Answer(value, order=number % orders, sample=number // orders) for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "rule", "value", "agreement"),
    [
        ((2, 2, 2), "unanimous", 2, 1),
        ((2, 2, 3), "unanimous", None, 2 / 3),
        ((2, 2, 3), "majority", 2, 2 / 3),
        ((2, 3), "majority", None, 1 / 2),
        ((1, 2, 3), "majority", None, 1 / 3),
        ((1, 2, 3), "mean", 2, 1 / 3),
        ((1,) * 5, Binomial(test=0.05), None, 1),
        ((1,) * 6, Binomial(test=0.05), 1, 1),
        ((1,) * 8 + (0,), Binomial(test=0.05), 1, 8 / 9),
        ((1,) * 8 + (0,) * 2, Binomial(test=0.05), None, 8 / 10),
        ((1,) * 6 + (0,) + (2,), Binomial(test=0.05), None, 6 / 8),
        ((1,) * 8 + (0,) + (2,), Binomial(test=0.05), 1, 8 / 10),
    ],
)
def test_each_rule_has_its_bound(values, rule, value, agreement):
    found = settle(answers(*values), rule)
    assert (found.value, found.agreement) == (value, pytest.approx(agreement))
    assert found.reason == (None if value is not None else "disagreement")


@pytest.mark.parametrize("rule", ["unanimous", "majority", Binomial(test=0.05)])
@pytest.mark.parametrize("samples", [1, 3, 10])
def test_a_judge_that_goes_by_place_never_agrees_over_both_orders(rule, samples):
    found = settle(answers(*[0, 1] * samples, orders=2), rule)
    assert (found.value, found.reason) == (None, "order")


def test_what_cannot_be_read_or_is_not_certain_counts_against_it():
    lost = [*answers(1, 1), Answer(None, 90)]
    assert settle(lost, "unanimous").reason == "unreadable"
    assert settle(lost, "majority").value == 1
    assert settle([Answer(None), Answer(None)], "mean").reason == "unreadable"
    unsure = [Answer(1, 80), Answer(1, 79), Answer(1, None)]
    assert settle(unsure, "unanimous", 80).reason == "uncertain"
    assert settle(unsure, "majority", 80).reason == "uncertain"
    assert settle(unsure, "majority", 79).value == 1
    assert settle(unsure[1:], "mean", 80).reason == "uncertain"
    assert settle([Answer(2, 79), Answer(4, 80)], "mean", 80).value == 4


def test_the_binomial_test_is_exact():
    assert [round(two_sided(n, n), 4) for n in (1, 5, 6)] == [1.0, 0.0625, 0.0312]
    assert two_sided(9, 10) == pytest.approx(22 / 1024)
    assert two_sided(5, 10) == 1.0
    assert [fewest(level) for level in (0.05, 0.01, 0.5)] == [6, 8, 2]


def test_a_judge_that_flips_a_coin_abstains_at_the_rate_of_the_test():
    # Ten flips agree at 0.05 if nine or ten are alike: 2 (1 + 10) / 1024 of all cases.
    rows, rate, chance = 4000, 1 - 22 / 1024, random.Random(7)
    flips = ([chance.randrange(2) for _ in range(10)] for _ in range(rows))
    abstained = sum(settle(answers(*one, orders=2), Binomial(test=0.05)).value is None for one in flips)
    assert abs(abstained / rows - rate) < 3 * sqrt(rate * (1 - rate) / rows)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.randoms())
def test_the_order_in_which_answers_came_changes_nothing(values, chance):
    given_ = answers(*values, orders=2)
    other = list(given_)
    chance.shuffle(other)
    for rule in ("unanimous", "majority", "mean", Binomial(test=0.1)):
        assert settle(given_, rule) == settle(other, rule)


def test_no_answers_are_nothing_to_settle():
    with pytest.raises(ValueError, match="no answers"):
        settle([], "majority")
