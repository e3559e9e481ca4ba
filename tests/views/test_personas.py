"""What is shown and exported of rows that are personas alone."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from factory.methods.exports import Source
from factory.store.records import Fact, Row, SeedRef, Speaker
from factory.views import display


def persona() -> Row:
    speaker = Speaker("r1", "s", attributes={"age": "41"})
    speaker.facts = [Fact("I bake.", "expand_personas", "s"), Fact("I am 41.", "profile", "s")]
    row = Row("r1", "generated", 0, [SeedRef("s", ["d"] * 3, "a.jsonl", 1)], [speaker])
    row.donors = [[Fact("I sail.", "seed", "s"), Fact("I row.", "seed", "s")]]
    return row


def test_a_persona_is_shown_with_its_attributes_and_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(display, "out", Console(file=written, soft_wrap=True))
    display.show_row(persona())
    lines = [line.strip() for line in written.getvalue().splitlines() if line.strip()]
    assert lines[1:] == [
        "A (seed s)", "age: 41", "from: I sail. I row.", "- I bake. (expand_personas)", "- I am 41. (profile)",
    ]  # fmt: skip


def test_a_persona_is_exported_with_all_its_facts() -> None:
    assert Source().facts_of(persona(), 0) == ["I bake.", "I am 41."]
    assert Source(facts=["profile"]).facts_of(persona(), 0) == ["I am 41."]
