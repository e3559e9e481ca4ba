"""The fields of a profile: what a job says of them, the schema that guides the model, and the reading of its answer.

Where a server guides no model by schemas, the JSON may stand in a fence or behind a preface. Limitations: a text longer
than guided decoding allows is cut off within a word.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from factory.methods.judging.answers import json_in
from factory.methods.makers.listed import FIRST_PERSON, any_text, beginning

_TEXT, _MOST = r'^[^\s"\\][^"\\\n]{0,59}$', 200
_SENTENCE = "a sentence in the first person"
_TAKEN = frozenset({"id", "facts", "persona", "turns", "personas", "speakers", "parent"})
"""What a row of seeds has besides attributes, so that no attribute has these names."""


class ProfileField(BaseModel):
    """One field of a profile."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern="^[a-z][a-z0-9_]*$", description="Its name, and that of the attribute.")
    type: Literal["text", "sentence", "integer", "number"] = Field(
        "text", description="`sentence` is one in the first person, and a fact as it stands."
    )
    choices: tuple[Annotated[str, Field(min_length=1)], ...] = Field((), description="The texts that it can be.")
    low: float | None = Field(None, description="The least number.")
    high: float | None = Field(None, description="The greatest number.")
    about: str = Field("", description="What the model is told of it, besides its name.")
    fact: str | dict[str, str] | Literal[False] | None = Field(
        None,
        description="The fact that it becomes: text with {value} in it, or of choices the text of each that says "
        'something; false for none. Unless set, "My NAME is {value}.", and of a sentence the sentence.',
    )

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        numeric = self.type in ("integer", "number")
        if self.name in _TAKEN:
            raise ValueError(f"no field can have the name {self.name}, nor {', '.join(sorted(_TAKEN - {self.name}))}")
        if self.choices and self.type != "text":
            raise ValueError(f"{self.name}: choices are texts; leave out the type")
        if not numeric and (self.low is not None or self.high is not None):
            raise ValueError(f"{self.name}: low and high are those of a number; set the type")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"{self.name}: low ({self.low:g}) is above high ({self.high:g})")
        if isinstance(self.fact, str) and "{value}" not in self.fact:
            raise ValueError(f"{self.name}: {self.fact!r} says the same of every value: write {{value}} in it")
        if isinstance(self.fact, dict) and (others := [one for one in self.fact if one not in self.choices]):
            raise ValueError(f"{self.name} has no choice {others[0]!r}")
        return self

    @property
    def guide(self) -> dict[str, object]:
        """Its JSON Schema, for guided decoding."""
        if self.choices:
            return {"enum": list(self.choices)}
        if self.type == "text":
            return {"type": "string", "pattern": _TEXT}
        if self.type == "sentence":
            return {"type": "string", "pattern": any_text(FIRST_PERSON)}
        whole = self.type == "integer"
        ends = {"minimum": self.low and (math.ceil(self.low) if whole else self.low), "maximum": self.high}
        return {"type": self.type} | {name: end for name, end in ends.items() if end is not None}

    @property
    def told(self) -> str:
        """What the model is told of it."""
        if self.choices:
            kind = f"one of {', '.join(self.choices)}"
        elif self.type == "text":
            kind = "a few words"
        elif self.type == "sentence":
            kind = _SENTENCE
        else:
            ends = [f"{word} {end:g}" for word, end in (("from", self.low), ("to", self.high)) if end is not None]
            kind = " ".join(["a whole number" if self.type == "integer" else "a number", *ends])
        return f"{kind}; {self.about}" if self.about else kind

    def read(self, value: object) -> str | None:
        """A value as an attribute holds it; none if it is not of this field."""
        if self.type in ("integer", "number"):
            number = _number(value)
            if number is None or not (self.low is None or number >= self.low):
                return None
            if not (self.high is None or number <= self.high) or (self.type == "integer" and number % 1):
                return None
            return f"{number:.0f}" if self.type == "integer" else f"{number:g}"
        text = " ".join(value.split()) if isinstance(value, str) else ""
        if self.choices:
            return next((one for one in self.choices if one.casefold() == text.casefold()), None)
        if self.type == "sentence" and beginning(FIRST_PERSON).match(text) is None:
            return None
        return text if any(map(str.isalnum, text)) and len(text) <= _MOST else None

    def says(self, value: str) -> str | None:
        """The fact that a value becomes, if it becomes one."""
        if self.fact is False:
            return None
        if isinstance(self.fact, dict):
            return self.fact.get(value)
        usual = "{value}" if self.type == "sentence" else f"My {self.name.replace('_', ' ')} is {{value}}."
        said = value if self.type == "sentence" else value.rstrip(".")
        return (self.fact or usual).replace("{value}", said)


def profile_schema(fields: Sequence[ProfileField]) -> dict[str, object]:
    """JSON Schema of an object of these fields, for guided decoding."""
    properties = {field.name: field.guide for field in fields}
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def read_profile(answer: str, fields: Sequence[ProfileField]) -> tuple[dict[str, str], list[str]]:
    """The values in an answer by the names of the fields, and the fields that it lacks or whose value does not fit."""
    found = json_in(answer) or {}
    values = {field.name: field.read(found.get(field.name)) for field in fields}
    whole = {name: value for name, value in values.items() if value is not None}
    return whole, [name for name, value in values.items() if value is None]


def _number(value: object) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return (
        float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        else None
    )
