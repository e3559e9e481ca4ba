"""Neutral NLI pairs of real talk: a fact and a turn of Synthetic-Persona-Chat that share no content word.

Generic NLI finds contradiction in unrelated sentences; these teach it that most of what people say has nothing to do
with a given fact. Limitations: a pair without a common word may still be a contradiction; the label is by rule.
"""

from __future__ import annotations

import csv
import random
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from factory.base.words import content
from factory.training.labelled import LabelledPair

_TURN = re.compile(r"^User ([12]): (.*)$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"[\[({]\s*(?:user|name|your|country|city)|user [12]", re.IGNORECASE)


class TalkPairs(BaseModel):
    """Which dialogues, and how many pairs of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Field(description="CSV of Synthetic-Persona-Chat, as published.")
    skip: int = Field(100, ge=0, description="Dialogues at the start that are held out.")
    pairs: int = Field(ge=1, description="Pairs to draw.")


def talk_pairs(source: TalkPairs, rng: random.Random) -> list[LabelledPair]:
    """Drawn pairs of the dialogues that are not held out."""
    pairs = [pair for dialogue in dialogues_of(source.path)[source.skip :] for pair in dialogue]
    return rng.sample(pairs, min(source.pairs, len(pairs)))


def dialogues_of(path: Path) -> list[list[LabelledPair]]:
    """All neutral pairs, by dialogue: a fact and its speaker's turn or partner's question."""
    dialogues = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            turns = [
                (int(who), text)
                for who, text in _TURN.findall(row["Best Generated Conversation"])
                if not _PLACEHOLDER.search(text)
            ]
            found = []
            for who in (1, 2):
                for fact in row[f"user {who} personas"].splitlines():
                    words = _stems(fact)
                    for speaker, text in turns:
                        if not words & _stems(text) and (speaker == who or text.endswith("?")):
                            found.append(LabelledPair(fact, text, "neutral", "talk"))
            dialogues.append(found)
    return dialogues


def _stems(text: str) -> set[str]:
    return {word[:5] for word in content(text)}
