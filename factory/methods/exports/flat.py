"""Flat: a line for each dialogue, every cell a text or a number.

Limitations: of scores the numbers alone, and texts; what stands behind them is not exported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from factory.methods.exports import ExportError, ExportFormat, Record, Source
from factory.store.records import Row, ScoreColumns

_STRING, _INT = pa.string(), pa.int64()
_ALWAYS = (
    *((name, _STRING) for name in ("row_id", "text", "persona_a", "persona_b", "decision", "reasons")),
    *((name, _STRING) for name in ("kind", "topic", "seeds")),
    *((name, _INT) for name in ("sample", "turns", "words")),
)


class Flat(ExportFormat):
    """A line for each dialogue: its text, the personas as text, the decision, and each value of each score.

    Read by table viewers and by Embedding Atlas (arXiv 2505.06386), which shows the dialogues as a map:
    `embedding-atlas FILE.parquet --text text`. The columns of scores are those that the corpus has, such as
    `consistency_apc` for `consistency.apc`. Several reasons or seeds stand in one cell, separated by commas.

    >>> from factory.methods.example import dialogue, records
    >>> (line,) = records(Flat, [dialogue()])
    >>> line["text"].splitlines(), line["persona_b"]
    (['A: Hi! Do you ski?', 'B: I sew.', 'A: Nice, I ski a lot.'], 'I work at night.')
    """

    name = "flat"

    def __init__(self, params: Any) -> None:
        super().__init__(params)
        self._scores: dict[str, tuple[str, str, pa.DataType]] = {}

    def fit(self, scores: ScoreColumns) -> None:
        """Give each value of these scores a column. Raises ExportError if two of them would have the same name."""
        taken = {name: name for name, _ in _ALWAYS}
        for score, kind in scores.items():
            for field in kind:
                name, meant = f"{score}_{field.name}", f"{score}.{field.name}"
                if name in taken:
                    raise ExportError(
                        f"flat: {meant} and {taken[name]} would both be the column {name}; rename the score {score}"
                    )
                taken[name] = meant
                self._scores[name] = score, field.name, field.type

    @property
    def columns(self) -> tuple[str, ...]:
        """The reasons, and the scores that the corpus has."""
        return ("reasons", *dict.fromkeys(score for score, *_ in self._scores.values()))

    @property
    def schema(self) -> pa.Schema:
        """The columns of any dialogue, then those of the scores."""
        return pa.schema([*_ALWAYS, *((name, kind) for name, (*_, kind) in self._scores.items())])

    def records(self, rows: Sequence[Row], source: Source) -> Iterator[Record]:
        """One record a row."""
        for row in rows:
            yield {
                "row_id": row.row_id,
                "text": "\n".join(f"{'AB'[turn.speaker]}: {turn.text}" for turn in row.turns),
                **{
                    f"persona_{letter}": "\n".join(source.facts_of(row, place)) if place < len(row.speakers) else None
                    for place, letter in enumerate("ab")
                },
                "decision": row.decision,
                "reasons": ", ".join(row.reasons),
                "kind": row.kind,
                "topic": row.topic,
                "seeds": ", ".join(seed.id for seed in row.seeds),
                "sample": row.sample,
                "turns": len(row.turns),
                "words": sum(len(turn.text.split()) for turn in row.turns),
            } | {name: row.scores.get(score, {}).get(field) for name, (score, field, _) in self._scores.items()}
