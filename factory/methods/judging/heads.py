"""Two dialogues of one slot held against each other: which is better, asked in both orders.

Limitations: both are shown with the facts that the seeds gave of the first one's speakers, not with what was added.
"""

from __future__ import annotations

from factory.engines import Engine, Sampling
from factory.methods import together
from factory.methods.judging.asking import Asking
from factory.methods.judging.questions import Choice, Question, rubric
from factory.methods.judging.units import Unit, talk, told_of
from factory.store.records import Row

_FIRST, _SECOND, _EQUAL = range(3)
QUESTION = Question(
    name="better", ask=rubric("better_dialogue"), answer=Choice(choice=("first", "second", "equal")), facts=True
)


async def better(
    one: Row, other: Row, frame: str, sampling: Sampling, engine: Engine
) -> tuple[float | None, float | None]:
    """1 where the first of the two is better, 0 where the other is, a half where neither is, none where the answer
    cannot be told: with the first shown first, and with it shown second. Raises RequestError and EngineDeadError."""
    asking = Asking(QUESTION, frame, sampling).plain()
    told = await together(asking.ask(_beside(one, *shown), engine) for shown in ((one, other), (other, one)))
    straight, turned = (verdict.verdicts[0].value for verdict in told)
    points = {float(_FIRST): 1.0, float(_SECOND): 0.0, float(_EQUAL): 0.5}
    return (
        None if straight is None else points[straight],
        None if turned is None else 1 - points[turned],
    )


def _beside(slot: Row, first: Row, second: Row) -> Unit:
    facts = {side: one.facts_of("seed") for side, one in enumerate(slot.speakers)}
    told = "\n\n".join(told_of(side, own) for side, own in facts.items()) if any(facts.values()) else None
    both = f"First:\n{talk(first.turns)}\n\nSecond:\n{talk(second.turns)}"
    names = dict.fromkeys(("before", "turn", "speaker"))
    return Unit(names | {"of": "dialogue", "known": told, "dialogue": both})
