"""Planted judges: each fault is found by its own test and by no other, and a judge without any is fit."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from factory.engines import Completion, Reply, RequestError
from factory.methods.example import kit
from factory.methods.judging.fitness.changes import as_chat
from factory.methods.judging.fitness.running import Fitness, Opinion
from factory.methods.judging.fitness.trials import Finding
from factory.methods.judging.questions import TRAITS
from factory.methods.scores.judge import Judge, JudgeParams
from tests.planted_judges import JUDGES, UNFIT, pairs, planted_row

ROWS = [planted_row(number) for number in range(24)]
CONSISTENCY = {"name": "fits", "ask": "consistency", "orders": "both", "samples": 3}


class Planted:
    capacity = 8

    def __init__(self, answer):
        self.answer, self.requests = answer, []

    async def generate(self, request):
        self.requests.append(request)
        await asyncio.sleep(0)
        return Reply(tuple(Completion(self.answer(request.messages), 5, "stop") for _ in range(request.n)), 10)

    async def close(self):
        pass


def fitness_of(says, rows=ROWS, labelled=(), engine=None, **question) -> Fitness:
    judge = Judge(JudgeParams.model_validate({"questions": [CONSISTENCY | question], "sampling": {"temperature": 0.7}}))
    return asyncio.run(judge.fitness(rows, labelled, replace(kit(), engine=engine or Planted(says))))


def found_by(found: Fitness, name: str) -> Finding:
    return next(one for one in found.tests if one.name == name)


@pytest.mark.parametrize("name", JUDGES)
def test_a_planted_fault_is_found_by_its_own_test_and_by_no_other(name):
    found = fitness_of(JUDGES[name], labelled=pairs(24))
    unfit = {one.name for one in found.tests if one.fit is False}
    assert UNFIT[name] <= unfit
    if name == "sound":
        assert [(one.name, one.fit, one.failed) for one in found.tests] == [(one.name, True, 0) for one in found.tests]
        assert all(one.tried >= 12 for one in found.tests)
    if name not in ("takes the first", "picks the worse"):
        assert unfit == UNFIT[name]


def test_m_is_the_accuracy_that_is_lost_and_its_rate_the_share_of_what_there_was():
    found = found_by(fitness_of(JUDGES["gives way"], rows=[], labelled=pairs(20)), "challenge")
    assert found.figures["accuracy before"] == 1
    assert (found.figures["M closed"], found.figures["M. rate closed"]) == (1, 1)
    assert (found.figures["M open"], found.figures["M leading"]) == (0, 0)
    without_gold = found_by(fitness_of(JUDGES["gives way"]), "challenge")
    assert without_gold.figures == {"kept closed": 0, "kept open": 1, "kept leading": 1}


def test_sensitivity_is_the_entropy_of_the_mean_over_wordings_and_consistency_within_a_class():
    found = found_by(fitness_of(JUDGES["goes by wording"], rows=[], labelled=pairs(20)), "rephrasings")
    assert found.figures["sensitivity"] == pytest.approx(0.9183, abs=1e-4)  # of shares of 2/3 and 1/3 over two labels
    assert found.figures["consistency"] == 1
    other = JUDGES["goes by wording"]

    def half(messages):
        number = int(messages[1]["content"].split("plant")[1].split(".")[0])
        return (other if number % 4 > 1 else JUDGES["sound"])(messages)

    found = found_by(fitness_of(half, rows=[], labelled=pairs(20)), "rephrasings")
    assert found.figures["sensitivity"] == pytest.approx(0.9183 / 2, abs=1e-4)
    apart = 50 / 90 / 3  # a third of the mass, between the pairs of one in either half
    assert found.figures["consistency"] == pytest.approx(1 - apart)
    assert "consistency" not in found_by(fitness_of(half, rows=ROWS[:0]), "rephrasings").figures


def by_scale(messages):
    """2 of 5 for a wrong dialogue, else 5, and one less for a wording."""
    if "Which words" in messages[-1]["content"]:
        return '{"words": ["Never grew"]}'
    asked = messages[1]["content"]
    return str((2 if "never grew" in asked.lower() else 5) - ("Your task is this" in asked))


def test_answers_on_a_scale_are_tested_too():
    found = fitness_of(by_scale, ask="How sound is it?\n", answer={"scale": [1, 5]}, orders="one")
    told = {one.name: (one.fit, one.failed, one.tried) for one in found.tests}
    assert told["rephrasings"] == (False, 24, 24)
    assert found_by(found, "rephrasings").figures["sensitivity"] == pytest.approx(0.6365 / 1.6094, abs=1e-3)
    assert told["redaction"] == (True, 0, 12), "the highest number finds nothing"
    assert (told["challenge"], told["order swap"]) == ((True, 0, 24), (None, 0, 0))


def test_traits_are_one_answer_of_five_numbers():
    def traits(messages):
        high = 4 if "I dislike" in messages[1]["content"] else 3
        return json.dumps(dict.fromkeys(TRAITS, 3) | {"openness": high})

    found = fitness_of(traits, ask="traits", orders="one")
    told = {one.name: (one.fit, one.failed, one.tried) for one in found.tests}
    assert (told["sycophancy"], told["challenge"], told["redaction"]) == ((False, 24, 24), (True, 0, 24), (None, 0, 0))
    assert found_by(found, "sycophancy").figures["flip rate"] == 0.5


def test_coverage_counts_what_is_settled_by_the_jobs_own_rules():
    found = found_by(fitness_of(JUDGES["takes the first"], rows=[], labelled=pairs(20)), "gold")
    assert (found.tried, found.figures, found.fit) == (0, {"coverage": 0.0}, None)
    assert found.why == "it settles none of the pairs"


def test_a_judge_that_takes_the_first_is_right_in_half_of_the_pairs_and_no_more():
    picks = {"ask": "better_turn", "of": "pair", "orders": "one", "samples": 1}
    found = fitness_of(JUDGES["takes the first"], rows=[], labelled=pairs(20), **picks)
    assert found_by(found, "gold").figures == {"coverage": 1.0, "accuracy": 0.5}
    assert found_by(found, "challenge").figures["accuracy before"] == 0.5


def test_answers_are_asked_once_in_one_order_at_temperature_0():
    engine = Planted(JUDGES["sound"])
    fitness_of(None, engine=engine)
    assert {(one.n, one.sampling.temperature) for one in engine.requests} == {(1, 0.0)}


def test_a_judge_below_its_certainty_has_no_answer_to_test():
    found = fitness_of(lambda messages: '{"answer": "fits", "certainty": 60}', certainty=80)
    assert (found.trials, found.unanswered) == (24, 24)
    assert [one.fit for one in found.tests if one.name != "contrast"] == [None] * 7


def test_requests_that_are_refused_are_counted_and_stop_nothing():
    class Refusing(Planted):
        async def generate(self, request):
            if "leeks0" in request.messages[1]["content"].partition("What A says")[0].partition("conversation:")[2]:
                raise RequestError("too long")
            return await super().generate(request)

    found = fitness_of(None, engine=Refusing(JUDGES["sound"]))
    assert (found.unanswered, found.refused) == (1, ("too long",))
    assert all(one.fit for one in found.tests if one.tried)


def test_few_trials_leave_it_open():
    found = fitness_of(JUDGES["sound"], rows=ROWS[:6])
    assert found_by(found, "order swap").fit is None
    assert found_by(found, "order swap").failed == 0


def test_no_more_requests_are_in_flight_than_the_engine_takes():
    class Counting(Planted):
        now = most = 0

        async def generate(self, request):
            self.now += 1
            self.most = max(self.most, self.now)
            reply = await super().generate(request)
            self.now -= 1
            return reply

    engine = Counting(JUDGES["sound"])
    fitness_of(None, engine=engine)
    assert engine.most == engine.capacity


def test_the_score_is_told_by_what_it_offers():
    assert isinstance(Judge(JudgeParams()), Opinion)
    assert not isinstance(kit(), Opinion)


def test_a_chat_keeps_who_speaks_and_numbers():
    assert (
        as_chat("A: I am 1.75 m tall, aren't you?\nB: I do not want to know!")
        == "A: im 1.75 m tall arent u\nB: i dont wanna know"
    )
