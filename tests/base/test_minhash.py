"""Signatures estimate what sets of words have in common, and texts are settled as by comparing each with each."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.base import minhash
from factory.base.minhash import BLANK, Signatures, settle, signatures, similarities, words


def settled(signed: Signatures, similarity: float, *steps: int) -> list[int]:
    """Leaders of texts that come so many at a time, and the rest at last."""
    leader, begin = np.full(len(signed), -1), 0
    for end in [*(step for step in steps if step < len(signed)), len(signed)]:
        settle(lambda rows: signed[rows], np.arange(end), leader, start=begin, similarity=similarity)
        begin = end
    return leader.tolist()


def each_with_each(signed: Signatures, similarity: float) -> list[int]:
    stays: list[int] = []
    leader = []
    for text in range(len(signed)):
        alike = (
            older
            for older in stays
            if not (signed[text] == BLANK).all()
            and similarities(signed[[older]], signed[[text]])[0] >= similarity - 1e-6
        )
        leader.append(next(alike, text))
        if leader[-1] == text:
            stays.append(text)
    return leader


def variants(seed: int, count: int) -> list[str]:
    """Texts of which many are others with a few words replaced."""
    draw = random.Random(seed)
    texts: list[str] = []
    for _ in range(count):
        said = draw.choice(texts).split() if texts and draw.random() < 0.7 else draw.choices(range(300), k=40)
        for _ in range(draw.randint(0, 5)):
            said[draw.randrange(len(said))] = draw.randrange(300)
        texts.append(" ".join(map(str, said)))
    return [*texts, "", "...", ""]


def test_the_share_of_equal_slots_is_that_of_common_words() -> None:
    draw = random.Random(1)
    found, true = [], []
    for _ in range(300):
        common, one, other = ([str(draw.random()) for _ in range(count)] for count in (54, 3, 3))
        pair = signatures([" ".join(common + one), " ".join(other + common[::-1])])
        found.append(float(similarities(pair[:1], pair[1:])[0]))
        true.append(54 / 60)
    assert np.mean(found) == pytest.approx(np.mean(true), abs=0.01)
    assert np.std(found) < 0.04


def test_neither_case_order_nor_repeats_count() -> None:
    first, second, other = signatures(["I like TEA, you like tea.", "you I tea like", "I like coffee"])
    assert (first == second).all()
    assert (first != other).any()


def test_words_of_scripts_without_spaces_are_letters() -> None:
    assert words("Don't say 我喜欢茶 to me") == ["don't", "say", "我", "喜", "欢", "茶", "to", "me"]


@pytest.mark.parametrize("similarity", [0.9, 0.92, 0.95, 1.0])
@pytest.mark.parametrize("block", [7, 1 << 16])
def test_no_pair_is_missed(similarity: float, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minhash, "_BLOCK", block)
    signed = signatures(variants(3, 250))
    found = settled(signed, similarity)
    assert found == each_with_each(signed, similarity)
    assert 20 < sum(leader != text for text, leader in enumerate(found)) < 240


@given(st.integers(0, 99), st.lists(st.integers(0, 63), max_size=5), st.sampled_from([0.8, 0.85, 0.9]))
@settings(max_examples=30, deadline=None)
def test_it_is_the_same_however_many_come_at_a_time(seed: int, steps: list[int], similarity: float) -> None:
    signed = signatures(variants(seed, 60))
    assert settled(signed, similarity, *sorted(steps)) == settled(signed, similarity)


def test_texts_that_are_all_the_same_repeat_the_first() -> None:
    assert settled(signatures(["the same words again"] * 3000), 0.9) == [0] * 3000
