"""Screen personas: the checks of `screen` on the personas themselves, before any model is asked.

A biography that lifts a model's rules opens the door to what the model would not say (Dr Jekyll and Mr Hyde, arXiv
2312.03853; persona modulation, arXiv 2311.03348), and what a persona holds of somebody's data is spoken aloud. It comes
before the other makers. A find rejects the row, which becomes a dead letter (`screened`), or, of personal data, is
replaced by its kind and a number, `[EMAIL_1]`, one for each that differs, in both personas. Limitations: those of the
checks (factory/methods/screening); facts of other speakers that `augment` draws from are not screened.
"""

from __future__ import annotations

import json
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from factory.methods import Calls, Kit, ModelKind, Params
from factory.methods.screening import REGIONS, Find, Regions, screened
from factory.store.records import Fact, Row, RowError

_REPLACED = "replaced"
Rejecting = Literal["reject", "keep"]
Replacing = Literal["reject", "replace", "keep"]


class ScreenPersonasParams(Params):
    """Parameters of `screen_personas`."""

    method: Literal["screen_personas"] = Field("screen_personas", description="The method.")
    profanity: Rejecting = Field("reject", description="What is done about swearing and slurs.")
    personal_data: Replacing = Field(
        "reject", description="What is done about e-mail addresses, IP addresses and numbers that lead to a person."
    )
    address: Replacing = Field("reject", description="What is done about postal addresses.")
    inability: Rejecting = Field("reject", description="What is done about inability for which the persona is blamed.")
    jailbreak: Rejecting = Field("reject", description="What is done about words that lift a model's rules.")
    regions: Regions = Field(REGIONS, description="As in the score `screen`.")


class ScreenPersonas:
    """Rejects rows by what their seed facts hold, or replaces it. A fact that was changed keeps its text in `detail`.

    >>> from factory.methods.example import dialogue, made
    >>> row = dialogue()
    >>> row.speakers[0].facts[0].text = "My mail is ann@example.org."
    >>> made(ScreenPersonas, row, personal_data="replace").speakers[0].facts_of("seed")
    ['My mail is [EMAIL_1].']
    """

    name = "screen_personas"
    version = 1
    Params = ScreenPersonasParams
    reads = frozenset({"facts.seed"})
    writes = frozenset({"facts.seed"})
    of_imported = True
    before_language = True
    donors = 0

    def __init__(self, params: ScreenPersonasParams) -> None:
        self.params = params
        if "replace" not in (params.personal_data, params.address):
            self.writes = frozenset()  # so that a gate alone redoes no dialogue

    @property
    def needs(self) -> frozenset[ModelKind]:
        """No model."""
        return frozenset()

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """None."""
        each = np.zeros_like(turns)
        return each, each

    @staticmethod
    def clear(row: Row) -> None:
        """Put back what was replaced."""
        for fact in _seeds(row):
            before = json.loads(fact.detail).get(_REPLACED) if fact.detail else None
            if before is not None:
                fact.text, fact.detail = before, None

    async def run(self, row: Row, kit: Kit) -> None:  # noqa: ARG002
        """Reject the row, or replace what is to be. Raises RowError, `screened`, which names checks, never finds."""
        self.clear(row)
        facts = _seeds(row)
        found = [screened(fact.text, self.params.regions) for fact in facts]
        actions = {name: getattr(self.params, name) for name in dict.fromkeys(name for one in found for name in one)}
        rejecting = [name for name, action in actions.items() if action == "reject"]
        if rejecting:
            counts = ", ".join(f"{name} in {sum(name in one for one in found)} fact(s)" for name in rejecting)
            raise RowError("screened", f"the personas hold {counts}; change the seeds, or makers.{self.name}")
        numbers: dict[tuple[str, str], int] = {}
        for fact, one in zip(facts, found, strict=True):
            finds = [find for name, finds in one.items() if actions[name] == "replace" for find in finds]
            if finds:
                _replace(fact, finds, numbers)


def _seeds(row: Row) -> list[Fact]:
    return [fact for speaker in row.speakers for fact in speaker.facts if fact.origin == "seed"]


def _replace(fact: Fact, finds: list[Find], numbers: dict[tuple[str, str], int]) -> None:
    """Put placeholders into a fact; `numbers` are those given so far, by kind and what they stand for."""
    text, end = "", 0
    for find in sorted(finds, key=lambda one: one.start):
        if find.start < end:  # an address and a number in it
            continue
        said = (find.kind, " ".join(fact.text[find.start : find.end].casefold().split()))
        number = numbers.setdefault(said, 1 + sum(kind == find.kind for kind, _ in numbers))
        text += f"{fact.text[end : find.start]}[{find.kind.upper()}_{number}]"
        end = find.end
    fact.text, fact.detail = text + fact.text[end:], json.dumps({_REPLACED: fact.text}, ensure_ascii=False)
