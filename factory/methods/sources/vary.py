"""Vary: counterfactual twins, which differ from a persona in one attribute and in the facts that tell it.

What is compared over them (refusals, scores, judgements) then differs by that attribute alone, as in "Who's asking?"
(arXiv 2406.12094), which swaps who a user is, and SimulateBench (arXiv 2312.17115), which varies single attributes of a
profile. Limitations: a value is found as a word, in the case it has; what else goes with it, such as "he", stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from factory.methods.sources import SourceParams
from factory.methods.sources.attributes import Fact, Value, fact_fault, name_fault, said_of, value_fault, written
from factory.methods.sources.tables import Table
from factory.seeds.files import BadRow
from factory.store.records import Seed

ORIGINAL = "counterfactual_of"
"""The attribute that holds the id of the persona of which a twin is one."""


class VaryParams(SourceParams):
    """Parameters of `vary`."""

    make: Literal["vary"] = Field("vary", description="The source.")
    of: Table = Field(description="The personas: a path, the fields of an entry of `seeds`, or rows.")
    attribute: str = Field(
        min_length=1, description="The attribute that is changed; `name` is what a persona is called."
    )
    values: tuple[Value, ...] = Field(min_length=1, description="A twin for each of these but the persona's own value.")
    fact: Fact | None = Field(
        None,
        description='The fact that tells the attribute: text with {value} in it, such as "I am {value} years old.", or '
        "the text of each value. It is replaced, or added where a persona does not tell it. Unless set, every fact in "
        "which the old value stands as a word gets the new one.",
    )

    @field_validator("attribute")
    @classmethod
    def _can_be_one(cls, name: str) -> str:
        if name == ORIGINAL or (name.isidentifier() and (name_fault(name, "an attribute"))):
            raise ValueError(f"{name} is no attribute that can be varied")
        return name

    @field_validator("values")
    @classmethod
    def _are_values(cls, values: tuple[Value, ...]) -> tuple[Value, ...]:
        if fault := next(filter(None, map(value_fault, values)), None):
            raise ValueError(fault)
        if len({*map(written, values)}) < len(values):
            raise ValueError("a value is given twice")
        return values

    @field_validator("fact")
    @classmethod
    def _of_the_values(cls, fact: Fact | None, info: ValidationInfo) -> Fact | None:
        if fact is not None and (fault := fact_fault(fact)):
            raise ValueError(fault)
        if isinstance(fact, dict):
            for value in info.data.get("values", ()):
                if value not in fact:
                    raise ValueError(f"there is no text for the value {value!r}")
        return fact


class Vary:
    """Makes each persona, and a twin of it for each other value of one attribute.

    A persona keeps its id, so it is no other than in its own file; the twins' ids tell persona, attribute and value,
    and their attribute `counterfactual_of` the persona.

    >>> personas = [{"id": "ann", "facts": ["I am 34 years old.", "I ski."], "age": 34}]
    >>> source = Vary(VaryParams(of=personas, attribute="age", values=[34, 70]))
    >>> [(row["id"], row["facts"][0], row.get("counterfactual_of")) for row in source.rows()]
    [('ann', 'I am 34 years old.', None), ('ann/age=70', 'I am 70 years old.', 'ann')]
    """

    name = "vary"
    version = 1
    Params = VaryParams

    def __init__(self, params: VaryParams) -> None:
        self.params = params

    def rows(self) -> Iterator[dict[str, Any] | BadRow]:
        """Each persona, and after it its twins."""
        attribute = self.params.attribute
        for seed in self.params.of.personas():
            if isinstance(seed, BadRow):
                yield seed
                continue
            about = seed.speakers[0] if seed.speakers else None
            given: dict[str, Any] = {"name": about.name} if about and about.name else {}
            given |= about.attributes if about else {}
            yield {"id": seed.id, "facts": list(seed.personas[0]), **given}
            for value in self.params.values:
                if written(value) != given.get(attribute):
                    facts = self._retold(seed, given.get(attribute), value)
                    changed = {attribute: value, ORIGINAL: seed.id}
                    yield {"id": f"{seed.id}/{attribute}={written(value)}", "facts": facts, **given, **changed}

    def _retold(self, seed: Seed, old: str | None, value: Value) -> list[str]:
        """The facts of a persona whose attribute had an old value, or none, with another."""
        facts, fact = list(seed.personas[0]), self.params.fact
        if fact is None:
            word = re.compile(rf"(?<!\w){re.escape(old)}(?!\w)") if old else None
            return [word.sub(lambda _: written(value), one) if word else one for one in facts]
        said = said_of(fact, value)
        assert said is not None  # the parameters have a text for every value
        told = set(fact.values()) if isinstance(fact, dict) else {said_of(fact, old)} if old is not None else set()
        retold = [said if one in told else one for one in facts]
        return retold if said in retold else [*retold, said]
