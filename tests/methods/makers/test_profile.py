from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from factory.methods.example import made
from factory.methods.makers.profile import Profile, ProfileParams
from factory.methods.makers.schema import ProfileField, profile_schema
from factory.store.records import RowError
from tests.methods.cases import SAMPLING, telling
from tests.methods.parts import a_row

FIELDS: tuple[dict[str, Any], ...] = (
    {"name": "town", "fact": "I live in {value}."},
    {"name": "age", "type": "integer", "low": 10, "high": 90},
    {"name": "mood", "choices": ("calm", "wild"), "fact": {"wild": "I am wild."}},
    {"name": "story", "type": "sentence"},
    {"name": "height", "type": "number", "fact": False},
)
BASE = {
    "fields": FIELDS, "attempts": 2, "sampling": SAMPLING, "prompt": telling("facts", "attributes", "fields"),
}  # fmt: skip
MOVES = [{}, {"fields": FIELDS[:2]}, {"attempts": 1}, {"sampling": SAMPLING | {"top_k": 0}}]
WHOLE = {"town": "Oslo.", "age": 41, "mood": "Wild", "story": "I sailed alone.", "height": 1.8}


def alone(*facts: str) -> Any:
    row = a_row(facts)
    row.speakers = row.speakers[:1]
    return row


def test_values_become_attributes_and_facts() -> None:
    (speaker,) = made(Profile, alone("I sail."), json.dumps(WHOLE), fields=FIELDS).speakers
    assert speaker.attributes == {
        "town": "Oslo.", "age": "41", "mood": "wild", "story": "I sailed alone.", "height": "1.8",
    }  # fmt: skip
    assert speaker.facts_of("profile") == ["I live in Oslo.", "My age is 41.", "I am wild.", "I sailed alone."]
    assert speaker.facts_of("seed") == ["I sail."]
    assert all(fact.source_id == speaker.seed_id for fact in speaker.facts)


def test_what_the_seed_gives_stays_and_is_not_asked_for() -> None:
    row = alone("I sail.")
    row.speakers[0].attributes = {"town": "Bergen", "boats": "2"}
    answer = json.dumps({name: value for name, value in WHOLE.items() if name != "town"})
    (speaker,) = made(Profile, row, answer, fields=FIELDS).speakers
    assert (speaker.attributes["town"], speaker.attributes["age"]) == ("Bergen", "41")
    assert "I live in Oslo." not in speaker.facts_of("profile")
    ((_, messages),) = Profile(ProfileParams(fields=FIELDS)).prompts(row)
    assert "- town: Bergen" in messages[-1]["content"]
    assert "- town: a few words" not in messages[-1]["content"]
    assert "- age: a whole number from 10 to 90" in messages[-1]["content"]
    Profile.clear(row)
    assert speaker.attributes == {"town": "Bergen", "boats": "2"}
    assert [fact.origin for fact in speaker.facts] == ["seed"]


def test_a_name_that_the_seed_gives_is_not_asked_for() -> None:
    row = alone("I sail.")
    row.speakers[0].name = "Ann"
    fields = ({"name": "name"}, FIELDS[0])
    (speaker,) = made(Profile, row, '{"town": "Oslo"}', fields=fields).speakers
    assert (speaker.name, speaker.attributes) == ("Ann", {"town": "Oslo"})
    assert speaker.facts_of("profile") == ["I live in Oslo."]
    ((_, messages),) = Profile(ProfileParams(fields=fields)).prompts(row)
    assert "- name: Ann" in messages[-1]["content"]


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"age": 9}, "age"), ({"age": 10.5}, "age"), ({"age": True}, "age"), ({"mood": "odd"}, "mood"),
        ({"town": " . "}, "town"), ({"story": "He sailed."}, "story"), ({"height": "tall"}, "height"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_asked_for_again_and_then_fails_the_row(wrong: dict[str, Any], name: str) -> None:
    bad = json.dumps(WHOLE | wrong)
    row = made(Profile, alone("I sail."), bad, f"Sure!\n```json\n{json.dumps(WHOLE)}\n```", fields=FIELDS, attempts=2)
    assert row.speakers[0].attributes["age"] == "41"
    with pytest.raises(RowError, match=f"{name} missing or not as asked") as failed:
        made(Profile, alone("I sail."), bad, fields=FIELDS, attempts=1)
    assert failed.value.reason == "profile_format"


def test_a_sentence_that_the_prompt_holds_is_asked_for_again() -> None:
    copied = json.dumps(WHOLE | {"story": "I sail."})
    row = made(Profile, alone("I sail."), copied, json.dumps(WHOLE), fields=FIELDS, attempts=2)
    assert row.speakers[0].attributes["story"] == "I sailed alone."
    with pytest.raises(RowError, match="story missing or not as asked"):
        made(Profile, alone("I sail."), copied, fields=FIELDS, attempts=1)


def test_the_schema_holds_types_choices_and_ranges() -> None:
    schema = profile_schema([ProfileField(**field) for field in FIELDS])
    properties: Any = schema["properties"]
    assert schema["required"] == ["town", "age", "mood", "story", "height"]
    assert properties["age"] == {"type": "integer", "minimum": 10, "maximum": 90}
    assert properties["mood"] == {"enum": ["calm", "wild"]}
    assert properties["height"] == {"type": "number"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([{"name": "facts"}], "no field can have the name facts"),
        ([{"name": "Age"}], "pattern"),
        ([{"name": "age", "low": 3}], "set the type"),
        ([{"name": "age", "type": "integer", "low": 3, "high": 2}], "low \\(3\\) is above high \\(2\\)"),
        ([{"name": "age", "fact": "I am old."}], "says the same of every value"),
        ([{"name": "mood", "choices": ["calm"], "fact": {"wild": "I am wild."}}], "has no choice 'wild'"),
        ([{"name": "mood", "type": "integer", "choices": ["calm"]}], "choices are texts"),
        ([{"name": "age"}, {"name": "age"}], "age is given twice"),
        ([{"name": "age", "fact": False}], "no field becomes a fact"),
    ],
)
def test_fields_that_cannot_be_filled_say_why(fields: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ProfileParams.model_validate({"fields": fields})
