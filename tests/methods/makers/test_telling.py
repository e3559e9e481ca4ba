from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.methods.makers.telling import WEIGHTS, telling, words_of


@pytest.mark.parametrize(
    ("telling_turn", "empty"),
    [
        ("I have two dogs and a cat.", "Do you have two dogs and a cat?"),
        ("I'm a nurse in a small town.", "That's great! It was nice to meet you."),
        ("i ve two older mustangs .", "oh wow . how old are they ?"),
        ("My favorite food is pizza.", "Pizza is great."),
        ("I have two dogs, do you?", "Do you have dogs?"),
    ],
)
def test_what_tells_of_its_speaker_stands_above_what_does_not(telling_turn: str, empty: str) -> None:
    assert telling(telling_turn) >= 0.3 > telling(empty)


@given(st.text(max_size=80))
def test_any_text_has_a_probability(text: str) -> None:
    assert 0 <= telling(text) <= 1


@given(
    st.lists(st.sampled_from(["have", "I", "dogs", "you", "and"]), min_size=1).map(
        lambda words: " ".join(["Do", *words])
    )
)
def test_a_question_does_not_move_it(question: str) -> None:
    assert telling(f"I ski. {question}?") == telling("I ski.") <= telling(f"I ski. {question}.")
    assert telling(f"{question}?") == 0


def test_contractions_are_read_as_their_whole_words() -> None:
    assert words_of("I'm tall, I don’t ski.") == words_of("I am tall, I do not ski.")


def test_each_weight_has_a_feature_of_its_own() -> None:
    names = [line.partition("\t")[2] for line in WEIGHTS.read_text(encoding="utf-8").splitlines()]
    assert "" in names
    assert len(names) == len(set(names))
