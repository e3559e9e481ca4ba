"""What a worker asked its vLLM engine: token for token, with times, for benchmarks to replay.

`in_worker` is for Ray to call in each worker; it writes each request to a file in the folder that the
environment names. Limitations: some ten microseconds per request, at the factory's cost.
"""

from __future__ import annotations

import asyncio
import json
import marshal
import mmap
import os
import struct
import sys
import time
from array import array
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

FOLDER, CLOCK = "BENCHMARK_RECORD", "BENCHMARK_CLOCK"
_CLOCK = struct.Struct("ddd")
RUNTIME = {"worker_process_setup_hook": "benchmarks.recording.in_worker"}


@dataclass(slots=True)
class Asked:
    """One request: the dialogue it belongs to, prompt and completions as token ids, prompt tokens that the prefix cache
    had, and when it was sent and answered, in seconds since the epoch. As it was answered, how many seconds the worker
    had spent: CPU of its event loop and of all its threads, CPU of the engine's process, in the engine's steps, and in
    its taking of requests."""

    dialogue: str
    prompt: list[int]
    completions: list[list[int]]
    cached: int
    sampling: dict[str, Any]
    json_schema: dict[str, Any] | None
    began: float
    ended: float
    loop_cpu: float
    cpu: float
    engine_cpu: float
    stepping: float
    taking: float

    @property
    def tokens(self) -> int:
        """Tokens that were generated."""
        return sum(map(len, self.completions))


def in_worker() -> None:
    """Write down each request of this process to vLLM."""
    from factory.engines import UNSET, Reply, Request, vllm
    from factory.engines.chat import ChatTokenizer
    from factory.engines.vllm_process import Answer

    generate, reply = vllm.VllmEngine.generate, vllm._reply
    kept: dict[str, tuple[list[int], Answer]] = {}
    folder = Path(os.environ[FOLDER])
    file = (folder / f"{os.getpid()}.marshal").open("ab", buffering=0)
    clock = folder / f"{os.getpid()}.clock"
    clock.write_bytes(bytes(_CLOCK.size))
    os.environ[CLOCK] = str(clock)
    with clock.open("rb") as opened:
        times = mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)

    def replied(request: Request, prompt: list[int], answer: Answer, chat: ChatTokenizer) -> Reply:
        kept[_task()] = prompt, answer
        return reply(request, prompt, answer, chat)

    async def written(self: vllm.VllmEngine, request: Request) -> Reply:
        began, task = time.time(), _task()
        answered = await generate(self, request)
        prompt, answer = kept.pop(task)
        stepping, taking, engine_cpu = _CLOCK.unpack(times)
        asked = (
            f"{os.getpid()}-{task}",
            array("i", prompt).tobytes(),
            [array("i", ids).tobytes() for ids, *_ in answer.completions],
            answer.cached_tokens,
            json.dumps(UNSET | request.sampling.told()),
            request.json_schema,
            began,
            time.time(),
            time.thread_time(),
            time.process_time(),
            engine_cpu,
            stepping,
            taking,
        )
        marshal.dump(asked, file)
        return answered

    vllm._reply, vllm._MAIN = replied, "from benchmarks.recording import in_engine; in_engine()"
    vllm.VllmEngine.generate = written  # type: ignore[method-assign]


def in_engine() -> None:
    """Be the engine's process, and keep its clock: seconds in its steps and in its taking of requests, and CPU seconds
    of all its threads."""
    from benchmarks.shapes import make_weights_up
    from factory.engines import LanguageModel, vllm_process

    start = vllm_process.start
    with Path(os.environ[CLOCK]).open("r+b") as opened:
        times = mmap.mmap(opened.fileno(), 0)
    spent = {"step": 0.0, "add_request": 0.0}

    def timed(model: LanguageModel, adapters: tuple[str, ...]) -> tuple[Any, Any, list[Any]]:
        make_weights_up()
        engine, tokenizer, loras = start(model, adapters)
        for name in spent:
            setattr(engine, name, clocked(name, getattr(engine, name)))
        return engine, tokenizer, loras

    def clocked(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*given, **options)
            finally:
                spent[name] += time.perf_counter() - began
                _CLOCK.pack_into(times, 0, *spent.values(), time.process_time())

        return run

    vllm_process.start = timed
    vllm_process.main(int(sys.argv[1]), int(sys.argv[2]))


def _task() -> str:
    """The name of the task that runs, which is a dialogue's: unlike its address it never comes again."""
    task = asyncio.current_task()
    assert task is not None
    return task.get_name()


def read(folder: Path) -> list[Asked]:
    """The requests of all workers, in the order in which they were sent."""
    asked = []
    for path in folder.glob("*.marshal"):
        with path.open("rb") as file:
            while file.peek(1):
                dialogue, prompt, completions, cached, sampling, *rest = marshal.load(file)
                ids = [array("i", completion).tolist() for completion in completions]
                asked.append(Asked(dialogue, array("i", prompt).tolist(), ids, cached, json.loads(sampling), *rest))
    return sorted(asked, key=lambda one: one.began)


def steady(answers: list[tuple[float, int]]) -> tuple[float, float]:
    """Of answers' times and tokens, the times between which the middle half of all tokens came."""
    answers = sorted(answers)
    counts = list(accumulate(tokens for _, tokens in answers))
    return tuple(answers[bisect(counts, counts[-1] * share)][0] for share in (0.25, 0.75))  # type: ignore[return-value]


def chains(asked: list[Asked]) -> list[list[Asked]]:
    """The requests of each dialogue, in order: each waits for the one before it."""
    found: dict[str, list[Asked]] = {}
    for one in asked:
        found.setdefault(one.dialogue, []).append(one)
    return list(found.values())


def reusable(asked: list[Asked], block: int) -> int:
    """Prompt tokens that lie in whole blocks of a prefix which an earlier request has computed: those that had ended
    when the request was sent, and of one in progress its prompt. The last token of a prompt is always computed,
    since the first one of the answer is drawn from it."""
    computed: set[int] = set()
    waiting = sorted(asked, key=lambda one: one.ended)
    done = total = 0
    for one in asked:
        while waiting[done].ended <= one.began:
            for completion in waiting[done].completions:
                computed.update(_blocks(waiting[done].prompt + completion[:-1], block))
            done += 1
        for prefix in _blocks(one.prompt[:-1], block):
            if prefix not in computed:
                break
            total += block
        computed.update(_blocks(one.prompt, block))
    return total


def _blocks(tokens: list[int], block: int) -> list[int]:
    """The hash of the prefix up to each whole block."""
    found, prefix = [], 0
    for end in range(block, len(tokens) + 1, block):
        prefix = hash((prefix, *tokens[end - block : end]))
        found.append(prefix)
    return found
