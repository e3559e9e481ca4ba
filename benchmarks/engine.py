"""Tokens a second of a whole `factory run` over those of the bare engine on the very same requests.

    python -m benchmarks.engine [--mode turns|script] [--dialogues 1024] [--cores N] [--rounds 3]
    python -m benchmarks.engine --gpus 1 --in-flight 256 --shape 8b    # on a GPU, with random weights

Each round is a run of the factory on a local Ray, whose worker's requests are recorded, then a replay of the record:
prompts as token ids, answers of the recorded lengths, each dialogue's next request sent when its last one is answered;
no text, no personas, no Ray. Each is a process of its own. Two times are taken: the steady one, in which the middle
half of all tokens came, and the whole from the first request sent to the last one answered, tails included. On a CPU,
`--cores` gives the engine fewer cores than there are, and so the orchestrator some of its own: with all of them, what
the event loop takes the engine lacks. Also shown: where the worker's time went, how much of what the prefix cache could
give it gave, and what turn-synchronous `LLM.generate` makes of the same requests. Limitations: the replay's answers are
other tokens than the recorded ones, so it cannot reuse an answer's blocks; the prompt tokens that each side computed
are shown.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import print_machine
from benchmarks.recording import Asked, chains, read, reusable, steady
from benchmarks.shapes import DUMMY, make_weights_up
from benchmarks.talking import arguments, factory_run, job_of, model_of, settle_model

CPU_BLOCK, GPU_BLOCK = 32, 16
"""Tokens in a block of the prefix cache."""


@dataclass(slots=True)
class Side:
    """What one side of a round came to: tokens generated, of the prompts' tokens those in the cache, and tokens a
    second over all and, where answers have times of their own, while the middle half of them came."""

    tokens: int
    prompt_tokens: int
    cached: int
    whole: float
    steady: float | None = None


def side_of(answers: list[tuple[float, int]], began: float, prompt_tokens: int, cached: int) -> Side:
    """The side whose answers came at these times, with so many tokens."""
    first, last = steady(answers)
    tokens = sum(count for _, count in answers)
    middle = sum(count for time, count in answers if first < time <= last)
    return Side(
        tokens, prompt_tokens, cached, tokens / (max(time for time, _ in answers) - began), middle / (last - first)
    )


def replay(asked: list[Asked], given: argparse.Namespace) -> Side:
    """The requests through vLLM's own loop, each dialogue's in order, no more at once than the factory sends."""
    from vllm.inputs.engine import tokens_input

    from factory.engines.vllm import _HEADROOM
    from factory.engines.vllm_process import start

    make_weights_up()
    engine, _, _ = start(model_of(given))
    capacity = max(given.in_flight + 1, int(given.in_flight * _HEADROOM))
    waiting, params = [iter(chain) for chain in chains(asked)][::-1], sampling_of(asked)
    running: dict[str, Any] = {}
    answers, prompts = [], []
    began = time.perf_counter()
    sent = 0

    def send(chain: Any) -> None:
        nonlocal sent
        one = next(chain, None)
        if one is not None:
            engine.add_request(str(sent), tokens_input(one.prompt), params(one))
            running[str(sent)] = chain
            sent += 1

    while waiting or running:
        while waiting and len(running) < capacity:
            send(waiting.pop())
        for output in engine.step():
            if output.finished:
                answers.append((time.perf_counter(), sum(len(part.token_ids) for part in output.outputs)))
                prompts.append((len(output.prompt_token_ids), output.num_cached_tokens))
                send(running.pop(output.request_id))
    return side_of(answers, began, *(sum(counts) for counts in zip(*prompts, strict=True)))


def in_lockstep(asked: list[Asked], given: argparse.Namespace) -> Side:
    """The same through `LLM.generate`: all first turns, then all second turns, and so on."""
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    from vllm import LLM, TokensPrompt
    from vllm.platforms import current_platform

    from factory.models import resolve

    cpu = {"block_size": CPU_BLOCK, "enable_chunked_prefill": False, "enforce_eager": True}
    llm = LLM(
        resolve(given.model),
        max_model_len=1024,
        max_num_seqs=given.in_flight,
        load_format="dummy" if DUMMY in os.environ else "auto",
        **(cpu if current_platform.is_cpu() else {}),
        structured_outputs_config={"backend": "guidance", "disable_any_whitespace": True},
    )
    dialogues, params = chains(asked), sampling_of(asked)
    side = Side(0, 0, 0, 0.0)
    began = time.perf_counter()
    for turn in range(max(map(len, dialogues))):
        now = [chain[turn] for chain in dialogues if turn < len(chain)]
        for output in llm.generate(
            [TokensPrompt(prompt_token_ids=one.prompt) for one in now], [params(one) for one in now], use_tqdm=False
        ):
            side.tokens += sum(len(part.token_ids) for part in output.outputs)
            side.prompt_tokens += len(output.prompt_token_ids)
            side.cached += output.num_cached_tokens or 0
    side.whole = side.tokens / (time.perf_counter() - began)
    return side


def sampling_of(asked: list[Asked]) -> Callable[[Asked], Any]:
    """Makes vLLM's parameters of a request: sampled as it was, and as long as its answer was, unless a schema says how
    long that is."""
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

    def params(one: Asked) -> Any:
        own = dict(one.sampling)
        if one.json_schema is None:
            length = max(map(len, one.completions))
            own |= {"max_tokens": length, "ignore_eos": True}
        guide = StructuredOutputsParams(json=one.json_schema) if one.json_schema is not None else None
        return SamplingParams(
            n=len(one.completions),
            structured_outputs=guide,
            output_kind=RequestOutputKind.FINAL_ONLY,
            detokenize=False,
            **own,
        )

    ready = {id(one): params(one) for one in asked}
    return lambda one: ready[id(one)]


WAYS = {"replay": replay, "lockstep": in_lockstep}


def apart(way: str, folder: Path, given: argparse.Namespace) -> Side:
    """A replay in a process of its own."""
    told = {"dialogues": 1, "in-flight": given.in_flight, "cores": given.cores, "model": given.model}
    options = [part for name, value in told.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "benchmarks.engine", *options, "--replay", way, "--record", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": str(given.cores)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Side(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure, and print a line a round and the medians."""
    parser = arguments(__doc__, 1024)
    parser.add_argument("--mode", choices=("turns", "script"), default="turns")
    parser.add_argument("--replay", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.replay:
        print(json.dumps(asdict(WAYS[given.replay](read(given.record), given))))
        return
    print_machine()
    rounds: list[dict[str, Side]] = []
    for number in range(1, given.rounds + 1):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            settle_model(given, folder)
            asked = factory_run(job_of(folder, given, mode=given.mode), given.cores)
            own = side_of(
                [(one.ended, one.tokens) for one in asked],
                asked[0].began,
                sum(len(one.prompt) for one in asked),
                sum(one.cached for one in asked),
            )
            sides = {"factory": own} | {way: apart(way, folder / "record", given) for way in WAYS}
        rounds.append(sides)
        most = reusable(asked, GPU_BLOCK if given.gpus else CPU_BLOCK)
        print(f"round {number}: {len(asked)} requests, {own.tokens} tokens; {_told(asked)}")
        print(f"  {own.cached} of {most} reusable prompt tokens reused: {own.cached / max(most, 1):.3f}")
        for name, side in sides.items():
            middle = f"{side.steady:.0f}" if side.steady else "-"
            print(
                f"  {name}: {middle} tokens/s steady, {side.whole:.0f} over all, "
                f"{side.prompt_tokens - side.cached} prompt tokens computed",
                flush=True,
            )
    shares = {
        "factory / replay, steady": [_ratio(one["factory"].steady, one["replay"].steady) for one in rounds],
        "factory / replay, over all": [_ratio(one["factory"].whole, one["replay"].whole) for one in rounds],
        "factory / lockstep, over all": [_ratio(one["factory"].whole, one["lockstep"].whole) for one in rounds],
    }
    for name, ratios in shares.items():
        print(f"{name}: {statistics.median(ratios):.3f} (median of {', '.join(f'{ratio:.3f}' for ratio in ratios)})")


def _ratio(own: float | None, other: float | None) -> float:
    assert own
    assert other
    return own / other


def _told(asked: list[Asked]) -> str:
    """How the worker of the factory spent the steady time."""
    start, end = steady([(one.ended, one.tokens) for one in asked])
    middle = sorted((one for one in asked if start <= one.ended <= end), key=lambda one: one.ended)
    first, last, wall = middle[0], middle[-1], end - start
    loop, cpu, engine = (getattr(last, name) - getattr(first, name) for name in ("loop_cpu", "cpu", "engine_cpu"))
    return (
        f"of {wall:.1f} s steady {last.stepping - first.stepping:.1f} s in the engine's steps, CPU {loop:.2f} s in the "
        f"event loop ({loop / len(middle) * 1e3:.2f} ms a request), {cpu - loop:.2f} s in the worker's other threads "
        f"and {engine:.1f} s in the engine's process"
    )


if __name__ == "__main__":
    main()
