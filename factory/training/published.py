"""Synthetic-Persona-Chat as published: dialogues of two people, with the persona of each (arXiv 2312.10007, CC BY 4.0).

A third of the dialogues of its validation split has placeholders where a name should be; those are left out.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

HELD = 100
"""Dialogues at the start of the file that no model of ours is trained on."""

_TURN = re.compile(r"^User ([12]): (.*)$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"[\[\](){}<>]|user ?[12]|'s name\b(?! is)|as an ai|language model", re.IGNORECASE)
_FACT = re.compile(r"(?:I|I'm|My|I've) .+\.")
_LEAST = 6


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns in alternation, and the persona of either speaker; `number` is its place in the file, from 0."""

    number: int
    personas: tuple[tuple[str, ...], tuple[str, ...]]
    turns: tuple[str, ...]


def dialogues(path: Path) -> list[Dialogue]:
    """The dialogues of the CSV that are whole: six turns or more in alternation, no placeholder, a persona each."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for number, row in enumerate(rows):
        turns = _TURN.findall(row["Best Generated Conversation"])
        alternate = all(int(who) == 1 + place % 2 for place, (who, _) in enumerate(turns))
        complete = not any(_PLACEHOLDER.search(text) for _, text in turns)
        personas = _facts(row["user 1 personas"]), _facts(row["user 2 personas"])
        if alternate and complete and len(turns) >= _LEAST and all(personas):
            found.append(Dialogue(number, personas, tuple(text.strip() for _, text in turns)))
    return found


def _facts(persona: str) -> tuple[str, ...]:
    facts = (re.sub(r"\bi\b", "I", line.strip()) for line in persona.splitlines())
    return tuple(dict.fromkeys(fact for fact in facts if _FACT.fullmatch(fact) and not _PLACEHOLDER.search(fact)))
