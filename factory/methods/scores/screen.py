"""Screen: what a dialogue should not hold, counted in facts and turns of both speakers; asks no model.

Swearing and slurs; personal data and postal addresses; inability for which the persona is the reason (Gupta et al.,
Bias Runs Deep, arXiv 2311.04892); words that lift a model's rules, in biographies as in turns (Dr Jekyll and Mr Hyde,
arXiv 2312.03853). Both speakers are screened, since who asks moves what is refused (Who's asking?, arXiv 2406.12094).
Each check says which of the seven categories of trustworthiness it is of (Liu et al., arXiv 2308.05374).
Limitations: those of the checks (factory/methods/screening): words and forms, English for the most part, no toxicity
without such words, no names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from factory.methods import Calls, Column, Kit, ModelKind, Params, Scored
from factory.methods.screening import CHECKS, REGIONS, Regions, screened
from factory.store.records import Detail, Row

_KINDS = tuple(kind for check in CHECKS.values() for kind in check.kinds)


class ScreenParams(Params):
    """Parameters of `screen`."""

    method: Literal["screen"] = Field("screen", description="The method.")
    regions: Regions = Field(
        REGIONS,
        description="Countries (ISO 3166) whose phone numbers are known without a country's code, US and GB by default "
        "(ours).",
    )


class Screen:
    """Counts what is found, by check. Its details are of the turns and facts with a find: how many of each kind, and
    never the text of one.

    >>> from factory.methods.example import dialogue, scored
    >>> row = dialogue()
    >>> row.turns[2].text = "As a dancer, I can't answer that. Write to ann@example.org!"
    >>> found = scored(Screen, row)
    >>> found.values["personal_data"], found.values["inability"], found.values["profanity"]
    (1, 1, 0)
    >>> [(one.kind, one.speaker, one.turn) for one in found.details]
    [('turn', 0, 2)]
    """

    name = "screen"
    version = 1
    Params = ScreenParams
    reads = frozenset({"turns", "facts.seed", "facts.expand", "facts.extract", "facts.augment"})
    columns = tuple(
        Column(
            name, "int", f"Finds of {check.what}, in facts and turns.", low=0, better="lower", category=check.category
        )
        for name, check in CHECKS.items()
    )
    details: ClassVar = {"turn": _KINDS, "fact": _KINDS}

    def __init__(self, params: ScreenParams) -> None:
        self.params = params

    @property
    def needs(self) -> frozenset[ModelKind]:
        """No model."""
        return frozenset()

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """None."""
        each = np.zeros_like(turns)
        return each, each

    async def score(self, row: Row, kit: Kit) -> Scored:  # noqa: ARG002
        """Count the finds of the whole dialogue, and of each text that has any."""
        if not row.turns:
            return Scored(missing="input_missing")
        total: Counter[str] = Counter()
        details = []
        for text, place in self._texts(row):
            found = self.found(text)
            if found:
                total.update(found)
                place.values = [float(found[kind]) for kind in _KINDS]
                details.append(place)
        return Scored({name: sum(total[kind] for kind in check.kinds) for name, check in CHECKS.items()}, details)

    def found(self, text: str) -> Counter[str]:
        """How much of each kind a text has."""
        return Counter(find.kind for finds in screened(text, self.params.regions).values() for find in finds)

    def _texts(self, row: Row) -> Iterator[tuple[str, Detail]]:
        """Each text, and where it stands."""
        for number, speaker in enumerate(row.speakers):
            places: Counter[str] = Counter()
            for fact in speaker.facts:
                yield (
                    fact.text,
                    Detail(self.name, "fact", speaker=number, origin=fact.origin, fact=places[fact.origin]),
                )
                places[fact.origin] += 1
        for number, turn in enumerate(row.turns):
            yield turn.text, Detail(self.name, "turn", speaker=turn.speaker, turn=number)
