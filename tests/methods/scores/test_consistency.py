from __future__ import annotations

import asyncio
from copy import deepcopy

import pytest

from factory.methods.example import dialogue, scored
from factory.methods.scores.consistency import (
    Consistency,
    ConsistencyParams,
    Pair,
    ScoredPair,
    counting,
    measures,
    pairs_of,
    scored_pairs,
)
from factory.scorers.nli import Probabilities
from factory.store.records import Fact
from tests.methods.parts import a_row

BASE = {"relevance": 0.25, "turn_relevance": 0.25, "coverage_similarity": 0.5}
MOVES = [
    {}, {"relevance": -1.0}, {"relevance": 0.5}, {"turn_relevance": -1.0}, {"turn_relevance": 0.5},
    {"coverage_similarity": 0.25},
]  # fmt: skip

PERSONAS = ["I have a dog.", "I don't drink alcohol.", "I work as a nurse."], ["I live in Texas."]
TURNS = [
    "I have a dog, what about you?",
    "I live in Texas with my cat.",
    "I had a few beers last night.",
    "Sounds like a fun evening.",
    "I don't have any pets.",
]


def score(row, kit, **params):
    """The row with what the score found, as the core stores it."""
    found = asyncio.run(Consistency(ConsistencyParams(**params)).score(row, kit))
    row.scores["consistency"], row.details = found.values, found.details
    return row


@pytest.fixture(scope="module")
def verified(kit_of):
    row = a_row(*PERSONAS, turns=TURNS)
    row.speakers[0].facts += [
        Fact("I love my dog.", "extract", "s0", 0),
        Fact("I play the violin.", "augment", "s7"),
    ]
    return score(row, kit_of())


def of_check(row, check):
    return {(one.pair.premise, one.pair.hypothesis): one for one in scored_pairs(row) if one.pair.check == check}


def test_turns_meet_the_facts_of_their_own_speaker_and_its_earlier_turns_only(verified):
    of_facts, of_turns = of_check(verified, "turn_persona"), of_check(verified, "turn_turn")
    assert of_facts["I have a dog.", TURNS[4]].found.contradiction > 0.5
    assert of_facts["I don't drink alcohol.", TURNS[2]].found.contradiction > 0.5
    assert of_facts["I have a dog.", TURNS[0]].found.entailment > 0.5
    assert of_turns[TURNS[0], TURNS[4]].found.contradiction > 0.5
    assert of_turns[TURNS[0], TURNS[4]].pair.other == 0
    assert not any(premise == "I have a dog." and turn == TURNS[1] for premise, turn in of_facts)
    pairs = [one.pair for one in scored_pairs(verified)]
    assert not any("violin" in pair.premise for pair in pairs), "a distractor is nobody's persona"
    assert all(verified.turns[p.turn].speaker == p.speaker for p in pairs if p.check != "extracted_persona")


def test_extracted_facts_meet_the_persona(verified):
    pair = of_check(verified, "extracted_persona")["I have a dog.", "I love my dog."].pair
    assert (pair.speaker, pair.turn) == (0, 0)


def test_probabilities_are_the_models_own_and_pairs_below_relevance_are_not_scored(verified, nli, embedder):
    stored = scored_pairs(verified)
    again = asyncio.run(nli.score([(one.pair.premise, one.pair.hypothesis) for one in stored]))
    for one, found in zip(stored, again, strict=True):
        assert one.found.contradiction == pytest.approx(found.contradiction, abs=0.05)
        assert one.found.entailment + one.found.neutral + one.found.contradiction == pytest.approx(1, abs=0.01)
    pairs = list(pairs_of(verified))
    vectors = asyncio.run(embedder.encode([text for pair in pairs for text in (pair.premise, pair.hypothesis)]))
    near = (vectors[::2] * vectors[1::2]).sum(axis=1)
    for check, least in {"turn_persona": 0.12, "turn_turn": 0.3}.items():
        cosines = {pair: one for pair, one in zip(pairs, near, strict=True) if pair.check == check}
        assert {one.pair for one in stored if one.pair.check == check} == {
            pair for pair, one in cosines.items() if one >= least
        }
        assert min(cosines.values()) < least
    assert any(0.12 <= one.similarity < 0.3 for one in stored)


def test_lower_relevance_scores_more_pairs_and_changes_none(verified, kit_of):
    wider = score(deepcopy(verified), kit_of(), relevance=-1, turn_relevance=-1)
    more = {one.pair: one.found for one in scored_pairs(wider)}
    assert len(more) == 3 * 3 + 2 * 1 + (3 + 1) + 3 + 1
    for one in scored_pairs(verified):
        assert more[one.pair].entailment == pytest.approx(one.found.entailment, abs=0.05)


def test_what_is_stored_of_a_pair_leads_back_to_its_texts(verified):
    """Also after other facts have come or gone: a fact is told by its place among those of its origin."""
    later = deepcopy(verified)
    later.speakers[0].facts.insert(0, Fact("I own a car.", "augment", "s9"))
    assert scored_pairs(later) == scored_pairs(verified)
    assert {one.pair for one in scored_pairs(verified)} <= set(pairs_of(verified))
    for detail in later.details:
        detail.score = "strict"
    assert scored_pairs(later) == []
    assert scored_pairs(later, "strict") == scored_pairs(verified)


def test_what_is_measured_against_facts_is_null_without_any(kit_of):
    values = score(a_row(turns=["I like tea.", "Good evening.", "I don't like tea."]), kit_of()).scores["consistency"]
    facts = ("contradiction", "c_score", "apc", "coverage")
    assert {name for name, value in values.items() if value is None} == set(facts)
    assert values["self_contradiction"] > 0.5
    assert (values["profile_length"], values["pairs"]) == (0, 1)


def test_what_is_extracted_without_a_persona_is_held_to_its_turn_and_to_itself(kit_of):
    row = a_row(turns=["I have a dog. I like my job.", "Nice.", "I walk him each day."])
    for turn, fact in ((0, "I have a dog."), (0, "I like my job."), (2, "I have no pets.")):
        row.speakers[0].facts.append(Fact(fact, "extract", "s0", turn))
    score(row, kit_of())
    supported = of_check(row, "extracted_turn")
    assert [
        round(supported[row.turns[turn].text, fact].found.entailment)
        for turn, fact in ((0, "I have a dog."), (0, "I like my job."), (2, "I have no pets."))
    ] == [1, 1, 0]
    (clash,) = (
        one for one in scored_pairs(row) if one.pair.check == "extracted_extracted" and one.found.contradiction > 0.5
    )
    assert (clash.pair.premise, clash.pair.hypothesis) == ("I have a dog.", "I have no pets.")
    values = row.scores["consistency"]
    assert values["extracted_contradiction"] == clash.found.contradiction
    assert values["extracted_entailment"] == min(one.found.entailment for one in supported.values()) < 0.5
    assert values["contradiction"] is None


def test_where_nothing_was_extracted_no_fact_is_in_doubt(verified, kit_of):
    values = score(a_row(*PERSONAS, turns=TURNS), kit_of()).scores["consistency"]
    assert (values["extracted_contradiction"], values["extracted_entailment"]) == (0.0, 1.0)


FILLER = " ".join(f"The road went on past field number {number} and the weather stayed fine." for number in range(20))


@pytest.mark.parametrize("text", ["I have a dog.", f"{FILLER} I have a dog.", f"I have a dog. {FILLER}"])
def test_the_whole_of_a_long_turn_is_scored(text, kit_of):
    row = score(a_row(["I do not have a dog."], ["I own a dog."], turns=[text, text]), kit_of())
    assert row.scores["consistency"]["contradiction"] >= 0.84
    assert of_check(row, "turn_persona")["I own a dog.", text].found.entailment > 0.5


def test_of_parts_the_one_that_contradicts_counts_or_else_the_one_entailed_most():
    calm, odd, sure = Probabilities(0.1, 0.8, 0.1), Probabilities(0.1, 0.2, 0.7), Probabilities(0.9, 0.1, 0.0)
    assert counting("turn_persona", [calm, odd, sure]) == odd
    assert counting("turn_turn", [calm, Probabilities(0.2, 0.5, 0.3), sure]) == sure
    assert counting("extracted_turn", [calm, odd, sure]) == sure


def test_a_row_without_turns_has_nothing_to_measure():
    row = dialogue()
    row.turns = []
    assert scored(Consistency, row).missing == "input_missing"


def pair(check, turn, premise, hypothesis, *probabilities):
    return ScoredPair(Pair(check, turn % 2, turn, premise, hypothesis), 0.5, Probabilities(*probabilities))


def test_the_scores_of_a_dialogue_are_those_of_the_papers():
    row = a_row(["A", "B"], ["C"], turns=["t0", "t1", "t2"])
    found = [
        pair("turn_persona", 0, "A", "t0", 0.8, 0.1, 0.1),
        pair("turn_persona", 0, "B", "t0", 0.1, 0.2, 0.7),
        pair("turn_persona", 2, "A", "t2", 0.1, 0.3, 0.6),
        pair("turn_turn", 2, "t0", "t2", 0.2, 0.15, 0.65),
        pair("extracted_persona", 2, "A", "a fact", 0.0, 0.0, 1.0),
    ]
    cosines = {("A", "t0"): 0.5, ("B", "t0"): -0.3, ("A", "t1"): 0.25, ("C", "t1"): 0.7}
    values = measures(row, found, lambda one, other: cosines.get((one, other), 0.0), 0.6)
    highest = (values["contradiction"], values["self_contradiction"], values["extracted_contradiction"])
    assert highest == (0.7, 0.65, 1.0)
    assert values["c_score"] == pytest.approx((1 - 1 - 1) / 3)
    assert values["profile_length"] == pytest.approx((2 + 1 + 2) / 3)
    # By hand: the query of t0 is t0, of t1 t0, of t2 t1; B's negative cosine counts as irrelevant.
    first = (0.5 * 0.9 + 0.5 * 0.8) + (1 * 0.3 + 0)
    second = 1.0
    third = (0.75 * 0.4 + 0.25 * 0.1) + 1.0
    assert values["apc"] == pytest.approx((first + second + third) / 3)
    assert values["entailed_share"] == pytest.approx(1 / 4)
    assert values["contradicted_share"] == pytest.approx(3 / 4)
    assert values["coverage"] == pytest.approx(2 / 3), "A is entailed by t0, C is as good as t1"
    assert values["pairs"] == 4
