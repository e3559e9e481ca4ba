"""When too many rows of a run fail: how many those are, and what they mostly failed of.

A run whose rows fail alike is stopped early, since the next million would fail alike too. Limitations: of each reason
one row stands for all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from factory.store.dead_letters import DeadLetter

Stop = Literal["failures", "server", "budget"]
"""Why a run ended before its end, or made too little."""

FIRST = 100
"""Rows after which a run is judged by those that have ended so far (all, if it has fewer)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A reason for which rows failed: in which maker, how many, and of one of them what was said of it, and what the
    model wrote last, if it wrote anything."""

    stage: str
    reason: str
    rows: int
    detail: str
    text: str | None


class Failures:
    """The dead letters of rows, counted by reason."""

    def __init__(self) -> None:
        self._rows: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], DeadLetter] = {}

    def add(self, letters: Iterable[DeadLetter]) -> None:
        """Count letters; those of seeds are left out."""
        for letter in letters:
            if letter.row_id is not None:
                reason = letter.stage, letter.reason
                self._rows[reason] += 1
                if reason not in self._examples or (letter.text and not self._examples[reason].text):
                    self._examples[reason] = letter

    def commonest(self, count: int) -> list[Failure]:
        """The commonest reasons, first the commonest."""
        return [
            Failure(*reason, rows, self._examples[reason].detail, self._examples[reason].text)
            for reason, rows in self._rows.most_common(count)
        ]
