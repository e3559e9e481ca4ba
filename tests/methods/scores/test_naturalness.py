from __future__ import annotations

import pytest

from factory.methods.example import scored
from factory.methods.scores.naturalness import Naturalness
from tests.methods.parts import a_row

BASE = {"language": "en"}
MOVES = [{}, {"language": "de"}]

CALM = ["Hi! What do you do for a living?", "I work in a small bakery near the river.", "That must smell wonderful."]
GERMAN = ["Ich gehe heute mit meinem Hund im Park spazieren.", "Das freut mich sehr, wie heißt denn dein Hund?"]


def values(*turns, facts=(), **params):
    return scored(Naturalness, a_row(facts, turns=turns), **params).values


def test_plain_talk_shows_no_sign():
    found = values(*CALM, facts=["I sew.", "I ski.", "I bake bread."])
    assert found.pop("language") > 0.5
    assert found == {"loop": 0.0, "parroting": 0.0, "recital": 0.0, "assistant": 0.0}


@pytest.mark.parametrize(
    "turn",
    [
        GERMAN[0],
        "Me gusta mucho cocinar con mi familia.",
        "Мне очень нравится гулять в парке.",
        "我很喜欢和朋友一起在公园里散步。",
        "Gukor mitze lunar phogri vex dalso wumith quegri batze.",
    ],
)
def test_a_turn_in_another_language_or_in_none_is_seen(turn):
    assert values(*CALM, turn)["language"] < 0.05


def test_the_language_of_the_talk_is_the_jobs():
    assert values(*GERMAN, language="de")["language"] > 0.9
    assert values(*CALM, language="de")["language"] < 0.1


def test_short_turns_tell_no_language():
    assert values("Hola!", "Ja, gut.", "Merci beaucoup!")["language"] == 1.0


def test_what_a_speaker_says_again_is_a_loop_and_what_the_partner_said_is_parroting():
    again = values(*CALM, CALM[1])
    assert (again["loop"], again["parroting"]) == (1.0, 0.0)
    copied = values(*CALM[:2], f"Me too! {CALM[1]}")
    assert copied["loop"] == 0.0
    assert 0.7 < copied["parroting"] < 1
    assert values("Thank you so much!", "No, thank you!", "Thank you!", "Thank you!")["loop"] == 0.0


def test_of_turns_that_share_some_words_the_share_counts():
    found = values("I like to read books.", "Oh.", "I like to read papers.")
    assert found["loop"] == pytest.approx(2 * 3 / (4 + 4))


def test_more_than_one_fact_in_a_turn_is_recital():
    facts = ["I am a nurse.", "I have two dogs.", "I live in Texas."]
    one, all_ = "I'm a nurse, and you?", "I'm a nurse, I have two dogs and I live in Texas."
    assert values(one, facts=facts)["recital"] == 0.0
    assert values("Hello. I live in Texas with my two dogs.", facts=facts)["recital"] == 0.5
    assert values(all_, facts=facts)["recital"] == 1.0
    assert values(all_, facts=facts[:2])["recital"] == 0.0, "two facts are said in one turn by anybody"
    assert values("Hi!", all_, facts=facts)["recital"] == 0.0, "the facts are the other's"


@pytest.mark.parametrize(
    ("turn", "seen"),
    [
        ("How can I assist you today?", True),
        ("As an AI language model, I do not sleep.", True),
        ("Feel free to ask anything else!", True),
        ("I'm here to help you with your questions.", True),
        ("I help my mother in the garden.", False),
        ("Thank you for asking! I'm well.", False),
        ("I am an AI engineer.", False),
        ("I am an AI, so I have no pets.", True),
    ],
)
def test_assistants_give_themselves_away(turn, seen):
    assert values(CALM[0], turn)["assistant"] == (0.5 if seen else 0.0)


def test_each_turn_has_its_values():
    found = scored(Naturalness, a_row(turns=[*CALM, CALM[1]]))
    assert [(one.turn, one.speaker) for one in found.details] == [(0, 0), (1, 1), (2, 0), (3, 1)]
    assert [one.values[1] for one in found.details] == [0.0, 0.0, 0.0, 1.0]
    assert found.details[2].values[0] is None, "four words tell no language"


def test_a_row_without_turns_has_nothing_to_measure():
    assert scored(Naturalness, a_row()).missing == "input_missing"
