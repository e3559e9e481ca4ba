from __future__ import annotations

import asyncio
from copy import deepcopy

import pytest
from factory.methods.scores.verify import Verify, VerifyParams, consistency, pairs_of

from factory.store.records import Fact, PairScore
from tests.methods.parts import a_row, run

PERSONAS = ["I have a dog.", "I don't drink alcohol.", "I work as a nurse."], ["I live in Texas."]
TURNS = [
    "I have a dog, what about you?",
    "I live in Texas with my cat.",
    "I had a few beers last night.",
    "Sounds like a fun evening.",
    "I don't have any pets.",
]


@pytest.fixture(scope="module")
def verified(kit_of):
    row = a_row(*PERSONAS, turns=TURNS)
    row.speakers[0].facts += [
        Fact("I love my dog.", "extract", "s0", 0),
        Fact("I play the violin.", "augment", "s7"),
    ]
    return run(Verify(VerifyParams()), row, kit_of())


def scored(row, check):
    return {(score.premise, score.hypothesis): score for score in row.scores if score.check == check}


def test_turns_meet_the_facts_of_their_own_speaker_and_its_earlier_turns_only(verified):
    of_facts, of_turns = scored(verified, "turn_persona"), scored(verified, "turn_turn")
    assert of_facts["I have a dog.", TURNS[4]].contradiction > 0.5
    assert of_facts["I don't drink alcohol.", TURNS[2]].contradiction > 0.5
    assert of_facts["I have a dog.", TURNS[0]].entailment > 0.5
    assert of_turns[TURNS[0], TURNS[4]].contradiction > 0.5
    assert of_turns[TURNS[0], TURNS[4]].premise_turn == 0
    assert not any(premise == "I have a dog." and turn == TURNS[1] for premise, turn in of_facts)
    assert not any("violin" in score.premise for score in verified.scores), "a distractor is nobody's persona"
    assert all(verified.turns[s.turn].speaker == s.speaker for s in verified.scores if s.check != "extracted_persona")


def test_extracted_facts_meet_the_persona(verified):
    score = scored(verified, "extracted_persona")["I have a dog.", "I love my dog."]
    assert (score.speaker, score.turn) == (0, 0)


def test_probabilities_are_the_models_own_and_pairs_below_relevance_are_not_scored(verified, nli, embedder):
    pairs = [(score.premise, score.hypothesis) for score in verified.scores]
    again = asyncio.run(nli.score(pairs))
    for score, found in zip(verified.scores, again, strict=True):
        assert score.contradiction == pytest.approx(found.contradiction, abs=0.05)
        assert score.entailment + score.neutral + score.contradiction == pytest.approx(1, abs=0.01)
    texts = [text for pair in pairs_of(verified) for text in (pair.premise, pair.hypothesis)]
    vectors = asyncio.run(embedder.encode(texts))
    near = (vectors[::2] * vectors[1::2]).sum(axis=1)
    seen = {(score.check, score.premise, score.hypothesis) for score in verified.scores}
    for check, least in {"turn_persona": 0.12, "turn_turn": 0.3}.items():
        cosines = {pair[:1] + pair[3:5]: near[at] for at, pair in enumerate(pairs_of(verified)) if pair.check == check}
        assert {pair for pair in seen if pair[0] == check} == {pair for pair, one in cosines.items() if one >= least}
        assert min(cosines.values()) < least
    assert any(0.12 <= score.similarity < 0.3 for score in verified.scores)


def test_lower_relevance_scores_more_pairs_and_changes_none(verified, kit_of):
    wider = run(Verify(VerifyParams(relevance=-1, turn_relevance=-1)), deepcopy(verified), kit_of())
    more = {(score.check, score.premise, score.hypothesis): score for score in wider.scores}
    assert len(more) == 3 * 3 + 2 * 1 + (3 + 1) + 3
    for score in verified.scores:
        found = more[score.check, score.premise, score.hypothesis]
        assert found.entailment == pytest.approx(score.entailment, abs=0.05)


def test_running_again_is_running_once(verified, kit_of):
    assert run(Verify(VerifyParams()), deepcopy(verified), kit_of()) == verified


def test_without_personas_only_turns_are_scored(kit_of):
    row = run(Verify(VerifyParams()), a_row(turns=["Hello there!", "Good evening."]), kit_of())
    assert row.scores == []
    found = row.consistency
    assert (found.c_score, found.profile_length, found.apc, found.coverage, found.pairs) == (0, 0, 0, 0, 0)


def pair(check, turn, premise, hypothesis, probabilities):
    entailment, neutral, contradiction = probabilities
    return PairScore(check, turn % 2, turn, premise, hypothesis, 0.5, entailment, neutral, contradiction)


def test_the_scores_of_a_dialogue_are_those_of_the_papers():
    row = a_row(["A", "B"], ["C"], turns=["t0", "t1", "t2"])
    row.scores = [
        pair("turn_persona", 0, "A", "t0", (0.8, 0.1, 0.1)),
        pair("turn_persona", 0, "B", "t0", (0.1, 0.2, 0.7)),
        pair("turn_persona", 2, "A", "t2", (0.1, 0.3, 0.6)),
        pair("turn_turn", 2, "t0", "t2", (0.2, 0.2, 0.6)),
        pair("extracted_persona", 2, "A", "a fact", (0.0, 0.0, 1.0)),
    ]
    cosines = {("A", "t0"): 0.5, ("B", "t0"): -0.3, ("A", "t1"): 0.25, ("C", "t1"): 0.7}
    found = consistency(row, lambda one, other: cosines.get((one, other), 0.0), 0.6)
    assert found.c_score == pytest.approx((1 - 1 - 1) / 3)
    assert found.profile_length == pytest.approx((2 + 1 + 2) / 3)
    # By hand: the query of t0 is t0, of t1 t0, of t2 t1; B's negative cosine counts as irrelevant.
    first = (0.5 * 0.9 + 0.5 * 0.8) + (1 * 0.3 + 0)
    second = 1.0
    third = (0.75 * 0.4 + 0.25 * 0.1) + 1.0
    assert found.apc == pytest.approx((first + second + third) / 3)
    assert found.entailed_share == pytest.approx(1 / 4)
    assert found.contradicted_share == pytest.approx(3 / 4)
    assert found.coverage == pytest.approx(2 / 3), "A is entailed by t0, C is as good as t1"
    assert found.pairs == 4
