from __future__ import annotations

import csv
from pathlib import Path

import pytest

from factory.training.persona_chats import statements, triple
from factory.training.published import dialogues


@pytest.mark.parametrize(
    ("turn", "found"),
    [
        ("Oh, nice! I'm a nurse, and I have two dogs. You?", ["I am a nurse.", "I have two dogs."]),
        ("I love it too. My car is red!", ["My car is red."]),
        ("I'm glad to hear that. I think so.", []),
        ("Do I like tea?", []),
    ],
)
def test_a_turn_states_what_can_be_understood_alone(turn: str, found: list[str]) -> None:
    assert statements(turn) == found


def test_known_forms_are_triples() -> None:
    assert triple("I live in Oslo.") == "I | live_in | Oslo"
    assert triple("I have two dogs.") == "I | have_pet | two dogs"
    assert triple("My car is red.") is None


def test_dialogues_with_gaps_are_left_out_and_keep_their_place(tmp_path: Path) -> None:
    talk = "\n".join(f"User {1 + n % 2}: I have {n} hens." for n in range(6))
    header = ("user 1 personas", "user 2 personas", "Best Generated Conversation")
    rows = [("I ski.", "I sew.", talk.replace("0 hens", "[number] hens")), ("i ski.\nHe sews.", "I sew.", talk)]
    with (tmp_path / "spc.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    (found,) = dialogues(tmp_path / "spc.csv")
    assert (found.number, found.personas, len(found.turns)) == (1, (("I ski.",), ("I sew.",)), 6)
