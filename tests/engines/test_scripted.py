from __future__ import annotations

import asyncio
import json
import multiprocessing
import signal

import pytest

from factory.engines import (
    Completion,
    EngineDeadError,
    EngineStartError,
    Health,
    LanguageModel,
    Message,
    Reply,
    Request,
    RequestError,
    Sampling,
)
from factory.engines.opening import open_engine
from factory.methods.makers.broken import read
from factory.methods.makers.script import read_script, script_schema

SYSTEM = Message(role="system", content="You are a person.\nAbout you:\n- I breed whippets.\n- I live in Lisbon.")


def request(text: str, **fields: object) -> Request:
    return Request((SYSTEM, Message(role="user", content=text)), Sampling(), **fields)  # type: ignore[arg-type]


def answer(name: str, asked: Request) -> Reply:
    async def ask() -> Reply:
        return await open_engine(LanguageModel(engine="scripted", name=name), 0, Health()).generate(asked)

    return asyncio.run(asyncio.wait_for(ask(), 5))


def test_same_request_same_answer_and_other_request_another() -> None:
    first, again, other = (answer("scripted", request(text)) for text in ("Hello.", "Hello.", "Goodbye."))
    assert first == again
    assert first != other


def test_turns_of_a_dialogue_pass_as_turns() -> None:
    turns: list[str] = []
    for _ in range(20):
        history = [Message(role="user", content=text) for text in turns]
        asked = Request((SYSTEM, *history), Sampling(), n=2)
        candidates = [completion.text for completion in answer("scripted", asked).completions]
        for text in candidates:
            assert read(Completion(text, 9, "stop"), turns).fault is None
        assert candidates[0] != candidates[1]
        turns.append(candidates[0])


def test_lists_where_the_messages_ask_for_them() -> None:
    system = Message(role="system", content='Write one fact a line, each after "- ".')
    reply = answer("scripted", Request((system, Message(role="user", content="I breed whippets.")), Sampling()))
    lines = reply.completions[0].text.splitlines()
    assert len(set(lines)) == len(lines) > 1
    assert all(line.startswith("- I ") for line in lines)


def test_a_filled_schema_is_a_script_of_alternating_speakers() -> None:
    reply = answer("scripted", request("Write a talk.", json_schema=script_schema(4, 8)))
    assert len(read_script(reply.completions[0].text, None, 4, 8)) == 4


def test_schema_with_every_simple_type() -> None:
    schema = {
        "type": "object",
        "properties": {
            "kind": {"enum": ["a", "b"]},
            "count": {"type": "integer", "minimum": 3},
            "sure": {"type": "boolean"},
            "notes": {"type": "array", "items": {"type": "string"}},
            "unasked": {"type": "string"},
        },
        "required": ["kind", "count", "sure", "notes"],
    }
    filled = json.loads(answer("scripted", request("Fill it.", json_schema=schema)).completions[0].text)
    assert filled.keys() == {"kind", "count", "sure", "notes"}
    assert (filled["kind"], filled["count"], filled["sure"]) == ("a", 3, True)
    assert isinstance(filled["notes"][0], str)


@pytest.mark.parametrize(
    ("order", "error"), [("fail", RequestError), ("dead", EngineDeadError), ("hang", TimeoutError)]
)
def test_faults_strike_on_their_word_only(order: str, error: type[Exception]) -> None:
    async def ask(text: str) -> Reply:
        engine = open_engine(LanguageModel(engine="scripted", name=f"scripted?{order}=poison"), 0, Health())
        return await asyncio.wait_for(engine.generate(request(text)), 0.5)

    assert asyncio.run(ask("A fine day.")).completions
    with pytest.raises(error):
        asyncio.run(ask("A poisoned day, full of poison."))


def test_die_kills_the_process() -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=answer, args=("scripted?die=poison", request("Some poison."))
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def test_start_fails_on_command() -> None:
    with pytest.raises(EngineStartError, match="no such model, says the script"):
        open_engine(LanguageModel(engine="scripted", name="scripted?start=no+such+model,+says+the+script"), 0, Health())


def test_an_unknown_order_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(EngineStartError, match=r"latncy_ms.*latency_ms"):
        open_engine(LanguageModel(engine="scripted", name="scripted?latncy_ms=5"), 0, Health())


CHOICES = ("agree", "neither", "disagree")


def test_choices_are_drawn_by_hash() -> None:
    first, again, other = (answer("scripted", request(text, choices=CHOICES)) for text in ("Tea?", "Tea?", "Coffee?"))
    assert first == again
    assert first.probabilities != other.probabilities
    assert sum(first.probabilities or ()) == pytest.approx(1)
    (completion,) = first.completions
    assert completion.text == CHOICES[completion.choice or 0]


def test_a_choice_is_made_on_command_where_it_is_offered() -> None:
    ordered = "scripted?choose=neither&sure=0.8"
    assert answer(ordered, request("Tea?", choices=CHOICES)).probabilities == pytest.approx((0.1, 0.8, 0.1))
    reply = answer("scripted?choose=neither", request("Tea?", choices=CHOICES, n=5))
    assert [completion.text for completion in reply.completions] == ["neither"] * 5
    elsewhere = request("Tea?", choices=("yes", "no"))
    assert answer(ordered, elsewhere) == answer("scripted", elsewhere)
