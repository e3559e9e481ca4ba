from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.methods.signs import alike, is_suspect, pairs_of_words, recited

WORDS = st.text(alphabet="ab ", max_size=20)


@given(WORDS, WORDS)
def test_likeness_is_a_share_and_goes_both_ways(one, other):
    found = alike(pairs_of_words(one), pairs_of_words(other))
    assert 0 <= found <= 1
    assert found == alike(pairs_of_words(other), pairs_of_words(one))


def test_a_text_is_like_itself_unless_it_is_short():
    for text, share in (("I like to ski.", 1), ("I like tea.", 0)):
        assert alike(pairs_of_words(text), pairs_of_words(text.upper())) == share


@given(WORDS, st.lists(WORDS, max_size=5))
def test_recital_is_a_share(text, facts):
    assert 0 <= recited(text, facts) <= 1


@pytest.mark.parametrize(
    ("text", "suspect"),
    [
        ("That sounds lovely. I bake, too.", False),
        ("Do you like to swim in the lake?", True),
        ("I bake bread, I keep bees and I own a boat.", True),
        ("I keep bees.", False),
        ("How may I assist you?", True),
    ],
)
def test_each_sign_is_suspect(text, suspect):
    facts = ["I bake bread.", "I keep bees.", "I own a boat."]
    assert is_suspect(text, "Do you like to swim in the lake?", facts) == suspect
