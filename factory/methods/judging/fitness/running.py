"""All tests of one judge, over rows and labelled pairs; and what a score offers that can be tested so.

Limitations: of a row, one part is drawn for each question, so that trials are independent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from factory.engines import Engine
from factory.methods import Kit, draw, together
from factory.methods.judging.asking import Asking
from factory.methods.judging.fitness.changes import challenge, order_swap, register_shift, rephrasings, sycophancy
from factory.methods.judging.fitness.grounds import contrast, gold, redaction, trials_of
from factory.methods.judging.fitness.trials import Asked, Asker, Finding, Pair, Trial
from factory.methods.judging.units import Unit
from factory.store.records import Row

_ON_ANSWERS = (order_swap, challenge, redaction, register_shift, sycophancy, rephrasings)


@dataclass(frozen=True, slots=True)
class Fitness:
    """What the tests came to; how many trials there were, how many of them have no answer to start with, and what the
    engine said of requests that it refused."""

    tests: tuple[Finding, ...]
    trials: int
    unanswered: int
    refused: tuple[str, ...]


@runtime_checkable
class Opinion(Protocol):
    """A score whose model gives opinions, so that these can be tested, and asked for apart from a row."""

    async def fitness(self, rows: Sequence[Row], pairs: Sequence[Pair], kit: Kit) -> Fitness:
        """Whether it is fit. Raises EngineDeadError and ServerError."""

    async def better(self, one: Row, other: Row, kit: Kit) -> tuple[float | None, float | None]:
        """Whether the first of two dialogues of one slot is better (1), the other is (0) or neither (a half), asked in
        both orders; none where it is not told. Raises RequestError, EngineDeadError and ServerError."""


def drawn(row: Row, asking: Asking, some: Sequence[Unit]) -> Iterable[Trial]:
    """The trial of a row for a question: one of its units."""
    if some:
        yield Trial(asking.plain(), some[int(draw(row, f"trial {asking.question.name}") * len(some))])


async def tested(
    trials: Sequence[Trial],
    rows: Sequence[Row],
    pairs: Sequence[Pair],
    engine: Engine,
    *,
    own: Asking,
    by_pairs: Asking,
) -> Fitness:
    """All tests: on trials of rows and on pairs, which `by_pairs` asks about; on replies of rows, as `own` asks."""
    asker = Asker(engine)
    trials = [*trials, *trials_of(pairs, by_pairs.plain())]
    asked: list[Asked] = await together(map(asker.ask, trials))
    firsts = [one for one in asked if one.value is not None]
    order, *others = [await test(firsts, asker) for test in _ON_ANSWERS]
    tests = [order, await contrast(rows, own.plain(), asker), *others, await gold(pairs, by_pairs, asker)]
    return Fitness(tuple(tests), len(trials), len(trials) - len(firsts), tuple(asker.refused))
