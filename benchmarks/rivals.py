"""The dialogues of `benchmarks.others` as one would script them with vLLM alone, and the bound of any such script;
and what the ways of `benchmarks.rivals_ray` share with them.

Prompts are the factory's, rendered from its template. Limitations: what the factory does beside talking. No turn is
checked or asked for again, nothing is written down, and a death loses everything.
"""

from __future__ import annotations

import os
import time
from argparse import Namespace
from dataclasses import dataclass
from typing import Any

from factory.engines import Message
from factory.methods.prompts import bundled, render
from factory.models import resolve

TEMPLATE, END = bundled("converse"), "[END]"

Dialogue = dict[str, Any]
"""The facts of the `first` and the `second` speaker, what was `said`, in order, and whether that `ended` it."""


@dataclass(slots=True)
class Side:
    """What a way came to: calls of the model, tokens it generated, seconds from the first request sent to the last one
    answered (without the start of engines between them), and seconds in all."""

    dialogues: int
    calls: int = 0
    tokens: int = 0
    seconds: float = 0
    wall: float = 0


def messages(dialogue: Dialogue) -> list[Message]:
    """The prompt of the next turn: the speaker's facts and its side of the dialogue."""
    said, number = dialogue["said"], len(dialogue["said"]) % 2
    facts = list(dialogue[("first", "second")[number]])
    system, start = render(TEMPLATE, facts=facts, role=None, partner_role=None, topic=None)
    history = [Message(role="assistant" if at % 2 == number else "user", content=text) for at, text in enumerate(said)]
    return [system, *([] if number else [start]), *history]


def say(dialogue: Dialogue, answer: str, given: Namespace) -> Dialogue:
    """The dialogue with one turn more."""
    text, mark, _ = answer.partition(END)
    said = [*dialogue["said"], text.strip()]
    ended = len(said) == given.turns or (bool(mark) and len(said) >= given.min_turns)
    return {"first": dialogue["first"], "second": dialogue["second"], "said": said, "ended": ended}


def sampling(given: Namespace) -> dict[str, Any]:
    """The factory's, as keywords of vLLM's SamplingParams."""
    return {"temperature": given.temperature, "top_p": given.top_p, "max_tokens": given.max_tokens}


def engine(given: Namespace) -> dict[str, Any]:
    """The factory's, as keywords of vLLM's EngineArgs."""
    from vllm.platforms import current_platform

    cpu = {"block_size": 32, "enable_chunked_prefill": False, "enforce_eager": True}
    return {
        "max_model_len": given.max_model_len,
        "max_num_seqs": given.in_flight,
        "enable_prefix_caching": True,
        **(cpu if current_platform.is_cpu() else {}),
    }


def lockstep(dialogues: list[Dialogue], given: Namespace) -> Side:
    """`LLM.generate`: all first turns, then all second turns, and so on."""
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": str(given.cores)}
    from vllm import LLM, SamplingParams

    llm = LLM(resolve(given.model), **engine(given))
    tokenizer, params = llm.get_tokenizer(), SamplingParams(**sampling(given))
    side = Side(len(dialogues))
    began = time.perf_counter()
    while dialogues:
        prompts = [
            tokenizer.apply_chat_template(messages(one), add_generation_prompt=True, tokenize=False)
            for one in dialogues
        ]
        answers = llm.generate(prompts, params, use_tqdm=False)
        dialogues = [say(one, answer.outputs[0].text, given) for one, answer in zip(dialogues, answers, strict=True)]
        dialogues = [one for one in dialogues if not one["ended"]]
        side.calls += len(answers)
        side.tokens += sum(len(answer.outputs[0].token_ids) for answer in answers)
    side.seconds = time.perf_counter() - began
    return side


def own_loop(dialogues: list[Dialogue], given: Namespace) -> Side:
    """No rival but the bound: one loop around vLLM's `add_request` and `step`, in which each dialogue goes on when its
    turn is answered, and which does nothing else."""
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": str(given.cores)}
    from vllm import EngineArgs, SamplingParams
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.llm_engine import LLMEngine

    llm = LLMEngine.from_engine_args(EngineArgs(model=resolve(given.model), disable_log_stats=True, **engine(given)))
    tokenizer, params = llm.get_tokenizer(), SamplingParams(output_kind=RequestOutputKind.FINAL_ONLY, **sampling(given))
    side, waiting = Side(len(dialogues)), dialogues[::-1]
    running: dict[str, Dialogue] = {}
    began = time.perf_counter()
    while waiting or running:
        while waiting and len(running) < given.in_flight * 1.1:
            one = waiting.pop()
            prompt = tokenizer.apply_chat_template(messages(one), add_generation_prompt=True, tokenize=False)
            llm.add_request(str(side.calls), prompt, params)
            running[str(side.calls)] = one
            side.calls += 1
        for output in llm.step():
            if output.finished:
                one = say(running.pop(output.request_id), output.outputs[0].text, given)
                side.tokens += len(output.outputs[0].token_ids)
                waiting += [] if one["ended"] else [one]
    side.seconds = time.perf_counter() - began
    return side
