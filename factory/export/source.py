"""The rows of an export, split by split, and what their prompts are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from factory.engines import Message
from factory.export.splits import Splits
from factory.methods.makers.converse import side_of, sides_of
from factory.store.corpus import Corpus
from factory.store.recipes import Templates
from factory.store.records import Decision, Origin, Row

_COLUMNS = (
    "row_id",
    "kind",
    "sample",
    "seeds",
    "speakers",
    "topic",
    "opening",
    "turns.list.element.speaker",
    "turns.list.element.text",
    "decision",
    "stages.list.element.stage",
    "stages.list.element.recipe",
    "stages.list.element.fingerprint",
)
"""What every format reads. Candidates and scored pairs, most of a row, are for those that ask for them."""


@dataclass
class Source:
    """A corpus at one version. `columns` are read besides what every format needs. `facts` are the origins of facts
    that prompts hold; `left_out` counts, by reason, what is not exported; `report` is told how many rows are read."""

    corpus: Corpus
    version: int
    columns: Sequence[str]
    splits: Splits
    decisions: Sequence[Decision]
    facts: Sequence[Origin] | None
    report: Callable[[str, int], None]
    left_out: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._templates = Templates(self.corpus)

    def rows(self) -> Iterator[tuple[str, Row]]:
        """The rows so decided, each with its split. Memory holds one shard."""
        for number, row in enumerate(self.corpus.rows(version=self.version, columns=(*_COLUMNS, *self.columns)), 1):
            self.report("rows read", number)
            if (row.decision or "accept") not in self.decisions:  # without `select` nothing was refused
                self.leave_out(f"rows decided {row.decision}")
                continue
            split = self.splits.of_row(row)
            if split is None:
                self.leave_out("rows whose speakers are on different sides of the split")
                continue
            self._keep_to(split, row)
            yield split, row

    def _keep_to(self, split: str, row: Row) -> None:
        """Take the distractors off a row that other sides' speakers gave."""
        for speaker in row.speakers:
            facts = [
                fact for fact in speaker.facts if fact.origin != "augment" or self.splits.side(fact.source_id) == split
            ]
            if len(facts) < len(speaker.facts):
                self.left_out["distractors from another side of the split"] += len(speaker.facts) - len(facts)
                speaker.facts = facts

    def facts_of(self, row: Row, speaker: int, before: int | None = None) -> list[str]:
        """What a speaker's prompt holds: the facts of the origins asked for; unless any are, those it was given and
        those that `expand` added, and for a speaker that was given none those that were read off its turns, with
        their distractors (PPDS, arXiv 2412.09034, pre-trains on these). `before` leaves out what was read off that
        turn or a later one."""
        held = row.speakers[speaker]
        given: Sequence[Origin] = ("seed", "expand") if held.facts_of("seed") else ("extract", "augment")
        origins = given if self.facts is None else self.facts
        facts = (fact for fact in held.facts if fact.origin in origins)
        return list(
            dict.fromkeys(fact.text for fact in facts if before is None or fact.turn is None or fact.turn < before)
        )

    def prompt(self, row: Row, number: int, facts: Sequence[str]) -> tuple[Message, ...]:
        """The prompt of a turn, as generation sends it."""
        return side_of(self._templates.of(row), row, number, facts)

    def sides(self, row: Row) -> list[tuple[Message, ...]]:
        """The dialogue from either side; none where the speakers do not alternate."""
        facts = [self.facts_of(row, speaker) for speaker in range(len(row.speakers))]
        return sides_of(self._templates.of(row), row, facts, ended=self._templates.ended(row))

    def leave_out(self, why: str) -> None:
        """Count something that is not exported."""
        self.left_out[why] += 1
