from __future__ import annotations

from factory.methods.judging.questions import Question
from factory.methods.judging.units import units
from factory.store.records import Candidate, Edit
from tests.methods.parts import a_row

TURNS = ["Hi!", "Hello, I ski.", "Me too."]


def of(row, **fields):
    answer = {"answer": "pick"} if fields["of"] in ("pair", "candidates") else {}
    return units(row, Question.model_validate({"name": "q", "ask": "Well?\n", **answer, **fields}))


def test_a_dialogue_is_one_unit_with_what_is_known_of_both():
    (one,) = of(a_row(["I sew.", "I ski."], turns=TURNS), of="dialogue")
    assert one.shown["dialogue"] == "A: Hi!\nB: Hello, I ski.\nA: Me too."
    assert one.shown["known"] == "Of A, 2 facts are known:\n- I sew.\n- I ski.\n\nOf B, 0 facts are known."


def test_a_turn_is_shown_with_what_was_said_before_it():
    found = of(a_row(turns=TURNS), of="turn", facts=False)
    assert [one.shown["turn"] for one in found] == TURNS
    assert [one.speaker for one in found] == [0, 1, 0]
    assert found[2].shown["before"] == "A: Hi!\nB: Hello, I ski."
    assert found[2].shown["dialogue"] is None
    assert found[2].shown["known"] is None


def test_a_persona_needs_no_turns_and_one_without_facts_is_none():
    (one,) = of(a_row([], ["I ski."]), of="persona")
    assert (one.speaker, one.shown["speaker"]) == (1, "B")
    assert one.shown["known"] == "Of B, 1 fact is known:\n- I ski."


def test_without_turns_or_facts_that_are_to_be_shown_there_is_no_unit():
    assert of(a_row(["I ski."]), of="dialogue") == []
    assert of(a_row(turns=TURNS), of="dialogue") == []
    assert len(of(a_row(turns=TURNS), of="dialogue", facts=False)) == 1


def test_candidates_are_options_each_text_once_and_the_said_one_among_them():
    row = a_row(turns=TURNS)
    texts = [("No.", False), ("No.", False), ("Me too.", True), ("So?", False)]
    row.turns[2].candidates = [Candidate(text, chosen) for text, chosen in texts]
    (one,) = of(row, of="candidates", facts=False)
    assert (one.options, one.said, one.candidates, one.turn) == (("No.", "Me too.", "So?"), 1, (0, 2, 3), 2)
    (pair,) = of(row, of="pair", facts=False)
    assert (pair.options, pair.said, pair.candidates) == (("Me too.", "No."), 0, (2, 0))


def test_a_pair_is_a_turn_and_what_it_was_before_it_was_edited():
    row = a_row(turns=TURNS)
    row.turns[1].edits = [Edit("swap", "I ski.", "Hello, I sew.", TURNS[1])]
    (one,) = of(row, of="pair", facts=False)
    assert (one.options, one.said, one.turn) == ((TURNS[1], "Hello, I sew."), 0, 1)
