from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.engines import Completion
from factory.methods.makers.listed import FIRST_PERSON, beginning, facts_in


def found(text, reason="stop", **options):
    return facts_in(Completion(text, 9, reason), **options)


@pytest.mark.parametrize(
    "text",
    [
        '{"facts": ["I sew.", "I ski."]}',
        '["I sew.", "I ski."]',
        '```json\n{"facts": ["I sew.", "I ski."]}\n```',
        'Sure! Here they are: {"facts": [" I sew. ", "", "I ski."]} Anything else?',
        "- I sew.\n- I ski.",
        "1. I sew.\n2) I ski.\n",
        "I sew.\n\nI ski.",
    ],
)
def test_facts_are_read_from_json_with_what_models_put_around_it_and_from_lines(text):
    assert found(text) == [("I sew.", True), ("I ski.", True)]


@pytest.mark.parametrize(
    "nothing", ['{"facts": []}', "[]", "[None]", "none", "[NONE].", "(None)", "- [None]", "", "\n \n", '{"fa', "{}"]
)
def test_nothing_is_nothing(nothing):
    assert found(nothing) == []


@pytest.mark.parametrize("text", ['{"facts": ["I sew.", "I have a bro', "- I sew.\n- I have a bro"])
def test_what_the_token_limit_cut_off_is_told_apart(text):
    assert found(text, "length") == [("I sew.", True), ("I have a bro", False)]


@pytest.mark.parametrize("text", ['{"facts": [1, 2]}', '{"answer": ["I sew."]}'])
def test_json_of_another_form_is_read_as_lines(text):
    assert found(text) == [(text, True)]


def test_lines_count_only_behind_bullets_where_that_is_asked_for():
    assert found("I cannot.\n- I sew.\n-", bulleted=True) == [("I sew.", True)]
    assert found('["I sew."]', bulleted=True) == [("I sew.", True)]


@given(st.text(), st.sampled_from(["stop", "length"]))
def test_any_answer_can_be_read(text, reason):
    assert all(fact for fact, _ in found(text, reason))


def test_a_statement_begins_as_it_should_and_says_something():
    matches = beginning(FIRST_PERSON).match
    assert all(map(matches, ["I sew.", "i'm old.", "My cat sleeps.", "We’ve won."]))
    assert not any(map(matches, ["Island life is good.", "I .", "Sewing is fun.", "Mystery!"]))
