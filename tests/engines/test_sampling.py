"""How vLLM samples: what a request says, what it leaves open, and texts that end an answer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from factory.engines import Completion, LanguageModel, Message, Request, Sampling, vllm_process
from factory.engines.vllm import VllmEngine
from tests.tiny import tiny_model

HELLO = (Message(role="system", content="About you:\n- I have a dog."), Message(role="user", content="Hello!"))


def test_a_text_that_ends_the_answer_is_no_part_of_it() -> None:
    # Greedy by the model's own configuration, as an argument of the engine has it.
    greedy = Sampling(max_tokens=16)
    arguments = {"override_generation_config": {"temperature": 0}, "max_num_batched_tokens": 512}

    async def asked() -> tuple[Completion, Completion, str]:
        model = LanguageModel(name=tiny_model(), max_model_len=256, max_num_seqs=4, engine_args=arguments)
        engine = VllmEngine(model)
        try:
            (whole,) = (await engine.generate(Request(HELLO, greedy))).completions
            middle = len(whole.text) // 2
            stop = whole.text[middle : middle + 3]
            stopping = greedy.model_copy(update={"stop": (stop,)})
            (stopped,) = (await engine.generate(Request(HELLO, stopping))).completions
        finally:
            await engine.close()
        return whole, stopped, stop

    whole, stopped, stop = asyncio.run(asked())
    assert stopped.text == whole.text[: whole.text.index(stop)]
    assert stopped.finish_reason == "stop"
    assert 1 <= stopped.tokens < whole.tokens


@pytest.mark.parametrize(
    ("own", "used"),
    [
        ({}, {"temperature": 0.7, "top_k": 20}),
        ({"repetition_penalty": 1.1}, {"temperature": 0.7, "top_k": 20, "repetition_penalty": 1.1}),
        ({"temperature": 0.6, "top_p": 0.9, "max_tokens": 9}, {"temperature": 0.6, "top_p": 0.9, "top_k": 0}),
    ],
)
def test_what_a_request_leaves_open_is_as_the_model_or_else_the_factory_has_it(
    own: dict[str, float], used: dict[str, float]
) -> None:
    class Opened:
        model_config = SimpleNamespace(get_diff_sampling_param=lambda: dict(own))

    unset = vllm_process._unset(Opened())
    assert dict(unset) == {name: value for name, value in used.items() if value}
    made = vllm_process._params(vllm_process.Texts('{"max_tokens": 5}', 1, None), unset)
    assert {name: getattr(made, name) for name in used} == pytest.approx(used)
    asked = vllm_process._params(vllm_process.Texts('{"max_tokens": 5, "temperature": 1.5}', 1, None), unset)
    assert asked.temperature == 1.5
