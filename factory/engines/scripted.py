"""An engine without a model, for rehearsals of a job and for faults on command.

Its text is made of words of the messages, drawn by their hash: the same request always gets the same answer. It writes
a list where the messages ask for lines after "- ", fills a JSON schema where there is one, and finds each of some
choices as probable as their hash says. Faults, and choices that are to be made, are part of the model's name, as in
`scripted?latency_ms=5&fail=poison&choose=yes`. Limitations: sense.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from factory.engines import Completion, EngineDeadError, EngineStartError, LanguageModel, Reply, Request, RequestError
from factory.engines.choices import drawn

_WORD = re.compile(r"[^\W\d_]{4,}")
_LINES = 3
_TAG = "bdfgklmnprstvz"


class _Orders(BaseModel):
    """What the model's name commands; each fault strikes when its word occurs in the messages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency_ms: float = 0
    start: str | None = None
    fail: str | None = None
    dead: str | None = None
    hang: str | None = None
    die: str | None = None
    choose: str | None = None
    sure: float = Field(1.0, ge=0, le=1)


class ScriptedEngine:
    """Answers at once, or as its name commands: `start=MESSAGE` fails to start, `fail=WORD` refuses a request with that
    word, `dead=WORD` loses the engine, `hang=WORD` never answers, `die=WORD` kills the process, `latency_ms=N` waits.
    `choose=CHOICE`, where that is among the choices, is as probable as `sure=PROBABILITY` says (1); the others share
    the rest.

    Raises EngineStartError.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.capacity = model.max_num_seqs
        try:
            self._orders = _Orders.model_validate(dict(parse_qsl(model.name.partition("?")[2])))
        except ValidationError as error:
            first = error.errors()[0]
            allowed = ", ".join(_Orders.model_fields)
            raise EngineStartError(
                f"model {model.name}: {first['loc'][0]}: {first['msg']} (allowed: {allowed})"
            ) from error
        if self._orders.start is not None:
            raise EngineStartError(self._orders.start)

    async def generate(self, request: Request) -> Reply:
        """Answer, fail, hang or die."""
        prompt = "\n".join(message["content"] for message in request.messages)
        await asyncio.sleep(self._orders.latency_ms / 1000)
        await self._misbehave(prompt)
        if request.choices:
            return self._choose(request, prompt)
        return Reply(
            completions=tuple(_completion(request, prompt, number) for number in range(request.n)),
            prompt_tokens=len(prompt.split()),
        )

    def _choose(self, request: Request, prompt: str) -> Reply:
        chance = random.Random("\n".join((*request.choices, prompt)))
        if self._orders.choose in request.choices:
            rest = (1 - self._orders.sure) / (len(request.choices) - 1)
            shares = [self._orders.sure if one == self._orders.choose else rest for one in request.choices]
        else:
            shares = [chance.expovariate(1) for _ in request.choices]
        probabilities = tuple(share / sum(shares) for share in shares)
        return Reply(
            drawn(request, probabilities, request.n, chance),
            prompt_tokens=len(prompt.split()),
            probabilities=probabilities,
            source="logprobs",
        )

    async def close(self) -> None:
        """Nothing to free."""

    async def _misbehave(self, prompt: str) -> None:
        def ordered(word: str | None) -> bool:
            return word is not None and word in prompt

        if ordered(self._orders.die):
            os.kill(os.getpid(), signal.SIGKILL)
        if ordered(self._orders.hang):
            await asyncio.Event().wait()
        if ordered(self._orders.dead):
            raise EngineDeadError(f"ordered by dead={self._orders.dead}")
        if ordered(self._orders.fail):
            raise RequestError(f"ordered by fail={self._orders.fail}")


def _completion(request: Request, prompt: str, number: int) -> Completion:
    chance = random.Random(f"{number}\n{prompt}")
    words = sorted({word.lower() for word in _WORD.findall(prompt)}) or ["nothing"]
    if request.json_schema is not None:
        text = json.dumps(_fill(request.json_schema, 0, words, chance))
    elif '"- "' in request.messages[0]["content"]:
        text = "\n".join(f"- {_sentence(words, chance)}" for _ in range(_LINES))
    else:
        text = _sentence(words, chance)
    return Completion(text, tokens=len(text.split()), finish_reason="stop")


def _sentence(words: list[str], chance: random.Random) -> str:
    # The tag is a word of its own, so that no two sentences are the same turn said twice.
    tag = "".join(chance.choices(_TAG, k=6))
    return f"I like {' '.join(chance.sample(words, min(5, len(words))))} {tag}."


def _fill(schema: dict[str, Any], place: int, words: list[str], chance: random.Random) -> Any:
    """The least value that fits a schema; enumerations take turns along an array, so that speakers alternate."""
    if "enum" in schema:
        return schema["enum"][place % len(schema["enum"])]
    match schema.get("type"):
        case "object":
            wanted = schema.get("required", schema["properties"])
            return {name: _fill(schema["properties"][name], place, words, chance) for name in wanted}
        case "array":
            return [_fill(schema["items"], item, words, chance) for item in range(max(1, schema.get("minItems", 1)))]
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return True
        case _:
            return _sentence(words, chance)
