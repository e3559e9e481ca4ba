from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from factory.methods.example import kit, scored
from factory.methods.scores.naturalness import Naturalness, context
from tests.methods.parts import a_row

BASE = {"language": "en"}
MOVES = [{}, {"language": "de"}]

CALM = ["Hi! What do you do for a living?", "I work in a small bakery near the river.", "That must smell wonderful."]
GERMAN = ["Ich gehe heute mit meinem Hund im Park spazieren.", "Das freut mich sehr, wie heißt denn dein Hund?"]


def values(*turns, facts=(), **params):
    return scored(Naturalness, a_row(facts, turns=turns), **params).values


def test_plain_talk_shows_no_sign():
    found = values(*CALM, facts=["I sew.", "I ski.", "I bake bread."])
    assert found["language"] > 0.5
    assert [found[name] for name in ("loop", "parroting", "recital", "assistant")] == [0.0] * 4


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
    assert values("Hello!", "Hi!", "hello", "Hi!")["loop"] == 0.0
    assert values("Hello!", "Hi!", "hello", "Hi!", "Hello.")["loop"] == 1.0


def test_a_turn_that_is_stuck_is_a_loop():
    assert values("I'm so glad you're here. " * 8)["loop"] == 1.0
    assert values("I like the sea, the old sea, and the sea.")["loop"] == pytest.approx(2 * 1 / 9)
    assert values("Ha ha ha!")["loop"] == 0.0


def test_of_turns_that_share_some_words_the_share_counts():
    found = values("I like to read books.", "Oh.", "I like to read papers.")
    assert found["loop"] == pytest.approx(2 * 3 / (4 + 4))


def test_more_than_one_fact_in_a_turn_is_recital():
    facts = ["I am a nurse.", "I have two dogs.", "I live in Texas."]
    one, all_ = "I'm a nurse, and you?", "I'm a nurse, I have two dogs and I live in Texas."
    assert values(one, facts=facts)["recital"] == 0.0
    assert values("I live in Texas with two dogs.", facts=facts)["recital"] == 0.5
    more = "I live in Texas with two dogs, near the ranch where my uncle bred horses."
    assert 0 < values(more, facts=facts)["recital"] < 0.3, "most of it is of no fact"
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


class Told:
    """A classifier that finds what its words say: of a part the number in it is how senseless it is."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def score(self, pairs):
        self.asked += pairs
        return [
            {
                "natural": 1 - float(reply.split()[1]),
                "senseless": float(reply.split()[0]),
                "unrelated": float(reply.split()[1]),
            }
            for _, reply in pairs
        ]


class Apart:
    """Embeddings of which no two are alike."""

    async def encode(self, texts):
        return np.eye(len(texts), dtype=np.float32)


def replies(*turns, embedder=None):
    told = Told()
    models = replace(kit(), classifier=told, embedder=embedder or Apart())
    return asyncio.run(Naturalness(Naturalness.Params()).score(a_row(turns=turns), models)), told.asked


def test_of_the_senseless_turns_the_worst_counts_and_of_the_unrelated_the_worse_half_but_for_the_first():
    found, asked = replies("0.1 0.9 hello", "0.8 0.2 no", "0.3 0.6 yes", "0.2 0.5 oh")
    assert found.values["senseless"] == 0.8
    assert found.values["unrelated"] == pytest.approx((0.6 + 0.5) / 2)
    assert [detail.values[5:7] for detail in found.details] == [[0.1, 0], [0.8, 0.2], [0.3, 0.6], [0.2, 0.5]]
    assert asked[2] == ("0.1 0.9 hello | 0.8 0.2 no", "0.3 0.6 yes")


def test_a_reply_that_is_near_to_the_turns_around_it_is_less_unrelated():
    found, _ = replies("0.1 0.9", "0.1 0.9", embedder=kit().embedder)
    assert found.values["unrelated"] == pytest.approx(0, abs=1e-6)
    found, _ = replies("0.1 0.9", "0.1 0.8", embedder=kit().embedder)
    assert 0 < found.values["unrelated"] < 0.4


class At:
    """Embeddings at these angles, in degrees."""

    def __init__(self, *angles: float) -> None:
        self.angles = np.radians(angles)

    async def encode(self, texts):
        return np.stack([np.cos(self.angles), np.sin(self.angles)], axis=1).astype(np.float32)


def test_the_turns_before_and_after_a_reply_are_around_it():
    found, _ = replies(*["0.1 1"] * 3, embedder=At(0, 60, 60))
    assert found.details[1].values[6] == pytest.approx(1 - np.cos(np.radians(30)))
    assert found.details[2].values[6] == pytest.approx(0, abs=1e-6), "nothing is after it"
    found, _ = replies(*["0.1 1"] * 2, embedder=At(0, 150))
    assert found.details[1].values[6] == 1, "no more than at right angles"


def test_relatedness_is_the_mean_cosine_of_neighbours():
    found = scored(Naturalness, a_row(turns=["I have a dog.", "I have a dog.", "Blue skies."]))
    assert found.values["relatedness"] == pytest.approx(0.5)
    assert [detail.values[8] for detail in found.details] == [None, pytest.approx(1.0), pytest.approx(0.0)]
    assert values("I sew.")["relatedness"] == 1.0


def test_a_fact_of_the_partners_that_a_turn_states_is_taken():
    facts = [["I work as a nurse."], ["I play chess well."]]

    def taken(*turns):
        found = scored(Naturalness, a_row(*facts, turns=turns))
        assert found.values["taken"] == max(detail.values[7] for detail in found.details)
        return [round(detail.values[7], 1) for detail in found.details]

    assert taken("I work as a nurse.", "I work as a nurse too!") == [0.0, 0.9]
    assert taken("I play chess well.", "I play chess well.") == [0.9, 0.0]
    assert taken("I sew.", "That is nice!") == [0.0, 0.0]
    facts[1].append("I work as a nurse.")
    assert taken("I work as a nurse.", "I work as a nurse too!") == [0.0, 0.0], "both do"


def test_a_long_turn_is_read_in_parts_of_which_the_worst_is_senseless_and_the_best_replies():
    long = " ".join(["0.2 0.7", *["word"] * 44]) + ". 0.9 0.1 " + " ".join(["word"] * 30) + "."
    found, asked = replies("0.1 0.5 hello", long)
    assert [detail.values[5:7] for detail in found.details] == [[0.1, 0.0], [0.9, 0.1]]
    assert len(asked) == 3


def test_the_context_is_the_end_of_the_three_turns_before():
    turns = ["First.", "Second one.", "Third.", "Fourth.", "Fifth."]
    assert context(turns, 0) == ""
    assert context(turns, 4) == "Second one. | Third. | Fourth."
    assert context(["word " * 100 + "end."], 1).split() == ["word"] * 39 + ["end."]


def test_a_row_without_turns_has_nothing_to_measure():
    assert scored(Naturalness, a_row()).missing == "input_missing"
