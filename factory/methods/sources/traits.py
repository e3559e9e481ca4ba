"""Traits: scores of personality as sentences, such as "I am extremely quiet.", for each person of a table.

Scores are columns, or come from a person's answers to a questionnaire. The nine levels and their words are those of
"Personality Traits in Large Language Models" (arXiv 2307.00184); PAPI (PAlign, arXiv 2408.11779) makes personas of
people's answers, PsyPlay (arXiv 2502.03821) of levels that it assigns. Limitations: levels are equally wide, whatever
share of people is in each; the words go before English adjectives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from factory.methods.sources import SourceParams
from factory.methods.sources.answers import Item, Key, answer_columns, items_of, number_of, scores_of
from factory.methods.sources.attributes import name_fault, unknown
from factory.methods.sources.tables import Table
from factory.seeds.files import BadRow
from factory.seeds.lines import FileRow
from factory.seeds.source import facts_of
from factory.seeds.values import missing

_LEVELS = (
    "extremely {low}", "very {low}", "{low}", "a bit {low}", "neither {low} nor {high}", "a bit {high}", "{high}",
    "very {high}", "extremely {high}",
)  # fmt: skip
_FACTS = ("facts", "persona", "input persona")
_PLACES = 4
"""Decimals of a score."""


class Trait(BaseModel):
    """How the levels of a trait are said: by adjectives for both ends, or by a sentence for each."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str | None = Field(None, description="The attribute that keeps the score; the column or scale, unless set.")
    low: tuple[str, ...] = Field((), description="Adjectives for the low end.")
    high: tuple[str, ...] = Field((), description="Adjectives for the high end, one for each of the low end.")
    bands: tuple[str | None, ...] = Field(
        (), description="Instead, a sentence for each level from the lowest up; null says nothing."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Any:
        if bool(self.bands) == bool(self.low or self.high):
            raise ValueError("give adjectives as `low` and `high`, or sentences as `bands`")
        if len(self.low) != len(self.high):
            raise ValueError(
                f"`low` has {len(self.low)} adjectives and `high` {len(self.high)}: each needs its opposite"
            )
        return self


class TraitsParams(SourceParams):
    """Parameters of `traits`."""

    make: Literal["traits"] = Field("traits", description="The source.")
    of: Table = Field(
        description="The people: a path, the fields of an entry of `seeds`, or rows. Facts that they have are kept."
    )
    scales: dict[str, Trait] = Field(
        min_length=1, description="How each trait is said, by the column of its scores, or the scale of `key`."
    )
    range: tuple[float, float] = Field(
        (1, 5), description="The lowest and the highest that a score, or an answer, can be."
    )
    levels: tuple[str, ...] = Field(
        _LEVELS,
        min_length=1,
        description="Levels from the lowest up, with {low} and {high} for adjectives; the nine of arXiv 2307.00184, "
        "unless set.",
    )
    say: str = Field("I am {level}.", description="The sentence of a level in adjectives.")
    key: Key | None = Field(None, description="The questionnaire, where scores come from answers.")
    answers: str = Field(
        "answers",
        min_length=1,
        description="With `key`: the column of a person's answers, as a list; or, with {number} in it, a column for "
        "each, from 1.",
    )
    items: tuple[int, ...] | None = Field(
        None,
        min_length=1,
        description="With `key`: the numbers of the items that count, from 1, so that others can be held out; all, "
        "unless set.",
    )

    @field_validator("scales")
    @classmethod
    def _names(cls, scales: dict[str, Trait]) -> dict[str, Trait]:
        names = [trait.name or column for column, trait in scales.items()]
        for name in names:
            if fault := name_fault(name, "a trait"):
                raise ValueError(f"{name}: {fault}; set its `name`")
        if again := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two traits are named {again}")
        return scales

    @field_validator("range")
    @classmethod
    def _in_order(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if not -math.inf < ends[0] < ends[1] < math.inf:
            raise ValueError("the lowest stands before the highest")
        return ends

    @field_validator("say")
    @classmethod
    def _with_level(cls, say: str) -> str:
        if "{level}" not in say:
            raise ValueError("write {level} where the adjectives go")
        return say

    @field_validator("items")
    @classmethod
    def _of_key(cls, items: tuple[int, ...] | None, info: ValidationInfo) -> Any:
        if items is not None and info.data.get("key", items) is None:
            raise ValueError("these are numbers of items of `key`, which is not given")
        return items


class Traits:
    """Makes sentences of people's scores of traits, which are kept as attributes.

    >>> E = {"name": "extraversion", "low": ["quiet", "shy"], "high": ["talkative", "bold"]}
    >>> key = {"of": [{"scale": "E", "keyed": 1}, {"scale": "E", "keyed": -1}]}
    >>> people = [{"id": "p1", "answers": [5, 1]}, {"id": "p2", "answers": [2, 4]}]
    >>> source = Traits(TraitsParams(of=people, key=key, scales={"E": E}))
    >>> [(row["id"], row["extraversion"], row["facts"]) for row in source.rows()]
    [('p1', 5.0, ['I am extremely talkative and extremely bold.']), ('p2', 2.0, ['I am quiet and shy.'])]
    """

    name = "traits"
    version = 1
    Params = TraitsParams

    def __init__(self, params: TraitsParams) -> None:
        self.params = params

    def rows(self) -> Iterator[dict[str, Any] | BadRow]:
        """A row for each person. Raises ValueError or SourceError for a key that is none."""
        items = items_of(self.params.key) if self.params.key else []
        self._check(items)
        for place, row in self.params.of.rows():
            try:
                if isinstance(row, BadRow):
                    raise row
                yield self._row(row, items)
            except BadRow as bad:
                yield BadRow(bad.reason, f"{place}: {bad.detail}")

    def _check(self, items: Sequence[Item]) -> None:
        scales = {item.scale for item in items}
        for column in self.params.scales if items else ():
            if column not in scales:
                raise ValueError(f"`scales` speaks of {unknown(column, sorted(scales), 'scale of the key')}")
        for number in self.params.items or ():
            if not 1 <= number <= len(items):
                raise ValueError(f"`items`: the key has {len(items)} items, and none with the number {number}")

    def _row(self, row: FileRow, items: Sequence[Item]) -> dict[str, Any]:
        params, used = self.params, {*self.params.scales, *_FACTS}
        if items:
            columns = answer_columns(params.answers, len(items))
            used |= set(columns)
            scores = scores_of(row, columns, items, params.range, params.items)
        else:
            scores = {name: number_of(row.get(name), name) for name in params.scales}
        made = {name: value for name, value in row.items() if name not in used and not isinstance(value, BadRow)}
        held = next((name for name in _FACTS if not missing(row.get(name))), None)
        facts = list(facts_of(row[held], held)) if held else []
        told = False
        for column, trait in params.scales.items():
            score = scores.get(column)
            if score is None:
                continue
            if not params.range[0] <= score <= params.range[1]:
                raise BadRow("wrong_type", f"{column} is {score:g}, outside {params.range[0]:g} to {params.range[1]:g}")
            told = True
            made[trait.name or column] = round(score, _PLACES)
            if said := self._said(trait, score):
                facts.append(said)
        if not told:
            raise BadRow("missing_field", f"no score of {' or '.join(params.scales)}")
        return made | {"facts": facts}

    def _said(self, trait: Trait, score: float) -> str | None:
        low, high = self.params.range
        levels: Sequence[str | None] = trait.bands or self.params.levels
        level = levels[min(len(levels) - 1, int((score - low) / (high - low) * len(levels)))]
        if trait.bands or level is None:
            return level
        words = [
            level.replace("{low}", one).replace("{high}", other)
            for one, other in zip(trait.low, trait.high, strict=True)
        ]
        return self.params.say.replace("{level}", " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))))
