from __future__ import annotations

import asyncio
import re
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from factory.engines import Completion, EngineDeadError, RequestError
from factory.methods.makers.compatible import compatible
from factory.methods.makers.expand import Expand, ExpandParams
from factory.store.records import Fact
from tests.methods.cases import SAMPLING, telling
from tests.methods.parts import Said, a_row, run, user_text

BASE = {
    "count": 3, "max_similarity": 0.75, "contradiction": 0.5, "attempts": 2, "sampling": SAMPLING,
    "prompt": telling("facts", "count"), "begins": ("I ", "My "),
}  # fmt: skip
MOVES = [
    {}, {"count": 1}, {"count": 6}, {"max_similarity": 0.25}, {"contradiction": 0.25}, {"attempts": 4},
    {"sampling": SAMPLING | {"top_k": 0}}, {"begins": ("I ",)},
]  # fmt: skip

FACTS = [
    "I have a dog.",
    "I own a dog.",
    "I have no pets at all.",
    "I work as a nurse.",
    "I have never had a job.",
    "I live in Texas.",
    "I live in Norway.",
    "I play the violin.",
    "I love spicy food.",
    "I do not like spicy food.",
]


def expanded(row, speaker):
    return row.speakers[speaker].facts_of("expand")


def test_new_facts_are_kept_and_marked(kit_of):
    row = run(
        Expand(ExpandParams(attempts=1)),
        a_row(["I have a dog."], ["I work as a nurse."]),
        kit_of("- I play the violin.\n- I love spicy food.", "Sure!\n- I collect stamps."),
    )
    assert row.speakers[0].facts[1:] == [
        Fact("I play the violin.", "expand", "s0"),
        Fact("I love spicy food.", "expand", "s0"),
    ]
    assert expanded(row, 1) == ["I collect stamps."]


def test_near_duplicates_and_contradictions_are_dropped(kit_of):
    row = run(
        Expand(ExpandParams(attempts=1, count=5)),
        a_row(["I have a dog.", "I live in Texas."]),
        kit_of("- I have a dog\n- I don't have any pets.\n- I play the violin.\n- I live in Norway.", ""),
    )
    assert expanded(row, 0) == ["I play the violin."]


def test_of_two_new_facts_that_contradict_each_other_the_first_stays(kit_of):
    row = run(
        Expand(ExpandParams(attempts=1)),
        a_row(["I play the violin."]),
        kit_of("- I live in Texas.\n- I live in Norway.", ""),
    )
    assert expanded(row, 0) == ["I live in Texas."]


class SaidBy(Said):
    """Answers by the seed fact in the prompt: two speakers' second calls come in any order."""

    def __init__(self, answers: dict[str, list[str]]) -> None:
        super().__init__([])
        self.by_fact = answers

    async def generate(self, request):
        self.answers = next(answers for fact, answers in self.by_fact.items() if fact in user_text(request))
        return await super().generate(request)


@pytest.mark.parametrize("attempts", [1, 3])
def test_calls_are_at_least_and_at_most_as_many_as_it_says(kit_of, attempts):
    stage = Expand(ExpandParams(count=1, attempts=attempts))
    least, most = (int(calls.item()) for calls in stage.calls(np.array([0])))
    luckless = kit_of(*["[nothing]"] * most)
    run(stage, a_row(["I have a dog."], ["I work as a nurse."]), luckless)
    assert len(luckless.engine.requests) == most
    lucky = kit_of("- I read comics.", "- I collect stamps.")
    run(stage, a_row(["I have a dog."], ["I work as a nurse."]), lucky)
    assert len(lucky.engine.requests) == least


def test_missing_facts_are_asked_for_again_beside_the_accepted_ones(kit_of):
    engine = SaidBy(
        {
            "I have a dog.": ["- I read comics.", "- I play the violin.\n- I love spicy food."],
            "I work as a nurse.": ["- I collect stamps.\n- I like tea."],
        }
    )
    row = a_row(["I have a dog."], ["I work as a nurse."])
    run(Expand(ExpandParams(count=2)), row, replace(kit_of(), engine=engine))
    assert expanded(row, 0) == ["I read comics.", "I play the violin."]
    assert expanded(row, 1) == ["I collect stamps.", "I like tea."]
    (again,) = [user_text(request) for request in engine.requests if "- I read comics." in user_text(request)]
    assert "Write 1 new facts" in again


def test_fewer_facts_than_asked_for_are_no_failure(kit_of):
    kit = kit_of("I cannot think of any.", "-", "", "")
    row = run(Expand(ExpandParams()), a_row(["I have a dog."], ["I work as a nurse."]), kit)
    assert [expanded(row, speaker) for speaker in (0, 1)] == [[], []]
    assert len(kit.engine.requests) == 4, "two attempts a speaker"


def test_a_fact_the_token_limit_cut_off_or_that_is_none_in_the_first_person_is_dropped(kit_of):
    answers = (
        Completion('{"facts": ["I like tea.", "I have a bro', 9, "length"),
        '{"facts": ["The person sings.", "I like tea. I sing.", "My car is red."]}',
    )
    row = run(Expand(ExpandParams(attempts=1)), a_row(["I have a dog."], ["I work as a nurse."]), kit_of(*answers))
    assert [expanded(row, speaker) for speaker in (0, 1)] == [["I like tea."], ["My car is red."]]


def test_the_model_is_guided_to_as_many_facts_as_are_missing_and_to_how_they_begin(kit_of):
    engine = SaidBy({"Ich singe.": ['{"facts": ["Ich segle."]}', ""], "Ich nähe.": ["", ""]})
    row = a_row(["Ich singe."], ["Ich nähe."])
    run(Expand(ExpandParams(count=2, begins=("Ich ",), contradiction=1)), row, replace(kit_of(), engine=engine))
    assert [expanded(row, speaker) for speaker in (0, 1)] == [["Ich segle."], []]
    guided = [request.json_schema["properties"]["facts"] for request in engine.requests]
    assert sorted(one["maxItems"] for one in guided) == [1, 2, 2, 2]
    assert all(one["minItems"] == one["maxItems"] for one in guided)
    assert {re.search(one["items"]["pattern"], "Ich segle.") is not None for one in guided} == {True}
    assert {re.search(one["items"]["pattern"], "I sail.") is not None for one in guided} == {False}


def test_running_again_is_running_once(kit_of):
    answers = (
        "- I play the violin.\n- I love spicy food.\n- I collect stamps.",
        "- I live in Norway.\n- I run.\n- I swim.",
    )
    stage = Expand(ExpandParams(attempts=1))
    once = run(stage, a_row(["I have a dog."], ["I work as a nurse."]), kit_of(*answers))
    twice = deepcopy(once)
    twice.speakers[0].facts.append(Fact("I own a car.", "augment", "s9"))
    run(stage, twice, kit_of(*answers))
    assert [s.facts_of("seed", "expand") for s in twice.speakers] == [
        s.facts_of("seed", "expand") for s in once.speakers
    ]
    assert twice.speakers[0].facts_of("augment") == ["I own a car."], "another stage's facts are not touched"


@pytest.mark.parametrize("error", [EngineDeadError("gone"), RequestError("too long")])
def test_an_engine_that_fails_is_not_a_matter_of_the_stage(kit_of, error):
    with pytest.raises(type(error)):
        run(Expand(ExpandParams()), a_row(["I have a dog."]), kit_of(error, error))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(held=st.lists(st.sampled_from(FACTS), max_size=2), new=st.lists(st.sampled_from(FACTS), min_size=1, max_size=5))
def test_what_is_accepted_fits_together_and_what_is_dropped_does_not(held, new, nli, embedder, kit_of):
    async def clash(one, other):
        first, second = await embedder.encode([one, other])
        contradiction = max(score.contradiction for score in await nli.score([(one, other), (other, one)]))
        assume(abs(contradiction - 0.5) > 0.05)  # a probability moves a little with what else is in its batch
        return first @ second > 0.9 or contradiction > 0.5

    async def check():
        accepted = await compatible(new, held, kit_of(), 0.9, 0.5)
        assert accepted == sorted(accepted)
        for index, fact in enumerate(new):
            before = held + [new[other] for other in accepted if other < index]
            clashes = [await clash(other, fact) for other in before]
            assert any(clashes) == (index not in accepted)

    asyncio.run(check())
