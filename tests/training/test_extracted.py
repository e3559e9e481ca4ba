from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.training.extracted import figures, rouge_l

TEXTS = st.lists(st.sampled_from(["dog", "cat", "sews", "nurse", "red"]), max_size=6).map(" ".join)


def test_f1_is_of_all_content_words_at_once_and_empty_turns_are_told_apart() -> None:
    wanted = [["I have two dogs."], ["I am a nurse."], [], []]
    found = [["I have two red dogs."], [], [], ["I am tall."]]
    got = figures(wanted, found)
    assert (got.precision, got.recall) == (2 / 3, 2 / 3)  # two, dogs of two, red, dogs; and of two, dogs, nurse
    assert got.f1 == pytest.approx(2 / 3)
    assert (got.telling, got.empty, got.left_empty) == (2, 2, 0.5)
    assert got.rouge_l == pytest.approx((2 * 4 / 9 + 0) / 2)


def test_what_there_is_none_of_has_no_figure() -> None:
    assert figures([["I ski."]], [["I ski."]]).left_empty is None
    assert figures([[]], [[]]).f1 is None


@given(TEXTS, TEXTS)
def test_rouge_l_is_one_for_the_same_words_and_the_same_both_ways(one: str, other: str) -> None:
    assert rouge_l(one, one) == 1
    assert rouge_l(one, other) == rouge_l(other, one)
    assert (rouge_l(one, other) == 0) == (not set(one.split()) & set(other.split()) and bool(one or other))


def test_rouge_l_goes_by_order() -> None:
    assert rouge_l("a b c d", "d c b a") == pytest.approx(2 / 8)
    assert rouge_l("I own a red bike", "I own a bike") == pytest.approx(8 / 9)
