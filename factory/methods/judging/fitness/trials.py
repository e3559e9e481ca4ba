"""What all tests of a judge share: trials, the asking of one answer, and what a test came to.

Limitations: the interval takes trials as independent, so a row gives one trial to each question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pydantic import BaseModel, ConfigDict, Field

from factory.base.intervals import wilson
from factory.engines import Engine, Message, Reply, Request, RequestError
from factory.methods.judging.asking import Asking
from factory.methods.judging.units import Unit

Value = tuple[int, ...] | None
"""What was answered, by content, a number for each field; none where that could not be told."""
RARELY, MOSTLY = 0.2, 0.5
"""The largest share of failures of what must hardly ever fail, and of what must hold more often than not (ours)."""


class Pair(BaseModel):
    """A labelled pair: two replies to the same, of which one is better, since it fits the facts for example."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fact: str | tuple[str, ...] = Field((), description="What is known of the speaker.")
    before: str = Field("", description="What was said before.")
    better: str = Field(min_length=1, description="The better reply.")
    worse: str = Field(min_length=1, description="The worse one.")


@dataclass(frozen=True, slots=True)
class Trial:
    """One question about one unit, and the answer that is right, if it is known."""

    asking: Asking
    unit: Unit
    gold: int | None = None

    def worded(self, change: Callable[[str], str]) -> Trial:
        """The same with another wording of the question."""
        return replace(self, asking=self.asking.worded(change(self.asking.question.ask)))

    def told(self, change: Callable[[str], str], *names: str) -> Trial:
        """The same with these parts of what is shown changed, and the options."""
        shown = {name: change(text) if text and name in names else text for name, text in self.unit.shown.items()}
        return replace(self, unit=replace(self.unit, shown=shown, options=tuple(map(change, self.unit.options))))

    @property
    def orders(self) -> tuple[tuple[int, ...], ...]:
        """The order in which options are given, and its reverse."""
        given = self.asking.given(self.unit)
        return given, given[::-1]

    def right(self, value: Value) -> bool:
        """Whether a value is the right one."""
        return value is not None and value[0] == self.gold


@dataclass(frozen=True, slots=True)
class Asked:
    """A trial and what was answered: the value, and as it was written."""

    trial: Trial
    value: Value
    raw: str = ""


@dataclass(slots=True)
class Asker:
    """Asks an engine, no more requests at a time than it takes; `refused` are the messages of requests that it does not
    answer."""

    engine: Engine
    refused: list[str] = field(default_factory=list)
    _free: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(max(self.engine.capacity, 1))

    @property
    def capacity(self) -> int:
        """That of the engine."""
        return self.engine.capacity

    async def generate(self, request: Request) -> Reply:
        """Answer one request, when its turn comes. Raises RequestError and EngineDeadError."""
        async with self._free:
            try:
                return await self.engine.generate(request)
            except RequestError as error:
                self.refused.append(str(error))
                raise

    async def close(self) -> None:
        """Leave the engine to whoever opened it."""

    async def ask(self, trial: Trial, order: int = 0, talk: Sequence[Message] = ()) -> Asked:
        """The answer to a trial, in the order given or its reverse, behind more of a talk perhaps. What is not certain
        enough for the question is no value. Raises EngineDeadError."""
        shown = trial.orders[order]
        request = trial.asking.request(trial.unit, shown)
        raw = await self.text(replace(request, messages=(*request.messages, *talk)))
        values, certainty = trial.asking.read(raw, shown)
        least = trial.asking.question.certainty
        return Asked(trial, values if least is None or (certainty or 0) >= least else None, raw)

    async def text(self, request: Request) -> str:
        """What is answered to a request; nothing, if it is refused."""
        try:
            return (await self.generate(request)).completions[0].text
        except RequestError:
            return ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a test came to: how many trials of how many failed, the share of failures from which on a judge is unfit,
    further figures by name, and where it comes from."""

    name: str
    failure: str
    source: str
    tried: int
    failed: int
    limit: float
    figures: dict[str, float] = field(default_factory=dict)
    why: str = "nothing to try it on"

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the share of failures (Wilson), none without a trial."""
        return wilson(self.failed, self.tried) if self.tried else None

    @property
    def fit(self) -> bool | None:
        """Whether the share of failures is below the limit, or above it; none where the interval holds the limit."""
        if self.interval is None or self.interval[0] <= self.limit <= self.interval[1]:
            return None
        return self.interval[1] < self.limit


def talk(said: str, asked: str) -> tuple[Message, Message]:
    """What the judge said, and what it is asked then."""
    return Message(role="assistant", content=said), Message(role="user", content=asked)
