from __future__ import annotations

import random
import re
from collections import Counter

from factory.training.replies import Talk, careless, pairs

TURNS = [
    ["Hi there, what do you do?", "I bake bread in a small shop.", "That must smell good. Do you live near it?",
     "Yes, two streets away from the river.", "I would love to see it one day.", "Come by on any Sunday you like."],
    ["Good morning, are you from here?", "No, my family comes from the north.", "Oh, is it cold there?",
     "Very cold, but the skiing is great.", "I never learned to ski.", "You should try it some day."],
]  # fmt: skip


def test_each_turn_gives_a_pair_of_each_kind_that_it_allows() -> None:
    found = pairs(TURNS, random.Random(1))
    assert Counter(one["label"] for one in found) == {"natural": 12, "senseless": 12, "unrelated": 10}
    said = {turn for own in TURNS for turn in own}
    whole = [one for one in found if one["label"] == "natural" and one["hypothesis"] in said]
    assert 2 <= len(whole) < 12, "the others are cut to a sentence, or careless"
    openings = [one for one in found if one["premise"] == ""]
    assert {one["label"] for one in openings} == {"natural", "senseless"}, "a first turn replies to nothing"


def test_words_out_of_order_are_the_same_words() -> None:
    talk, words = Talk(TURNS, random.Random(2)), TURNS[0][2].split()
    made = [talk.disordered(words).split() for _ in range(20)]
    assert all(sorted(one) == sorted(words) for one in made)
    assert all(one != words for one in made)


def test_careless_texts_say_the_same_in_other_signs() -> None:
    made = {careless("I'm a baker, and you're a cook. Do you bake?", random.Random(seed)) for seed in range(40)}
    assert len(made) > 20
    assert all({"baker", "cook", "bake"} <= set(re.findall(r"\w+", one)) for one in made)


def test_what_stands_in_the_place_of_words_is_as_long() -> None:
    talk, words = Talk(TURNS, random.Random(3)), TURNS[1][3].split()
    known = set(talk.words)
    for make in (talk.strange, talk.strung, talk.drawn):
        assert all(len(made := make(words).split()) == len(words) and set(made) <= known for _ in range(20))
    assert not set(talk.babble(words).split()) & known


def test_an_unrelated_turn_of_the_same_dialogue_stands_far_away() -> None:
    talk = Talk(TURNS[:1], random.Random(4))
    own = [f"Turn {n}." for n in range(12)]
    talk.turns = [["Elsewhere."]]
    drawn = {talk.unrelated(own, 6) for _ in range(200)}
    assert drawn == {"Elsewhere.", "Turn 0.", "Turn 2.", "Turn 10."}
