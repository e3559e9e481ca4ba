from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.engines import Request, Sampling
from factory.engines.choices import begun, counted, drawn, find, shares

LEVELS = ("strongly disagree", "disagree", "agree", "strongly agree")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("agree", 2),
        (" Agree.\n", 2),
        ("STRONGLY AGREE!", 3),
        ('{"answer": "disagree"}', 1),
        ('"disagree"', 1),
        ("I agree", None),
        ("agree, because I like tea", None),
        ('{"other": "agree"}', None),
        ("", None),
        ("[", None),
    ],
)
def test_an_answer_is_a_choice_whatever_its_case_and_final_punctuation(text: str, place: int | None) -> None:
    assert find(text, LEVELS) == place


def test_choices_that_differ_in_case_or_an_end_alone_are_told_apart_where_that_can_be() -> None:
    assert [find(text, ("a", "A", "Hm.", "Hm!", "...")) for text in ("A", "a", "Hm!", "Hm", "...")] == [
        1,
        0,
        3,
        None,
        4,
    ]


def test_shares_of_answers_leave_out_those_that_are_no_choice() -> None:
    assert counted(["Agree.", "agree", "disagree", "Well."], LEVELS) == pytest.approx((0, 1 / 3, 2 / 3, 0))
    assert counted(["Well.", ""], LEVELS) is None


def seen(*tokens: tuple[str, float]) -> list[tuple[str, float]]:
    return [(token, math.log(share) if share else -9999.0) for token, share in tokens]


@pytest.mark.parametrize(
    ("tokens", "probabilities"),
    [
        ([("Yes", 0.5), (" no", 0.1), ("yes", 0.1), ("Well", 0.3)], (6 / 7, 1 / 7)),
        ([("Ye", 0.2), ("Yes", 0.4), ("n", 0.2), ("No", 0.2)], (0.6, 0.4)),
        ([("Yes", 0.9999), ("I", 0.00001)], (1, 0)),
        ([("No", 1.0), ("Yes", 0.0)], (0, 1)),
        ([("Yes", 0.6), ("I", 0.2)], None),
        ([("Yes", 0.6), ("\n", 0.2), ("No", 0.2)], None),
        ([("<think>", 0.9), ("Well", 0.1)], None),
        ([], None),
    ],
)
def test_first_tokens_tell_how_probable_choices_are(
    tokens: list[tuple[str, float]], probabilities: tuple[float, ...] | None
) -> None:
    told = begun(seen(*tokens), ("Yes", "No"))
    assert told == (probabilities and pytest.approx(probabilities, abs=1e-4))


def test_a_first_token_that_two_choices_begin_with_tells_nothing() -> None:
    assert begun(seen(("strongly", 0.5), ("agree", 0.3), ("disagree", 0.2)), LEVELS) is None
    told = begun(seen(("agree", 0.8), ("disagree", 0.2), ("strongly", 1e-9)), LEVELS)
    assert told == pytest.approx((0, 0.2, 0.8, 0))


CHANCE = st.lists(st.floats(0, 1), min_size=2, max_size=8).filter(lambda shares: sum(shares) > 0.01)
SAMPLING = st.builds(
    Sampling,
    temperature=st.floats(0, 2),
    top_p=st.floats(0.01, 1),
    top_k=st.integers(0, 9),
)


@given(weights=CHANCE, sampling=SAMPLING, n=st.integers(1, 9), tokens=st.integers(0, 30))
def test_completions_are_drawn_for_any_sampling(weights: list[float], sampling: Sampling, n: int, tokens: int) -> None:
    choices = tuple(f"choice {place}" for place in range(len(weights)))
    probabilities = [weight / sum(weights) for weight in weights]
    said = drawn(Request((), sampling, n=n, choices=choices), probabilities, tokens, Random(1))
    assert [choices[one.choice or 0] for one in said] == [one.text for one in said]
    assert all(probabilities[one.choice or 0] > 0 for one in said)
    assert sum(one.tokens for one in said) == tokens
    if sampling.temperature == 0 or sampling.top_k == 1:
        assert {probabilities[one.choice or 0] for one in said} == {max(probabilities)}


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(temperature=1, top_p=1), (0.6, 0.3, 0.1)),
        (Sampling(temperature=0.5, top_p=1), (0.36 / 0.46, 0.09 / 0.46, 0.01 / 0.46)),
        (Sampling(temperature=1, top_p=0.7), (2 / 3, 1 / 3, 0)),
        (Sampling(temperature=1, top_p=1, top_k=2), (2 / 3, 1 / 3, 0)),
    ],
    ids=str,
)
def test_how_often_each_is_drawn(sampling: Sampling, expected: tuple[float, ...]) -> None:
    asked = Request((), sampling, n=20000, choices=("a", "b", "c"))
    said = [one.text for one in drawn(asked, (0.6, 0.3, 0.1), 0, Random(1))]
    assert [said.count(choice) / len(said) for choice in "abc"] == pytest.approx(expected, abs=0.02)


@given(tokens=st.integers(0, 99), number=st.integers(1, 9))
def test_shares_are_even_and_add_up(tokens: int, number: int) -> None:
    parts = shares(tokens, number)
    assert sum(parts) == tokens
    assert max(parts) - min(parts) <= 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"choices": ("yes",)}, "2 to 100"),
        ({"choices": tuple(map(str, range(101)))}, "2 to 100"),
        ({"choices": ("yes", "yes")}, "twice"),
        ({"choices": ("yes", "")}, "empty"),
        ({"choices": ("yes", " no")}, "blanks"),
        ({"choices": ("yes", "no"), "json_schema": {}}, "not both"),
        ({"choices": ("yes", "no"), "samples": 0}, "one sample"),
    ],
)
def test_choices_that_make_no_sense_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Request((), Sampling(), **fields)  # type: ignore[arg-type]
