from __future__ import annotations

from typing import Any

import pytest

from factory.methods.example import made
from factory.methods.makers.expand_personas import ExpandPersonas, ExpandPersonasParams
from factory.store.records import Fact, Row, RowError
from tests.methods.cases import SAMPLING, telling
from tests.methods.parts import a_row

BASE = {
    "of": "persona", "relations": ("a friend", "a rival", "a child"), "count": 3, "least": 1, "max_similarity": 0.75,
    "contradiction": 0.5, "begins": ("I ", "My "), "attempts": 8, "sampling": SAMPLING,
    "prompt": telling("of", "facts", "relation", "count"),
}  # fmt: skip
MOVES = [
    {}, {"of": "text"}, {"relations": ("a friend",)}, {"count": 1}, {"least": 3}, {"max_similarity": 0.25},
    {"contradiction": 0.25}, {"begins": ("I ",)}, {"attempts": 1}, {"sampling": SAMPLING | {"top_k": 0}},
]  # fmt: skip


def child_of(*facts: str, sample: int = 0) -> Row:
    """The row of a speaker that is to be made, with the facts of its parent."""
    row = a_row()
    row.speakers, row.donors, row.sample = row.speakers[:1], [[Fact(text, "seed", "s0") for text in facts]], sample
    return row


def prompt_of(row: Row, **params: Any) -> str:
    ((_, messages),) = ExpandPersonas(ExpandPersonasParams(**params)).prompts(row)
    return messages[-1]["content"]


def test_a_persona_has_its_own_facts_and_tells_what_it_is_to_its_parent() -> None:
    answer = '{"facts": ["I coach a choir.", "He sings.", "I have a cello.", "I have a cello!"]}'
    row = made(ExpandPersonas, child_of("I sail.", "I row."), answer, relations=["a rival"])
    (speaker,) = row.speakers
    assert [(fact.text, fact.dimension, fact.source_id) for fact in speaker.facts] == [
        ("I coach a choir.", "a rival", "s0"), ("I have a cello.", "a rival", "s0"),
    ]  # fmt: skip
    assert "Who is a rival of this person?" in prompt_of(row, relations=["a rival"])
    assert [fact.text for fact in row.donors[0]] == ["I sail.", "I row."]


def test_the_samples_of_a_seed_take_all_relations_in_turn() -> None:
    relations = ["a rival", "a friend", "a child"]
    prompts = [prompt_of(child_of("I sail.", sample=sample), relations=relations) for sample in range(6)]
    assert len(set(prompts)) == 3
    assert prompts[:3] == prompts[3:]


def test_a_text_is_shown_as_a_whole() -> None:
    shown = prompt_of(child_of("Boats are old.", "They leak."), of="text", relations=["dislike"])
    assert "Text: Boats are old. They leak." in shown
    assert "Who would dislike this text?" in shown


def test_a_copy_of_its_parent_is_asked_for_again_and_then_fails_the_row() -> None:
    copy, other = '{"facts": ["I sail far.", "I row home."]}', '{"facts": ["I bake bread.", "My son is tall."]}'
    row = made(ExpandPersonas, child_of("I sail far.", "I row home."), copy, other, attempts=2)
    assert row.speakers[0].facts_of("expand_personas") == ["I bake bread.", "My son is tall."]
    for answer, reason in ((copy, "persona_copy"), ('{"facts": ["I bake bread."]}', "persona_facts")):
        with pytest.raises(RowError) as failed:
            made(ExpandPersonas, child_of("I sail far.", "I row home."), answer, attempts=1)
        assert failed.value.reason == reason
