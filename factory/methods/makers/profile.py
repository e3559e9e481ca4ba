"""Profile: the fields of a schema, which a language model fills for a persona in one call.

OpenCharacter (arXiv 2501.15427) makes a character of each line of Persona Hub so, with the fields that are the default
here. The values become attributes of the speaker and facts of it. An attribute that the seed gives stays as it is, and
is not asked for. Makes personas: the job's rows are personas without turns, and another job reads its corpus.
Limitations: fields are made up, and fit the facts as far as the model sees to it; no NLI model checks them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, field_validator

from factory.engines import Message, Request, Sampling
from factory.methods import Calls, Kit, LanguageModelName, ModelKind, Params, completing, together
from factory.methods.makers.broken import excerpt
from factory.methods.makers.schema import ProfileField, profile_schema, read_profile
from factory.methods.prompts import bundled, render
from factory.store.records import Fact, Row, RowError, Speaker

_SAMPLING = Sampling(max_tokens=320)
_WROTE = "profile"
"""In the detail of the first fact: all that the model wrote, by field."""
OPEN_CHARACTER = (
    ProfileField(name="name"),
    ProfileField(name="age", type="integer", low=18, high=90, fact="I am {value} years old."),
    ProfileField(name="gender", choices=("woman", "man", "non-binary person"), fact="I am a {value}."),
    ProfileField(name="race", about="the group of people they come from"),
    ProfileField(name="birthplace", about="a town and its country", fact="I was born in {value}."),
    ProfileField(name="appearance", type="sentence", about="how they look"),
    ProfileField(name="experience", type="sentence", about="what they have lived through"),
    ProfileField(name="personality", type="sentence", about="what they are like"),
)
"""The fields of OpenCharacter; their types are ours."""


class ProfileParams(Params):
    """Parameters of `profile`."""

    method: Literal["profile"] = Field("profile", description="The method.")
    fields: tuple[ProfileField, ...] = Field(
        OPEN_CHARACTER,
        min_length=1,
        description="The fields, in order: of each its `name`, and if need be `type` (text, sentence, integer, number),"
        " `choices`, `low`, `high`, `about` and `fact`. Those of OpenCharacter unless set.",
    )
    attempts: int = Field(3, ge=1, description="Calls per persona, until every field is filled as it should be.")
    prompt: str | None = Field(None, description="Template file, relative to the job file; the bundled one by default.")
    model: LanguageModelName = Field("writer", description="The language model that fills them.")
    sampling: Annotated[Sampling, BeforeValidator(completing(_SAMPLING))] = Field(
        _SAMPLING, description="How profiles are sampled; fields left out keep this maker's defaults."
    )

    @field_validator("fields")
    @classmethod
    def _say_something(cls, fields: tuple[ProfileField, ...]) -> tuple[ProfileField, ...]:
        names = [field.name for field in fields]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{twice[0]} is given twice")
        if all(field.fact is False or field.fact == {} for field in fields):
            raise ValueError("no field becomes a fact; give one of them a `fact`")
        return fields


class Profile:
    """Fills attributes, and adds facts of origin `profile`, the first of which keeps in its `detail` what was written.

    A sentence that the prompt holds, as a fact or in an example, is none. A persona of which a field is missing or does
    not fit after all attempts becomes a dead letter, `profile_format`.

    >>> from factory.methods.example import dialogue, made
    >>> answers = '{"age": 41, "town": "Oslo"}', '{"age": 300, "town": "Rome"}', '{"age": "30", "town": "Rome"}'
    >>> fields = [{"name": "age", "type": "integer", "high": 90}, {"name": "town", "fact": "I live in {value}."}]
    >>> row = made(Profile, dialogue(), *answers, fields=fields)
    >>> [(speaker.attributes["age"], speaker.facts_of("profile")[1]) for speaker in row.speakers]
    [('41', 'I live in Oslo.'), ('30', 'I live in Rome.')]
    """

    name = "profile"
    version = 1
    Params = ProfileParams
    variables = frozenset({"facts", "attributes", "fields"})
    reads = frozenset({"facts.seed", "facts.expand", "attributes"})
    writes = frozenset({"facts.profile", "attributes"})
    of_imported = False
    donors = 0
    personas: Literal["same"] = "same"

    def __init__(self, params: ProfileParams) -> None:
        self.params = params
        self.template = params.prompt or bundled("profile")

    @property
    def needs(self) -> frozenset[ModelKind]:
        """The language model."""
        return frozenset({"language"})

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """One for each speaker, and more where a field is not filled as it should be."""
        return np.full_like(turns, 2), np.full_like(turns, 2 * self.params.attempts)

    @staticmethod
    def clear(row: Row) -> None:
        """Take the facts off the row, and the attributes that were written with them."""
        for speaker in row.speakers:
            speaker.attributes = _given(speaker)
            speaker.facts = [fact for fact in speaker.facts if fact.origin != "profile"]

    async def run(self, row: Row, kit: Kit) -> None:
        """Fill the profile of each speaker. Raises RowError (`profile_format`), RequestError and EngineDeadError."""
        self.clear(row)
        await together(self._fill(speaker, kit) for speaker in row.speakers)

    def prompts(self, row: Row) -> Iterator[tuple[str, tuple[Message, ...]]]:
        """What each call was for, and what it was sent; of several attempts the first."""
        for number, speaker in enumerate(row.speakers):
            if fields := self._asked(given := _known(speaker)):
                yield f"speaker {number}", self._messages(speaker, given, fields)

    def _asked(self, given: dict[str, str]) -> list[ProfileField]:
        return [field for field in self.params.fields if field.name not in given]

    def _messages(self, speaker: Speaker, given: dict[str, str], fields: list[ProfileField]) -> tuple[Message, ...]:
        told = [{"name": field.name, "told": field.told} for field in fields]
        return render(self.template, facts=speaker.facts_of("seed", "expand"), attributes=given, fields=told)

    async def _fill(self, speaker: Speaker, kit: Kit) -> None:
        given = _known(speaker)
        fields = self._asked(given)
        if not fields:
            return
        messages, schema = self._messages(speaker, given, fields), profile_schema(fields)
        shown = "\n".join(message["content"] for message in messages)
        sentences = [field.name for field in fields if field.type == "sentence"]
        for _ in range(self.params.attempts):
            reply = await kit.engine.generate(Request(messages, self.params.sampling, json_schema=schema))
            text = reply.completions[0].text
            values, wrong = read_profile(text, fields)
            wrong += [name for name in sentences if name in values and values[name] in shown]
            if not wrong:
                break
        else:
            detail = f"{', '.join(wrong)} missing or not as asked: {excerpt(text)}"
            raise RowError("profile_format", detail, self.params.attempts)
        said = [fact for field in fields if (fact := field.says(values[field.name]))]
        if not said:
            raise RowError("profile_format", f"none of its values becomes a fact: {excerpt(text)}")
        facts = [Fact(fact, "profile", speaker.seed_id) for fact in said]
        facts[0].detail = json.dumps({_WROTE: values}, ensure_ascii=False)
        speaker.attributes |= values
        speaker.facts += facts


def _known(speaker: Speaker) -> dict[str, str]:
    """What is known of a speaker before: its attributes, and its name."""
    return ({} if speaker.name is None else {"name": speaker.name}) | _given(speaker)


def _given(speaker: Speaker) -> dict[str, str]:
    """The attributes but for those that were written."""
    details = (fact.detail for fact in speaker.facts if fact.origin == "profile" and fact.detail)
    wrote: dict[str, str] = next((json.loads(detail)[_WROTE] for detail in details), {})
    return {name: value for name, value in speaker.attributes.items() if wrote.get(name) != value}
