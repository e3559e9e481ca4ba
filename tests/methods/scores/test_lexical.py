from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.methods.example import scored
from factory.methods.scores.lexical import Lexical
from factory.methods.scores.lexical.specificity import COUNTS, specificity, words_of
from factory.methods.scores.lexical.style import style_matching
from factory.store.records import Row
from tests.methods.parts import a_row

BASE: dict[str, object] = {}
MOVES: list[dict[str, object]] = [{}]

TEXT = st.text(alphabet="ab ?'.", max_size=12)
FACTS = (["I have two large dogs.", "I paint houses."], ["My sister lives in Norway.", "I play the cello."])
TALK = (
    "Hello, it was a long week for me.",
    "Oh? Mine passed quickly, we rehearsed most evenings.",
    "What do you rehearse for?",
    "A concert in spring, with some friends from school.",
    "That sounds lovely. The roof of my neighbour took three days.",
    "You must be tired then.",
)


def of(*turns: str) -> dict[str, float | None]:
    return scored(Lexical, a_row(turns=turns)).values


def told_of(name: str, *turns: str) -> float | None:
    return of(*turns)[name]


def talk(**changed: str) -> Row:
    """The dialogue, with the turns of these numbers changed."""
    turns = [changed.get(f"turn_{number}", text) for number, text in enumerate(TALK)]
    return a_row(*FACTS, turns=turns)


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
    assert told_of("question_rate", *turns) == pytest.approx(rate)


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
    assert told_of("own_repetition", *turns) == (None if repetition is None else pytest.approx(repetition))


@pytest.mark.parametrize(
    ("turns", "repetition"),
    [
        (["I like tea."], None),
        (["I like tea.", "I like tea."], 1),
        (["I like tea.", "I drink it.", "I like tea."], 0),
        (["I don't know.", "Hm.", "Ah.", "I don’t know."], 1),
        (["I like tea.", "No.", "You drink it.", "I like milk."], 1 / 4),
    ],
)
def test_a_partner_is_repeated_who_spoke_before(turns, repetition):
    assert told_of("partner_repetition", *turns) == (None if repetition is None else pytest.approx(repetition))


@pytest.mark.parametrize(
    ("turns", "repetition"),
    [(["Tea."], None), (["I do, I do"], 1 / 3), (["So so so so", "I do"], 2 / 4), (["I do", "I do"], 0)],
)
def test_a_turn_repeats_itself_within(turns, repetition):
    assert told_of("within_repetition", *turns) == (None if repetition is None else pytest.approx(repetition))


@pytest.mark.parametrize(
    ("facts", "said", "share"),
    [
        (["I have two large dogs."], "I have two large dogs", 1),
        (["I have two large dogs."], "Well, I have two cats.", 1 / 3),
        (["I have two large dogs."], "Two dogs.", None),
        ([], "I have two large dogs.", None),
        (["I sew."], "I sew a lot.", None),
    ],
)
def test_only_facts_of_the_speaker_are_copied(facts, said, share):
    for personas, turns in (((facts, []), [said]), (([], facts), ["", said])):
        found = scored(Lexical, a_row(*personas, turns=turns)).values["copy_ratio"]
        assert found == (None if share is None else pytest.approx(share))
    of_partner = scored(Lexical, a_row(["I have no such pet."], facts, turns=[said])).values["copy_ratio"]
    assert not of_partner


def test_rare_words_are_specific():
    counts = dict(line.split() for line in COUNTS.read_text(encoding="utf-8").splitlines() if line[0] != "#")
    most = max(counts, key=lambda word: int(counts[word]))
    assert specificity(most) == 0
    assert specificity("chireiden") == 1
    expected = 1 - math.log(int(counts["dog"])) / math.log(int(counts[most]))
    assert specificity("dog") == pytest.approx(expected)
    assert 0 < specificity("dog") < specificity("orchestra") <= 1
    assert told_of("specificity", f"{most} chireiden.", "Chireiden!") == pytest.approx(2 / 3)
    assert told_of("specificity", "...") is None


def test_the_share_of_distinct_bigrams_is_of_the_whole_dialogue():
    assert told_of("distinct", "I do, I do", "I do") == pytest.approx(2 / 4)
    assert told_of("distinct", "Tea", "Tea") is None


def test_readability_is_the_published_formula():
    easy, hard = "I like it. So do you.", "Notwithstanding considerable reservations, committees approved it."
    assert told_of("readability", easy) == pytest.approx(4.71 * 14 / 6 + 0.5 * 6 / 2 - 21.43)
    assert told_of("readability", easy) < told_of("readability", hard)
    assert told_of("readability", "?!") is None


@pytest.mark.parametrize(
    ("one", "other", "matching"),
    [
        ("the dog and me", "the dog and me", 1),
        ("the dog", "the big dog", 1 - (1 / 2 - 1 / 3) / (1 / 2 + 1 / 3)),
        ("the dog", "my dog", 0),
        ("i don't", "we can't", 1),
        ("we're here", "we are here", None),
    ],
)
def test_style_is_matched_by_function_words_alone(one, other, matching):
    found = style_matching(words_of(one), words_of(other))
    assert found == style_matching(words_of(other), words_of(one))
    assert found > 0.8 if matching is None else found == pytest.approx(matching, abs=0.001)


def test_style_needs_function_words_of_both():
    assert style_matching(["tea"], ["the", "tea"]) is None
    assert told_of("alignment", "The tea.") is None


PLANTED = {
    "own_repetition": ({"turn_4": TALK[0]}, {"own_repetition", "distinct"}),
    "partner_repetition": ({"turn_4": TALK[3]}, {"partner_repetition", "distinct"}),
    "within_repetition": (
        {"turn_5": "You must be tired then, you must be tired then."},
        {"within_repetition", "distinct"},
    ),
    "copy_ratio": ({"turn_4": "I have two large dogs. I paint houses."}, {"copy_ratio"}),
    "question_rate": ({f"turn_{n}": TALK[n].replace(".", "?") for n in range(6)}, {"question_rate"}),
    "specificity": (
        {"turn_4": "That quokka is Basque. The kiosk of my zeppelin took xenon pods."},
        {"specificity"},
    ),
}
FREE = {"specificity", "readability", "alignment"}
"""Which other words move, whatever they are for; but for questions."""


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_moves_its_own_measure_alone(name):
    changed, may_move = PLANTED[name]
    before, after = (scored(Lexical, row).values for row in (talk(), talk(**changed)))
    moved = {one for one in before if after[one] != pytest.approx(before[one])}
    assert name in moved
    assert moved - may_move - (set() if name == "question_rate" else FREE) == set()


def test_each_speaker_and_each_turn_is_measured_by_itself():
    found = scored(Lexical, a_row(*FACTS, turns=["Do you ski?", "I play the cello.", "Do you ski?", "Do you ski?"]))
    speakers = [dict(zip(Lexical.details["speaker"], one.values, strict=True)) for one in found.details[:2]]
    assert [one["question_rate"] for one in speakers] == [1, 0.5]
    assert [one["own_repetition"] for one in speakers] == [1, 0]
    assert [one["copy_ratio"] for one in speakers] == [0, 2 / 3]
    turns = [dict(zip(Lexical.details["turn"], one.values, strict=True)) for one in found.details[2:]]
    assert [(one.speaker, one.turn) for one in found.details[2:]] == [(0, 0), (1, 1), (0, 2), (1, 3)]
    assert [one["copy_ratio"] for one in turns] == [0, 1, 0, 0]
    assert [one["partner_repetition"] for one in turns] == [None, 0, 0, 1]
    alone = scored(Lexical, a_row(turns=["Do you ski?"]))
    assert [one.values[0] for one in alone.details[:2]] == [1.0, None]


@given(st.lists(TEXT, min_size=1, max_size=6))
def test_shares_lie_between_the_speakers(turns):
    found = scored(Lexical, a_row(turns=turns))
    for place, name in enumerate(Lexical.details["speaker"]):
        value = found.values[name]
        own = [one.values[place] for one in found.details[:2] if one.values[place] is not None]
        assert (value is None) == (own == [])
        if name not in ("distinct", "readability"):
            assert value is None or min(own) - 1e-9 <= value <= max(own) + 1e-9
            assert value is None or 0 <= value <= 1
