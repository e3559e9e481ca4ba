"""Tokens a second of persona-lm in vLLM: `python benchmarks/persona_lm_speed.py MODEL [--in-flight 64] [--rounds 5]`.

Dialogues of eight turns between personas of the grammar, `--in-flight` of them at once, through the engine that the
factory's workers run: each turn is sent when the one before it is there. A round is that many dialogues; the first
warms up and is not counted. Counts generated tokens alone, over wall time, tails of the rounds included.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time

from factory.engines import LanguageModel, Message, Request, Sampling
from factory.engines.vllm import VllmEngine
from factory.methods.prompts import bundled, render
from factory.training.dialogues import END
from factory.training.grammar import draw_persona

TURNS = 8


def personas(rng: random.Random, number: int) -> list[tuple[list[str], list[str]]]:
    """Pairs of personas of five facts."""

    def facts() -> list[str]:
        return [fact.text for fact in draw_persona(rng, 5)]

    return [(facts(), facts()) for _ in range(number)]


async def talk(engine: VllmEngine, pair: tuple[list[str], list[str]]) -> int:
    """One dialogue; the tokens it took."""
    prompts = [render(bundled("converse"), role=None, partner_role=None, facts=facts, topic=None) for facts in pair]
    said: list[str] = []
    tokens = 0
    while len(said) < TURNS and not (said and said[-1].endswith(END.strip())):
        who = len(said) % 2
        system, begin = prompts[who]
        history = [Message(role="assistant" if k % 2 == who else "user", content=text) for k, text in enumerate(said)]
        chat = (system, *([begin] if who == 0 else []), *history)
        (completion,) = (await engine.generate(Request(chat, Sampling(max_tokens=64)))).completions
        said.append(completion.text.strip() or ".")
        tokens += completion.tokens
    return tokens


async def measure(model: str, in_flight: int, rounds: int) -> None:
    """Print each round's speed and their median."""
    engine = VllmEngine(LanguageModel(name=model, max_num_seqs=in_flight))
    rng = random.Random(1)
    speeds = []
    for number in range(rounds + 1):
        began = time.monotonic()
        tokens = sum(await asyncio.gather(*(talk(engine, pair) for pair in personas(rng, in_flight))))
        speed = tokens / (time.monotonic() - began)
        print(f"round {number}: {tokens} tokens, {speed:.0f} tokens/s{'' if number else ' (warm-up)'}", flush=True)
        speeds.append(speed)
    await engine.close()
    print(f"median of {rounds}: {statistics.median(speeds[1:]):.0f} tokens/s, {in_flight} dialogues in flight")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    asyncio.run(measure(given.model, given.in_flight, given.rounds))
