"""The rows of an export: read from a corpus, split by split, and shown to a format in the groups it asks for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from factory.export.slots import slots
from factory.export.splits import Splits
from factory.methods.exports import ExportFormat, Record, Source
from factory.store.corpus import Corpus
from factory.store.records import Decision, Row

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
class Reader:
    """A corpus at one version, read for a format. `source` is what the format asks, and counts what is left out;
    `report` is told how many rows are read. `scores` are the names of scores in the corpus, by their methods, which are
    what the format knows."""

    corpus: Corpus
    version: int
    made: ExportFormat
    source: Source
    splits: Splits
    decisions: Sequence[Decision]
    report: Callable[[str, int], None]
    scores: Mapping[str, str]

    def records(self) -> Iterator[tuple[str, Record]]:
        """The records of the format, each with its split. Memory holds a shard, and two blocks of rows of each
        split or one slot."""
        groups = slots(self._fit(), self.source.leave_out) if self.made.by_slot else self._blocks()
        for split, group in groups:
            for record in self.made.records(group, self.source):
                yield split, record

    def _blocks(self) -> Iterator[tuple[str, list[Row]]]:
        """The rows that the format is shown at once, while `source` has those that it was shown before."""
        blocks: dict[str, list[Row]] = defaultdict(list)
        before: dict[str, list[Row]] = defaultdict(list)
        for split, row in self._fit():
            blocks[split].append(row)
            if len(blocks[split]) == self.made.block:
                self.source.earlier, before[split] = before[split], blocks.pop(split)
                yield split, before[split]
        for split, block in blocks.items():
            self.source.earlier = before[split]
            yield split, block

    def _fit(self) -> Iterator[tuple[str, Row]]:
        for split, row in self.rows():
            if why := self.made.unfit(row):
                self.source.leave_out(why)
            else:
                yield split, row

    def rows(self) -> Iterator[tuple[str, Row]]:
        """The rows so decided, each with its split. Memory holds one shard."""
        columns = (*_COLUMNS, *(self.scores.get(column, column) for column in self.made.columns))
        for number, row in enumerate(self.corpus.rows(version=self.version, columns=columns), 1):
            self.report("rows read", number)
            row.scores = {method: row.scores[name] for method, name in self.scores.items() if name in row.scores}
            if (row.decision or "accept") not in self.decisions:  # without `select` nothing was refused
                self.source.leave_out(f"rows decided {row.decision}")
                continue
            split = self.splits.of_row(row)
            if split is None:
                self.source.leave_out("rows whose speakers are on different sides of the split")
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
                self.source.left_out["distractors from another side of the split"] += len(speaker.facts) - len(facts)
                speaker.facts = facts
