from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from pydantic import ValidationError

from factory.engines import Completion, Reply, Request, RequestError
from factory.methods.example import dialogue, kit, scored
from factory.methods.scores.judge import Judge, JudgeParams
from tests.methods.cases import telling
from tests.methods.parts import Said, a_row

QUESTIONS = (
    {"name": "consistent", "ask": "consistency", "orders": "both", "certainty": 50, "agree": "unanimous"},
    {"name": "warm", "ask": "How warm?\n", "facts": False, "samples": 3, "agree": "mean"},
    {"name": "sound", "ask": "sound_turn", "tries": 3, "orders": "both"},
    {"name": "persona", "ask": "sound_persona", "samples": 6, "agree": {"test": 0.05}},
    {"name": "shown", "ask": "traits"},
)
BASE = {"questions": QUESTIONS, "prompt": telling(*sorted(Judge.variables)), "sampling": {"temperature": 0.5}}
MOVES = [
    {},
    {"questions": ({"name": "warm", "ask": "How warm?\n", "answer": {"scale": [0, 2]}, "samples": 2},)},
    {"sampling": {"temperature": 1.0, "max_tokens": 9}},
]
OWN = {"name": "q", "ask": "How is it?\n"}
YES_NO = OWN | {"answer": {"choice": ["yes", "no"]}}
WARM = {"temperature": 0.7}


def judged(*answers, row=None, **question):
    return scored(Judge, row or dialogue(), *answers, questions=[OWN | question])


class Judging:
    """A judge that answers by the labels it is shown."""

    capacity = 4

    def __init__(self, choose):
        self.choose, self.requests = choose, list[Request]()

    async def generate(self, request):
        self.requests.append(request)
        labels = request.json_schema["properties"]["answer"]["enum"]
        said = [json.dumps({"answer": self.choose(labels)}) for _ in range(request.n)]
        return Reply(tuple(Completion(text, 5, "stop") for text in said), 10)

    async def close(self):
        pass


def asked(engine, row=None, **params):
    judge = Judge(JudgeParams.model_validate(params))
    return asyncio.run(judge.score(row or dialogue(), replace(kit(), engine=engine)))


PICK = {"name": "q", "ask": "better_turn", "of": "candidates"}


@pytest.mark.parametrize("question", [PICK, PICK | {"of": "pair"}, YES_NO, {"name": "q", "ask": "consistency"}])
@pytest.mark.parametrize("agree", ["unanimous", "majority", {"test": 0.05}])
def test_a_judge_that_always_takes_the_first_option_abstains_over_both_orders(question, agree):
    engine = Judging(lambda labels: labels[0])
    both = question | {"orders": "both", "samples": 3, "agree": agree}
    for _ in range(20):
        values = asked(engine, questions=[both], sampling=WARM).values
        assert (values.get("q"), values["q_outcome"], values["q_agreement"]) == (None, "order", 0.5)
    assert asked(engine, questions=[question]).values.get("q") is not None, "one order does not show it"


def test_a_judge_that_goes_by_content_keeps_its_verdict_in_both_orders():
    found = asked(
        Judging(lambda labels: "no" if "no" in labels else labels[-1]), questions=[YES_NO | {"orders": "both"}]
    )
    assert (found.values["q"], found.values["q_agreement"]) == ("no", 1.0)
    assert [(one.order, one.values[0]) for one in found.details] == [(0, 1.0), (1, 1.0)]


def test_a_judge_that_flips_a_coin_abstains_at_the_rate_of_the_test():
    rows, rate, chance = 400, 1 - 22 / 1024, random.Random(11)
    engine = Judging(chance.choice)
    question = YES_NO | {"orders": "both", "samples": 5, "agree": {"test": 0.05}}
    values = [asked(engine, questions=[question], sampling=WARM).values for _ in range(rows)]
    abstained = sum(one.get("q") is None for one in values)
    assert abs(abstained / rows - rate) < 3 * sqrt(rate * (1 - rate) / rows)


@pytest.mark.parametrize(("certainty", "value"), [(79, None), (80, 4.0), (100, 4.0)])
def test_below_the_certainty_that_is_wanted_it_abstains(certainty, value):
    found = judged(json.dumps({"answer": 4, "certainty": certainty}), certainty=80)
    assert found.values.get("q") == value
    assert found.values["q_outcome"] == ("answered" if value else "uncertain")
    (detail,) = found.details
    assert (detail.kind, detail.values, detail.order, detail.sample) == ("q", [4.0, certainty], 0, 0)
    assert json.loads(detail.answer)["certainty"] == certainty


def test_an_answer_that_cannot_be_read_is_kept_and_is_no_value():
    found = judged("I'd rather not say.")
    assert found.values == {"q_agreement": 0.0, "q_outcome": "unreadable"}
    assert [(one.answer, one.values) for one in found.details] == [("I'd rather not say.", [None, None])]


def test_a_request_that_is_refused_is_the_scores_failure():
    with pytest.raises(RequestError):
        asked(Said([RequestError("too long")]), questions=[OWN])


def test_it_is_asked_again_until_the_orders_agree_and_no_more_often_than_it_says():
    question = YES_NO | {"orders": "both", "tries": 5}
    yes, no = '{"answer": "yes"}', '{"answer": "no"}'
    engine = Said([yes, no, no, no])
    found = asked(engine, questions=[question], sampling=WARM)
    assert (found.values["q"], len(engine.requests)) == ("no", 4)
    assert [(one.order, one.sample) for one in found.details] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    engine = Said([yes, no] * 5)
    assert asked(engine, questions=[question], sampling=WARM).values["q_outcome"] == "order"
    assert len(engine.requests) == 10


def test_of_several_turns_the_worst_counts_and_what_is_open_is_counted():
    found = judged('{"answer": 5}', "Hm.", '{"answer": 2}', of="turn")
    assert found.values == {"q_agreement": 2 / 3, "q_abstained": 1, "q_outcome": "answered", "q": 2.0}
    verdicts = [one for one in found.details if one.kind == "q_verdict"]
    assert [(one.turn, one.values, one.answer) for one in verdicts] == [
        (0, [5.0, 1.0], None), (1, [None, 0.0], "unreadable"), (2, [2.0, 1.0], None)
    ]  # fmt: skip
    worst = judged(*(f'{{"answer": "{one}"}}' for one in ("yes", "no", "yes")), of="turn", answer=YES_NO["answer"])
    assert worst.values["q"] == "no"


def test_a_pick_tells_how_often_the_said_text_is_picked_and_which_candidate_was():
    found = asked(Judging(lambda labels: labels[1]), questions=[PICK])
    assert found.values["q"] == 0.0
    assert [one.candidate for one in found.details] == [1, 1]
    assert asked(Judging(lambda labels: labels[0]), questions=[PICK]).values["q"] == 1.0


def test_traits_are_found_again_among_the_attributes():
    row = dialogue()
    row.speakers[0].attributes = {"Openness": "high", "neuroticism": "1", "job": "nurse"}
    row.speakers[1].attributes = {"extraversion": "low", "agreeableness": "middling"}
    traits = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
    a, b = (json.dumps(dict(zip(traits, levels, strict=True))) for levels in ((4, 3, 3, 3, 3), (1, 2, 1, 4, 5)))
    found = scored(Judge, row, a, b, questions=[{"name": "big", "ask": "traits"}]).values
    assert found["big"] == pytest.approx(2 / 3)
    assert (found["big_a_openness"], found["big_b_neuroticism"]) == (4.0, 5.0)
    shaky = [{"name": "big", "ask": "traits", "samples": 2, "agree": "unanimous"}]
    open_ = scored(
        Judge, row, a, a.replace("4", "2"), b, b.replace(": 1", ": 2"), questions=shaky, sampling=WARM
    ).values
    assert (open_.get("big"), open_["big_outcome"]) == (0.0, "answered"), (
        "neuroticism of A stays the same, and no match"
    )
    bare = scored(Judge, dialogue(), a, b, questions=[{"name": "big", "ask": "traits"}]).values
    assert (bare.get("big"), bare["big_outcome"], bare["big_abstained"]) == (None, "not_assigned", 0)


ONLY = "consistency.contradiction BETWEEN 0.46 AND 0.84"


@pytest.mark.parametrize(
    ("contradiction", "outcome"),
    [(0.45, "not_asked"), (0.46, "answered"), (0.84, "answered"), (0.85, "not_asked"), (None, "input_missing")],
)
def test_it_is_asked_in_the_middle_band_alone(contradiction, outcome):
    row = dialogue()
    row.scores["consistency"]["contradiction"] = contradiction
    engine = Judging(lambda labels: labels[0])
    found = asked(engine, row, questions=[{"name": "q", "ask": "consistency", "only": ONLY}])
    assert found.values["q_outcome"] == outcome
    assert len(engine.requests) == (outcome == "answered")
    del row.scores["consistency"]
    assert asked(engine, row, questions=[OWN | {"only": ONLY}]).values == {"q_outcome": "input_missing"}
    assert asked(engine, row, questions=[OWN | {"only": "consistency.pairs IS NULL"}]).values["q"] == 1.0


def test_a_question_that_lacks_its_input_stands_beside_one_that_does_not():
    row = a_row(turns=["Hi!", "Hello!"])
    found = scored(
        Judge, row, '{"answer": 3}', questions=[{"name": "use", "ask": "persona_use"}, OWN | {"facts": False}]
    )
    assert found.values == {"use_outcome": "input_missing", "q_agreement": 1.0, "q_outcome": "answered", "q": 3.0}


def test_it_reads_what_its_questions_are_about():
    def reads(*questions):
        return Judge(JudgeParams.model_validate({"questions": questions})).reads

    facts = {"facts.seed", "facts.expand"}
    assert reads(OWN) == {"turns"} | facts
    assert reads(OWN | {"facts": False}) == {"turns"}
    assert reads({"name": "p", "ask": "sound_persona"}) == facts
    assert reads({"name": "t", "ask": "traits"}) == {"turns", "attributes"}
    assert reads(OWN | {"facts": False, "only": ONLY}) == {"turns", "consistency.contradiction"}


def test_its_columns_are_those_of_its_questions():
    def columns(*questions):
        return [one.name for one in Judge(JudgeParams.model_validate({"questions": questions})).columns]

    assert columns(OWN, {"name": "s", "ask": "sound_turn"}) == [
        "q", "q_agreement", "q_outcome", "s", "s_agreement", "s_abstained", "s_outcome"
    ]  # fmt: skip
    assert len(columns({"name": "t", "ask": "traits"})) == 14
    with pytest.raises(ValidationError, match="two questions have the column or detail q_outcome"):
        columns(OWN, OWN | {"name": "q_outcome"})


def test_several_answers_at_temperature_zero_are_refused():
    for several in ({"samples": 2}, {"tries": 2}):
        with pytest.raises(ValidationError, match="the same answer each time at temperature 0"):
            JudgeParams.model_validate({"questions": [OWN | several]})
        JudgeParams.model_validate({"questions": [OWN | several], "sampling": WARM})


def test_the_plan_knows_its_calls():
    def calls(**question):
        least, most = Judge(JudgeParams.model_validate({"questions": [OWN | question], "sampling": WARM})).calls(
            np.array([0, 3])
        )
        return least.tolist(), most.tolist()

    assert calls(facts=False) == ([0, 1], [0, 1])
    assert calls() == ([0, 0], [0, 1])
    assert calls(of="turn", facts=False, samples=3) == ([0, 3], [0, 3])
    assert calls(answer=YES_NO["answer"], orders="both", tries=5, facts=False) == ([0, 2], [0, 10])
    assert calls(facts=False, only=ONLY) == ([0, 0], [0, 1])
    assert calls(of="persona") == ([0, 0], [2, 2])
