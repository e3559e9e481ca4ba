"""The grammar: what personas and dialogues may and may not say."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.training.dialogues import END, draw_dialogue
from factory.training.grammar import (
    EXCLUSIVE,
    REPEATABLE,
    attributes,
    draw,
    draw_fact,
    draw_persona,
    held_values,
    sentence,
    small_talk,
    values_of,
    variants,
)

seeds = st.integers(0, 2**32)

# Statements of these attributes can be read back from text: their forms and values are those of no other attribute.
READABLE = ("job", "city", "age", "name", "food", "color", "music", "season", "holiday", "married", "wake")


def _statements() -> list[tuple[str, re.Pattern[str], frozenset[str]]]:
    found = []
    for name in READABLE:
        attribute = attributes()[name]
        kind = attribute.slots["v"]
        values = frozenset(v.lower() for split in ("train", "held") for v in values_of(kind, split))
        for reading in (text for form in attribute.fact + attribute.say for text in variants(form)):
            pattern = (
                re.escape(reading)
                .replace(r"\{v\}", "(.+?)")
                .replace(r"\{a\ v\}", "an? (.+?)")
                .replace(r"\{years\}", r"\d+")
            )
            found.append((name, re.compile(f"(?:^|[.!?] ){pattern}(?:$| )", re.IGNORECASE), values))
    return found


STATEMENTS = _statements()


@pytest.mark.parametrize("name", attributes())
@pytest.mark.parametrize("split", ["train", "held"])
def test_every_form_of_every_attribute_can_be_said(name: str, split: str) -> None:
    attribute, rng = attributes()[name], random.Random(0)
    fact = draw_fact(attribute, rng, split)  # type: ignore[arg-type]
    about = [text for question, answers in attribute.about for text in (question, *answers)]
    for form in (
        *attribute.fact,
        *attribute.say,
        *attribute.check,
        *attribute.denial,
        *attribute.none,
        *attribute.react,
        *about,
    ):
        for reading in variants(form):
            text = sentence(reading, rng, fact.values)
            assert text
            assert not set(text) & set("{}|()")
            assert text[0] == text[0].upper()


def test_small_talk_has_forms_for_every_purpose() -> None:
    assert all(isinstance(purpose, str) and forms for purpose, forms in small_talk().items())


@given(seeds, st.integers(1, 10), st.sampled_from(["train", "held"]))
def test_a_persona_holds_no_functional_attribute_twice(seed: int, size: int, split: str) -> None:
    facts = draw_persona(random.Random(seed), size, split)  # type: ignore[arg-type]
    names = [fact.attribute.name for fact in facts]
    assert len(facts) == size
    assert all(names.count(name) == 1 for name in names if name not in REPEATABLE)
    assert all(len(set(group) & set(names)) <= 1 for group in EXCLUSIVE)
    assert len({fact.text for fact in facts}) == size


@given(seeds)
def test_training_personas_hold_no_held_value(seed: int) -> None:
    rng = random.Random(seed)
    attribute = rng.choice(list(attributes().values()))
    fact = draw_fact(attribute, rng, "train")
    assert not set(fact.values.values()) & held_values()


@given(seeds)
def test_open_kinds_differ_between_splits(seed: int) -> None:
    assert draw("ACT", random.Random(seed), "train") != draw("ACT", random.Random(seed), "held")


@given(seeds, st.integers(6, 12))
@settings(max_examples=200, deadline=None)
def test_a_dialogue_says_nothing_that_its_speaker_is_not(seed: int, turns: int) -> None:
    rng = random.Random(seed)
    personas = (draw_persona(rng, 5), draw_persona(rng, 4))
    dialogue = draw_dialogue(rng, personas, turns)
    assert len(dialogue) == turns
    for index, turn in enumerate(dialogue):
        persona = personas[index % 2]
        assert all(fact in persona for fact in turn.facts)
        known = {fact.attribute.name: fact.values["v"].lower() for fact in persona if "v" in fact.values}
        for name, pattern, values in STATEMENTS:
            for found in pattern.finditer(turn.text.removesuffix(END)):
                if found[1].lower() in values:
                    assert known.get(name) == found[1].lower(), turn.text


@given(seeds)
def test_only_the_last_turn_ends_the_talk(seed: int) -> None:
    rng = random.Random(seed)
    *others, last = draw_dialogue(rng, (draw_persona(rng, 4), draw_persona(rng, 4)), 8)
    assert last.text.endswith(END)
    assert not any("[END]" in turn.text for turn in others)
    assert all(turn.text.strip() for turn in others)
