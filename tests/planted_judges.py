"""Judges that know right from wrong in planted rows, each but the first with one fault; and those rows.

A dialogue is wrong where a speaker never grew what the facts say that they grow, whatever is left of the spelling.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from factory.engines import Message
from factory.methods.judging.fitness.trials import Pair
from factory.store.records import Fact, Row, SeedRef, Speaker, Turn, row_id

PLANTS = ("leeks", "roses", "beans", "tulips", "kale", "peas", "mint", "plums", "corn", "figs", "hops", "dill")
_FLIPPED = {"fits": "contradicts", "contradicts": "fits", "A": "B", "B": "A", "first": "second", "second": "first"}


def planted_row(number: int, wrong: bool | None = None) -> Row:
    """A row; of odd numbers a wrong one, unless it is said."""
    plant, name = f"{PLANTS[number % len(PLANTS)]}{number}", f"s{number}"
    said = f"I never grew {plant} here." if (number % 2 if wrong is None else wrong) else f"My {plant} are doing well!"
    row = Row(
        row_id((name, "x"), 0), "generated", 0, [SeedRef(one, ["f", "t", "a"], "p", 1) for one in (name, "x")], []
    )
    row.speakers = [
        Speaker(name, name, facts=[Fact(f"I grow {plant}.", "seed", name), Fact("I have a garden.", "seed", name)]),
        Speaker("x", "x", facts=[]),
    ]
    row.turns = [Turn(0, said), Turn(1, "I am glad, thanks for telling me."), Turn(0, f"You should see the {plant}.")]
    row.decision = "accept"
    return row


def pairs(count: int) -> list[Pair]:
    return [
        Pair(fact=f"I grow {plant}.", before="B: Hi!", better=f"I love my {plant}.", worse=f"I never grew {plant}.")
        for plant in (f"plant{number}" for number in range(count))
    ]


def sound(messages: Sequence[Message]) -> str:
    """What is right, by the first question; or the words that it goes by, where these are asked for."""
    asked = messages[1]["content"]
    if "Which words" in messages[-1]["content"]:
        return json.dumps({"words": ["never grew"]})
    if "The first persona:" in asked:
        said = re.findall(r"[a-z]+\d+", asked.partition("What A says then:")[2])
        return "first" if said[0] in asked.partition("The second persona:")[0] else "second"
    if "could say then:" in asked:
        options = dict(re.findall(r"^([AB]): (.*)$", asked.partition("could say then:")[2], re.MULTILINE))
        return next((letter for letter, text in options.items() if "never" not in text.lower()), "A")
    return (
        "contradicts"
        if "never" in asked.partition("The conversation:")[2].partition("Does A or B")[0].lower()
        else "fits"
    )


def _first(messages: Sequence[Message]) -> str:
    return re.findall(r'one of "(\w+)"', messages[1]["content"])[-1]


def _if(strikes: Callable[[Sequence[Message]], bool]) -> Callable[[Sequence[Message]], str]:
    """Sound, but turned round where the fault strikes."""

    def answer(messages: Sequence[Message]) -> str:
        right = sound(messages)
        return _FLIPPED.get(right, right) if strikes(messages) else right

    return answer


def _names_nothing(messages: Sequence[Message]) -> str:
    return '{"words": ["thanks"]}' if "Which words" in messages[-1]["content"] else sound(messages)


def _shown(messages: Sequence[Message]) -> str:
    return messages[1]["content"]


JUDGES: dict[str, Callable[[Sequence[Message]], str]] = {
    "sound": sound,
    "takes the first": _first,
    "gives way": _if(lambda messages: "Are you sure?" in messages[-1]["content"]),
    "is led": _if(lambda messages: "I would say" in messages[-1]["content"]),
    "follows opinions": _if(lambda messages: "I wrote" in _shown(messages)),
    "goes by spelling": _if(lambda messages: re.search(r"\bim glad|: i love", _shown(messages)) is not None),
    "goes by wording": _if(lambda messages: "Your task is this" in _shown(messages)),
    "names other words": _names_nothing,
    "knows no persona": _if(lambda messages: "The first persona:" in _shown(messages)),
    "picks the worse": _if(lambda messages: "could say then:" in _shown(messages)),
}
UNFIT = {
    "sound": set(),
    "takes the first": {"order swap"},
    "gives way": {"challenge"},
    "is led": {"challenge"},
    "follows opinions": {"sycophancy"},
    "goes by spelling": {"register shift"},
    "goes by wording": {"rephrasings"},
    "names other words": {"redaction"},
    "knows no persona": {"contrast"},
    "picks the worse": {"gold"},
}
"""By judge, the tests that must find it unfit, and no others."""
