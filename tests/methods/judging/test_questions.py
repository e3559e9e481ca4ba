from __future__ import annotations

import pytest
from pydantic import ValidationError

from factory.methods.judging.questions import RUBRICS, VARIABLES, Question, rubric
from factory.methods.prompts import check_text

OWN = {"name": "q", "ask": "How is it?\n5: good. 1: bad."}
YES_NO = {"choice": ["yes", "no"]}


@pytest.mark.parametrize("name", RUBRICS)
def test_each_ready_rubric_has_its_text_and_its_answer(name):
    for of in RUBRICS[name].of:
        question = Question.model_validate({"name": "q", "ask": name, "of": of})
        assert question.ask == rubric(name)
        check_text(question.ask, VARIABLES)
        assert not question.is_path
        again = Question.model_validate(question.model_dump(mode="json"))
        assert again == question


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ask": "coherence", "of": "turn"}, "the rubric coherence is one of: dialogue"),
        ({"ask": "coherence", "answer": YES_NO}, "the rubric coherence has its own answer"),
        ({"answer": "pick"}, "answer: pick goes with of: pair"),
        ({"of": "candidates"}, "answer: pick goes with of: pair"),
        ({"of": "turn", "answer": "traits"}, "answer: traits goes with of: dialogue"),
        ({"orders": "both"}, "orders: both wants options"),
        ({"agree": "mean", "answer": YES_NO}, "agree: mean wants numbers"),
        ({"answer": {"scale": [5, 1]}}, "give the lowest and the highest"),
        ({"answer": {"choice": ["Yes", "yes "]}}, "two of the words are the same"),
        ({"answer": {"choice": ["yes"]}}, "at least 2 items"),
        ({"only": "contradiction > 0.5"}, "a column is a score and one of its values"),
        ({"only": "SELECT 1"}, "is not a condition"),
        ({"agree": {"test": 0.05}, "samples": 5}, "5 answers can never agree at 0.05: that takes 6"),
        ({"agree": {"test": 0.05}, "samples": 2, "answer": YES_NO, "orders": "both"}, "4 answers can never"),
        ({"certainty": 101}, "less than or equal to 100"),
        ({"name": "Bad Name"}, "should match pattern"),
        ({"ask": "consistancy"}, "there is no rubric consistancy; there are: consistency, "),
    ],
)
def test_what_does_not_fit_is_refused(given, said):
    with pytest.raises(ValidationError, match=said):
        Question.model_validate(OWN | given)


def test_the_test_is_taken_where_enough_answers_can_agree():
    assert Question.model_validate(OWN | {"agree": {"test": 0.05}, "samples": 6}).answers == 6
    both = {"agree": {"test": 0.05}, "samples": 3, "orders": "both", "answer": YES_NO}
    assert Question.model_validate(OWN | both).answers == 6
