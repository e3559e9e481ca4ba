from __future__ import annotations

import asyncio

import pytest
from transformers import AutoTokenizer

from factory.engines import EngineStartError, LanguageModel, Request, Sampling
from factory.engines.chat import ChatTokenizer
from factory.engines.parsers import parser
from factory.engines.vllm import VllmEngine
from tests.tiny import tiny_model

THOUGHT = "Here is my thought process: she sails. Here is my response: Do you sail?"


def test_a_parser_of_vllm_tells_thought_from_talk() -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model())
    granite = parser("granite", tokenizer)
    assert granite(THOUGHT) == ("Do you sail?", "she sails.")
    assert granite("Do you sail?") == ("Do you sail?", None)


def test_what_it_finds_is_counted_and_marks_are_left_out() -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model())
    chat = ChatTokenizer(tokenizer, parser=lambda text: (text.partition("!")[2], text.partition("!")[0]))
    ids = tokenizer.encode("apple baker! cello<|end|>", add_special_tokens=False)
    thinking = len(tokenizer.encode("apple baker", add_special_tokens=False))
    assert chat.said(ids, guided=False) == (" cello", "apple baker", thinking)
    assert chat.said(ids, guided=True)[1:] == (None, 0), "guided answers hold no thought"


@pytest.mark.parametrize(
    ("name", "why"),
    [("granit", "vLLM has none called granit; it has .*granite"), ("mistral", "does not fit the model")],
)
def test_a_parser_that_is_not_there_or_does_not_fit_is_refused(name: str, why: str) -> None:
    with pytest.raises(EngineStartError, match=why):
        parser(name, AutoTokenizer.from_pretrained(tiny_model()))


def test_the_engine_reads_answers_by_the_named_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("factory.engines.vllm.parser", lambda name, _: lambda text: ("said", f"{name}: {text}"))
    engine = VllmEngine(
        LanguageModel(name=tiny_model(), max_model_len=256, engine_args={"reasoning_parser": "granite"})
    )
    try:
        request = Request(({"role": "user", "content": "apple"},), Sampling(max_tokens=8))
        (found,) = asyncio.run(engine.generate(request)).completions
    finally:
        asyncio.run(engine.close())
    assert found.text == "said"
    assert str(found.reasoning).startswith("granite: ")
    assert found.reasoning_tokens > 0
