from __future__ import annotations

import re
from copy import deepcopy

import numpy as np
import pytest

from factory.engines import Completion, EngineDeadError
from factory.methods.makers.extract import Extract, ExtractParams
from factory.methods.makers.triples import RELATIONS, as_sentence
from factory.store.records import Fact
from tests.methods import cases
from tests.methods.cases import SAMPLING, telling
from tests.methods.parts import a_row, run, user_text

BASE = {
    "form": "sentence", "relations": cases.RELATIONS, "max_subject_tokens": 5, "min_similarity": 0.125,
    "merge_similarity": 0.75, "min_entailment": 0.5, "begins": ("I ", "My "), "min_telling": 0, "trained": False,
    "sampling": SAMPLING, "prompt": telling("utterance", "form", "relations"),
}  # fmt: skip
MOVES = [
    {}, {"min_similarity": -1.0}, {"min_similarity": -1.0, "merge_similarity": 0.25},
    {"sampling": SAMPLING | {"temperature": 0}}, {"min_entailment": 0.125}, {"begins": ("My ",)},
    {"min_telling": 0.5}, {"trained": True}, {"trained": True, "form": "triple"},
    {"form": "triple"}, {"form": "triple", "relations": ("have_pet", "job")},
    {"form": "triple", "max_subject_tokens": 2},
    {"form": "triple", "min_similarity": -1.0, "merge_similarity": 1.0, "max_subject_tokens": 9},
]  # fmt: skip

SENTENCE, TRIPLE = Extract(ExtractParams()), Extract(ExtractParams(form="triple"))
EVERYTHING = Extract(ExtractParams(min_entailment=0))


def gates(row):
    return [(line.text, line.gate) for line in row.extracted]


def test_one_call_a_turn_and_facts_of_its_speaker(kit_of):
    kit = kit_of("- I have a dog.", "[None]", "I work as a nurse.\n- My dog is called Rex.")
    turns = ["I have a big dog.", "Nice!", "I work as a nurse. My dog is called Rex."]
    row = run(SENTENCE, a_row(turns=turns), kit)
    assert [user_text(request) for request in kit.engine.requests] == [f"Message: {turn.text}" for turn in row.turns]
    assert row.speakers[0].facts == [
        Fact("I have a dog.", "extract", "s0", 0),
        Fact("I work as a nurse.", "extract", "s0", 2),
        Fact("My dog is called Rex.", "extract", "s0", 2),
    ]
    assert row.speakers[1].facts == []
    assert {line.turn for line in row.extracted} == {0, 2}


def test_a_fact_the_token_limit_cut_off_is_kept_and_not_read(kit_of):
    completion = Completion('{"facts": ["I like tea.", "I have a bro', 9, "length")
    row = run(SENTENCE, a_row(turns=["I like tea, and I have a brother."]), kit_of(completion))
    assert gates(row) == [("I like tea.", "accepted"), ("I have a bro", "format")]
    assert row.speakers[0].facts_of("extract") == ["I like tea."]


def test_what_the_turn_does_not_entail_is_no_fact_however_alike(kit_of):
    turns = ["What do you like to do for fun?", "I play chess. Do you have a dog?"]
    answers = "I like to have fun.", "I play chess.\nI won at chess last year.\nI have a dog."
    row = run(SENTENCE, a_row(turns=turns), kit_of(*answers))
    assert gates(row) == [
        ("I like to have fun.", "entailment"),
        ("I play chess.", "accepted"),
        ("I won at chess last year.", "entailment"),
        ("I have a dog.", "entailment"),
    ]
    assert [line.entailment >= 0.5 for line in row.extracted] == [False, True, False, False]
    assert row.speakers[0].facts_of("extract") == []


def test_a_question_that_begins_as_a_statement_counts(kit_of):
    assert gates(run(SENTENCE, a_row(turns=["I have two dogs, do you?"]), kit_of("I have two dogs."))) == [
        ("I have two dogs.", "accepted")
    ]


def test_what_a_turn_says_of_the_partner_is_no_fact_of_the_speaker(kit_of):
    row = run(SENTENCE, a_row(turns=["Your brother is a nurse. I sew."]), kit_of("My brother is a nurse.\nI sew."))
    assert gates(row) == [("My brother is a nurse.", "speaker"), ("I sew.", "accepted")]
    assert row.speakers[0].facts_of("extract") == ["I sew."]


def test_what_a_turn_says_of_other_things_is_no_fact_of_the_speaker(kit_of):
    turns = ["It's a very addictive game.", "Oh, that's really fun.", "Love hiking!"]
    answers = "I am very addictive.", "I am really fun.", "I love hiking."
    row = run(SENTENCE, a_row(turns=turns), kit_of(*answers))
    assert all(line.entailment > 0.5 for line in row.extracted), "nli-small does not know who is meant"
    assert [gate for _, gate in gates(row)] == ["speaker", "speaker", "accepted"]


def test_other_languages_say_how_a_fact_begins(kit_of):
    german = Extract(ExtractParams(begins=("Ich ", "Mein", "我"), min_entailment=0))
    lines = [
        "Ich habe einen Hund.",
        "Meine Mutter singt.",
        "I have a dog.",
        "我有一只狗。",
        "Ich?",
        "Ich habe? Einen Hund.",
    ]
    row = run(german, a_row(turns=["Ich habe einen Hund, meine Mutter singt, 我有一只狗。"]), kit_of("\n".join(lines)))
    assert [gate for _, gate in gates(row)] == ["accepted", "accepted", "format", "accepted", "format", "format"]


def test_the_model_is_guided_to_the_form(kit_of):
    for maker, good, bad in ((SENTENCE, "I sew.", "She sews."), (TRIPLE, "I | own | a boat", "I | sail | a boat")):
        kit = kit_of("[None]")
        run(maker, a_row(turns=["Hi."]), kit)
        facts = kit.engine.requests[0].json_schema["properties"]["facts"]
        assert re.search(facts["items"]["pattern"], good)
        assert not re.search(facts["items"]["pattern"], bad)
        assert facts["minItems"] == 0


def test_a_turn_that_tells_nothing_by_its_words_costs_no_call(kit_of):
    turns = ["Hi! Do you have a dog?", "I have a dog, and I work as a nurse.", "Oh, that sounds great!"]
    gated, kit = Extract(ExtractParams(min_telling=0.3)), kit_of("I have a dog.")
    row = run(gated, a_row(turns=turns), kit)
    assert [user_text(request) for request in kit.engine.requests] == [f"Message: {turns[1]}"]
    assert gates(row) == [("", "telling"), ("I have a dog.", "accepted"), ("", "telling")]
    assert [(line.speaker, line.turn) for line in row.extracted] == [(0, 0), (1, 1), (0, 2)]
    assert [name for name, _ in gated.prompts(row)] == ["turn 1"]
    assert [tuple(counts) for counts in zip(*gated.calls(np.array([3, 8])), strict=True)] == [(0, 3), (0, 8)]


def test_a_trained_model_is_sent_the_turn_alone_and_is_not_guided(kit_of):
    for form, answer, fact in (
        ("sentence", "I have a dog.\nI work as a nurse.", "I have a dog."),
        ("triple", "I | have_pet | a dog", "I have a dog."),
    ):
        kit = kit_of(answer, "[None]")
        trained = Extract(ExtractParams(form=form, trained=True))
        row = run(trained, a_row(turns=["I have a dog and work as a nurse.", "Nice!"]), kit)
        first, second = kit.engine.requests
        assert [message["role"] for message in first.messages] == ["system", "user"]
        assert (user_text(first), user_text(second)) == ("I have a dog and work as a nurse.", "Nice!")
        assert form in first.messages[0]["content"]
        assert first.json_schema is None
        assert row.speakers[0].facts_of("extract")[0] == fact
        assert row.speakers[1].facts_of("extract") == []


def test_the_format_gate_wants_one_statement_in_the_first_person(kit_of):
    lines = {
        "I've got two sisters.": "accepted",
        "The user has sisters.": "format",
        "Do I have sisters?": "format",
        "I": "format",
        "I am.": "hollow",
        "I'm doing well, thanks.": "hollow",
        "I know what you mean.": "hollow",
        "I am good to my sisters.": "accepted",
        "My sisters are twins.": "accepted",
        "I have sisters. I like them.": "format",
        "I am OK. I like them.": "format",
        "We were born at St. Mary's with my sisters!": "accepted",
    }
    row = run(
        EVERYTHING,
        a_row(turns=["My two sisters were born as twins."]),
        kit_of("\n".join(f"- {line}" for line in lines)),
    )
    assert gates(row) == list(lines.items())


def test_the_gates_of_ppds_stop_a_triple_in_their_order(kit_of):
    lines = {
        "i | have_pet | a dog": "accepted",
        "i | Have pet | a cat": "accepted",
        "i have a dog": "format",
        "i | have_pet |": "format",
        "i | have_pet | a dog | today": "format",
        "i | walks | a dog": "relation",
        "the old neighbour of my aunt | walks | a dog": "relation",
        "the old neighbour of my aunt | have_pet | a dog": "subject_length",
        "i | study | quantum chromodynamics": "similarity",
    }
    row = run(TRIPLE, a_row(turns=["My dog and my cat are asleep."]), kit_of("\n".join(lines)))
    assert gates(row) == list(lines.items())
    assert row.speakers[0].facts_of("extract") == ["I have a dog.", "I have a cat."]
    first, last = row.extracted[0], row.extracted[-1]
    assert (first.subject, first.relation, first.object) == ("i", "have_pet", "a dog")
    assert first.similarity > 0.1 > last.similarity
    assert [line.similarity for line in row.extracted if line.gate in {"format", "relation", "subject_length"}] == [
        None
    ] * 6


def test_facts_of_one_speaker_are_merged_and_those_of_two_are_not(kit_of):
    row = a_row(["I have a dog."], turns=["I have a dog.", "I have a dog too.", "Yes, my dog!"])
    run(SENTENCE, row, kit_of("I have a dog.", "I have a dog.", "I have a dog"))
    assert [line.gate for line in row.extracted] == ["accepted"] * 3
    assert row.speakers[0].facts[1:] == [Fact("I have a dog.", "extract", "s0", 0)], "beside the given one"
    assert row.speakers[1].facts == [Fact("I have a dog.", "extract", "s1", 1)]


def test_running_again_is_running_once(kit_of):
    answers = ("- I have a dog.\n- nonsense", "[None]")
    once = run(SENTENCE, a_row(["I sing."], turns=["My dog!", "Oh."]), kit_of(*answers))
    assert run(SENTENCE, deepcopy(once), kit_of(*answers)) == once


def test_a_dead_engine_is_not_a_matter_of_the_row(kit_of):
    with pytest.raises(EngineDeadError):
        run(SENTENCE, a_row(turns=["Hi.", "Hi!"]), kit_of("[None]", EngineDeadError("gone")))


@pytest.mark.parametrize(
    ("triple", "sentence"),
    [
        (("I", "like", "tea."), "I like tea."),
        (("i", "live_in", "a small town"), "I live in a small town."),
        (("i", "from", "Texas"), "I am from Texas."),
        (("I", "favorite_other", "a red bike"), "My favorite thing is a red bike."),
        (("my mother", "job", "a nurse"), "My mother works as a nurse."),
        (("my mother", "age", "60"), "My mother is 60 years old."),
        (("my mother", "favorite_color", "blue"), "My mother's favorite color is blue."),
        (("my mother", "study", "law"), "My mother studies law."),
        (("i", "other", "can swim"), "I can swim."),
        (("my mother", "other", "can swim"), "My mother can swim."),
    ],
)
def test_triples_read_as_sentences(triple, sentence):
    assert as_sentence(*triple) == sentence


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("subject", ["I", "my brother"])
def test_a_sentence_of_any_relation_names_its_object_and_passes_the_format_gate(relation, subject, kit_of):
    sentence = as_sentence(subject, relation, "zebras")
    assert "zebras" in sentence
    assert "_" not in sentence
    assert gates(run(SENTENCE, a_row(turns=[sentence]), kit_of(sentence))) == [(sentence, "accepted")]
