from __future__ import annotations

import asyncio
import random

import pytest

from factory.methods.example import kit
from factory.training.extractor_pairs import by_rule, tells_nothing, told, typed
from factory.training.published import Dialogue

EMPTY = ["That is nice!", "Do you ski?", "Wow."]


def test_a_turn_tells_the_personas_facts_first_then_its_own_statements() -> None:
    talk = Dialogue(
        3,
        (("I have two dogs.", "I live in Oslo."), ("I sew.",)),
        ("I have two big dogs. I work at night.", "That is nice!", "I have always wondered.", "Well, I sew."),
    )
    found = asyncio.run(told([talk], kit("").nli))  # type: ignore[arg-type]
    assert [one.facts for one in found] == [("I have two dogs.", "I work at night."), (), None, ("I sew.",)]
    assert [one.of_persona for one in found] == [("I have two dogs.",), (), (), ("I sew.",)]


@pytest.mark.parametrize(
    ("turn", "nothing"),
    [
        ("That is nice! What do you do?", True),
        ("I'm glad to hear that.", True),
        ("Oh, I agree. Do I like it?", True),
        ("I'm a nurse.", False),
        ("That is nice. My mother sings.", False),
    ],
)
def test_questions_and_courtesies_tell_nothing(turn: str, nothing: bool) -> None:
    assert tells_nothing(turn) == nothing


def test_pairs_made_by_rule_hold_their_facts_among_sentences_that_tell_nothing() -> None:
    facts = ["My favorite food is pizza.", "I have two dogs.", "I am a nurse."]
    made = list(by_rule(facts, EMPTY, random.Random(1)))
    assert {fact for _, own in made for fact in own} == set(facts)
    for turn, own in made:
        words = turn.replace("I'm a", "I am a").replace("I've two", "I have two")
        left = words.replace("Pizza is my favorite food.", "My favorite food is pizza.")
        for text in [*own, *EMPTY]:
            left = left.replace(text, "")
        assert not left.strip(), turn
    assert len({turn for turn, _ in made}) > len(facts)


def test_typed_turns_are_in_small_letters_with_spaces_around_signs() -> None:
    assert typed("Oh, I've two dogs! You?") == "oh , i ve two dogs ! you ?"
