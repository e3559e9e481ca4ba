from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.methods.example import scored
from factory.methods.scores.questions import Questions
from tests.methods.parts import a_row

BASE: dict[str, object] = {}
MOVES: list[dict[str, object]] = [{}]

TEXT = st.text(alphabet="ab ?'.", max_size=12)


def of(*turns: str) -> tuple[float | None, float | None]:
    values = scored(Questions, a_row(turns=turns)).values
    return values["question_rate"], values["own_repetition"]


@pytest.mark.parametrize(
    ("turns", "rate"),
    [
        (["Hi.", "Hello!"], 0),
        (["Who are you?", "Ann. And you?", "Bob."], 2 / 3),
        (["What? Me?"], 1),
        (["你喜欢茶吗？", "هل تحب الشاي؟"], 1),
    ],
)
def test_the_rate_is_the_share_of_turns_with_a_question(turns, rate):
    assert of(*turns)[0] == pytest.approx(rate)


@pytest.mark.parametrize(
    ("turns", "repetition"),
    [
        (["I like tea.", "I like tea."], None),
        (["I like tea.", "Hm.", "I LIKE tea!"], 1),
        (["I like tea.", "I like tea.", "You like tea."], 1 / 2),
        (["I like tea.", "No.", "Well.", "No.", "I like it."], 1 / 2),
        (["I don't.", "I don’t.", "Tea.", "Oh."], None),
        (["I do, I do", "", "I do"], 1),
        (["", "", "I do, I do"], 0),
    ],
)
def test_repetition_is_of_a_speakers_own_earlier_turns(turns, repetition):
    assert of(*turns)[1] == (None if repetition is None else pytest.approx(repetition))


def test_each_speaker_is_measured_by_itself():
    found = scored(Questions, a_row(turns=["Do you ski?", "I do.", "Do you sew?", "I do."]))
    assert [(one.speaker, one.values) for one in found.details] == [(0, [1.0, 0.5]), (1, [0.0, 1.0])]
    alone = scored(Questions, a_row(turns=["Do you ski?"]))
    assert [one.values for one in alone.details] == [[1.0, None], [None, None]]


@given(st.lists(TEXT, min_size=1, max_size=6))
def test_the_whole_lies_between_the_speakers(turns):
    found = scored(Questions, a_row(turns=turns))
    for place, value in enumerate(found.values.values()):
        own = [one.values[place] for one in found.details if one.values[place] is not None]
        assert (value is None) == (own == [])
        assert value is None or min(own) <= value <= max(own)
        assert value is None or 0 <= value <= 1
