from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.methods.makers.simoap import choose, coherence, copied, repeats, sentences

QUERY = "What did you cook for dinner last night?"


@pytest.fixture
def chosen(kit_of):
    def choose_one(texts, query, facts, keep=1.0, max_copy=0.8, relevance=-1.0, before=(), partner=()):
        history = [*before, query] if query else []
        limits = {"keep": keep, "max_copy": max_copy, "relevance": relevance, "contradiction": 0.5}
        found = asyncio.run(choose(texts, history, facts, partner, kit_of(), **limits))
        (only,) = [candidate.text for candidate in found if candidate.chosen]
        return only, {candidate.text: candidate for candidate in found}

    return choose_one


def test_what_the_persona_entails_is_chosen(chosen):
    texts = ["I went to the beach.", "I cooked soup with my dog beside me.", "I have a dog."]
    only, found = chosen(texts, QUERY, ["I own a dog.", "I like tea."])
    assert only == max(found.values(), key=lambda one: one.entailment).text == "I have a dog."


def test_what_contradicts_the_persona_is_chosen_only_if_nothing_else_is_left(chosen):
    facts = ["I have a dog.", "I don't drink alcohol."]
    against, neutral = ["I don't have any pets.", "I had a few beers last night."], "That is a nice question."
    only, found = chosen([*against, neutral], QUERY, facts)
    assert only == neutral
    assert all(found[text].contradiction > 0.5 for text in against)
    only, found = chosen(against, QUERY, facts)
    assert only == min(found.values(), key=lambda one: one.contradiction).text


def test_what_contradicts_an_own_earlier_turn_is_chosen_only_if_nothing_else_is_left(chosen):
    against, neutral, plays = "I have never played tennis.", "That is a nice question.", "I play tennis each day."
    said, found = chosen([against, neutral], QUERY, [], before=["Oh.", plays])
    assert (said, found[against].entailment) == (neutral, 0)
    assert found[against].contradiction > 0.5
    _, found = chosen([against, neutral], QUERY, [], before=[plays, "Oh."])
    assert found[against].contradiction < 0.5, "the partner plays"


def test_what_takes_a_fact_of_the_partner_is_chosen_only_if_nothing_else_is_left(chosen):
    partner, takes, neutral = ["I work as a nurse."], "I'm a nurse too!", "That is a nice question."
    only, found = chosen([takes, neutral], QUERY, [], partner=partner)
    assert (only, found[takes].taken > 0.5, found[neutral].taken) == (neutral, True, pytest.approx(0, abs=0.1))
    assert chosen([takes], QUERY, [], partner=partner)[0] == takes
    _, found = chosen([takes, neutral], QUERY, ["I am a nurse."], partner=partner)
    assert found[takes].taken == 0, "both are nurses"


def test_a_fact_that_was_told_speaks_for_no_candidate(chosen):
    facts, texts = ["I have a dog.", "I cook soup."], ["My dog is with me.", "I make soup."]
    assert chosen(texts, QUERY, facts, before=["Oh.", "I have a small dog."])[0] == texts[1]
    assert chosen(texts, QUERY, facts, before=["Oh.", "I like to cook soup."])[0] == texts[0]


def test_only_the_coherent_share_reaches_nli(chosen):
    texts = ["I have a dog.", "I did cook soup for dinner.", "Last night I had pasta.", "Blue is fine."]
    only, found = chosen(texts, QUERY, ["I have a dog."], keep=0.5)
    kept = sorted(texts, key=lambda text: -found[text].coherence)[:2]
    assert only in kept
    assert [text for text in texts if found[text].entailment is not None] == [text for text in texts if text in kept]
    assert "I have a dog." not in kept


def test_a_fact_that_a_candidate_is_not_about_is_not_scored(chosen):
    facts = ["I own a dog.", "I work as a nurse.", "I like tea."]
    texts = ["My dog barks a lot.", "I drink a cup of tea.", "Blue is fine."]
    every, found = chosen(texts, QUERY, facts, relevance=0.3)
    assert found["Blue is fine."].entailment == found["Blue is fine."].contradiction == 0
    assert all(found[text].entailment > 0 for text in texts[:2])
    assert chosen(texts, QUERY, facts)[0] == every, "what is left out would not have been chosen"
    assert chosen(texts, QUERY, facts)[1]["Blue is fine."].entailment > 0


def test_a_copy_of_the_query_is_set_aside_however_coherent(chosen):
    copy = "What did you cook for dinner?"
    only, found = chosen([copy, "I cook soup for dinner."], QUERY, [], keep=0.5)
    assert found[copy].coherence > found[only].coherence
    assert only != copy
    assert chosen([copy], QUERY, [])[0] == copy, "if all are copies, one of them"


def test_what_was_said_before_is_not_said_again_while_there_is_something_else(chosen):
    facts = ["I have a dog.", "I cook soup."]
    texts = ["I see. I have a dog.", "I see. I cook soup."]
    assert chosen(texts, QUERY, facts, before=["Hi! I have a dog!"])[0] == texts[1]
    assert chosen(texts, QUERY, facts, before=["Well. I cook soup."])[0] == texts[0]
    assert chosen(texts[:1], QUERY, facts, before=["Hi! I have a dog!"])[0] == texts[0]
    dressed = ["As for me, I have a dog.", "I see. I cook soup."]
    assert chosen(dressed, QUERY, facts, before=["Hi! I have a dog!"])[0] == dressed[1]
    assert not repeats(dressed[0], sentences("I have a doghouse. I cook soups."))


def test_a_first_turn_answers_nothing(chosen):
    only, found = chosen(["Hi!", "I have a dog."], None, ["I own a dog."])
    assert only == "I have a dog."
    assert all(candidate.coherence is None for candidate in found.values())


def test_coherence_is_a_cosine_of_rare_words():
    same, rare, common, foreign = coherence("the dog ate the soup", ["the dog ate the soup", "soup", "the", "I"])
    assert same == pytest.approx(1)
    assert same > rare > foreign == 0
    assert common > 0


@given(st.lists(st.text(alphabet="ab ", min_size=1).filter(str.strip), min_size=1, max_size=6))
def test_coherence_and_copying_are_shares(texts):
    query, *rest = texts
    assert all(-1e-9 <= value <= 1 + 1e-9 for value in coherence(query, rest or [query]))
    assert copied(query, query) == 1
    assert all(0 <= copied(query, text) <= 1 for text in rest)
