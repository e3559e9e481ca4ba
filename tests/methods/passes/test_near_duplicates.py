"""What is compared of a row, and what sets recipes apart."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from factory.methods.passes.near_duplicates import NearDuplicatesParams, dialogue_texts, persona_texts
from factory.store.records import Fact, Row, Speaker, Turn, rows_to_table


def test_a_dialogue_is_all_its_turns_and_a_persona_all_facts_of_its_own() -> None:
    speakers = [
        Speaker("a", "a", facts=[Fact("I sail.", "seed", "a"), Fact("I swim.", "expand", "a")]),
        Speaker(
            "b", "b", facts=[Fact("I ski.", "augment", "c"), Fact("I dive.", "seed", "b"), Fact("I cook.", "seed", "b")]
        ),
    ]
    rows = rows_to_table(
        [
            Row("1", "generated", 0, [], speakers, turns=[Turn(0, "Hi."), Turn(1, "Hello!")]),
            Row("2", "generated", 0, [], []),
        ],
        {},
    )
    assert dialogue_texts(rows) == ["Hi. Hello!", ""]
    assert persona_texts(rows) == ["I sail. I swim. I dive. I cook.", ""]


def test_another_threshold_is_another_recipe() -> None:
    assert NearDuplicatesParams().recipe() == NearDuplicatesParams(similarity=0.9).recipe()
    assert NearDuplicatesParams().recipe() != NearDuplicatesParams(similarity=0.95).recipe()
    with pytest.raises(ValidationError, match="greater than or equal to 0.8"):
        NearDuplicatesParams(similarity=0.5)
