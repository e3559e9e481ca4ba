"""What the tests of methods are put together from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from factory.engines import Completion, Reply, Request
from factory.methods import Kit, Maker
from factory.store.records import Fact, Row, SeedRef, Speaker, Turn

Answer = str | Completion | Exception | list[str]


class Said:
    """An engine that answers from a list (a list in it: one completion each), in the order of the requests."""

    capacity = 4

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    async def generate(self, request: Request) -> Reply:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        several = answer if isinstance(answer, list) else [answer]
        completions = (
            one if isinstance(one, Completion) else Completion(one, len(one.split()), "stop") for one in several
        )
        return Reply(tuple(completions), prompt_tokens=10 * len(request.messages), cached_tokens=1)

    async def close(self) -> None:
        pass


def a_row(*personas: Sequence[str], turns: Sequence[str] = (), row_id: str = "r") -> Row:
    """A row of two speakers with these facts (none without) and, in alternation, these turns."""
    facts = [*personas, (), ()][:2]
    speakers = [
        Speaker(f"s{n}", f"s{n}", facts=[Fact(text, "seed", f"s{n}") for text in own]) for n, own in enumerate(facts)
    ]
    seeds = [SeedRef(speaker.seed_id, ["f", "t", "a"], "personas.jsonl", 1) for speaker in speakers]
    said = [Turn(number % 2, text) for number, text in enumerate(turns)]
    return Row(row_id, "generated", 0, seeds, speakers, turns=said, donors=[[], []])


def run(maker: Maker, row: Row, kit: Kit) -> Row:
    """The row, after the maker."""
    asyncio.run(maker.run(row, kit))
    return row


def user_text(request: Request) -> str:
    """The last message of a request."""
    return request.messages[-1]["content"]
