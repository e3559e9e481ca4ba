"""Extraction: a turn and the facts that were read off it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from factory.methods.exports import ExportFormat, Record, Source
from factory.methods.makers.extract import fact_of
from factory.store.records import UNASKED, Row


class Extraction(ExportFormat):
    """Each turn with the facts that were read off it, or none.

    Facts are those that passed the gates, and none is where the model wrote no line, or was not asked, since the gate
    `telling` found that the turn tells nothing; a turn of which every line was stopped is neither, and is left out.
    Read by `factory train-extractor`, and by any sequence-to-sequence trainer, from `utterance` to `target`: a smaller
    model learns to extract. Source: PPDS (arXiv 2412.09034) casts extraction so, utterance in, facts or
    `[None]` out, and trains a T5 for it.

    >>> from factory.methods.example import dialogue, records
    >>> [(one["utterance"], one["target"]) for one in records(Extraction, [dialogue()])]
    [('Hi! Do you ski?', '[None]'), ('I sew.', 'I sew.'), ('Nice, I ski a lot.', '[None]')]
    """

    name = "extraction"
    columns = ("extracted",)
    schema = pa.schema(
        [
            ("utterance", pa.string()),
            ("facts", pa.list_(pa.string())),
            ("target", pa.string()),
            ("row_id", pa.string()),
            ("turn", pa.int64()),
            ("speaker", pa.int64()),
        ]
    )

    def records(self, rows: Sequence[Row], source: Source) -> Iterator[Record]:
        """One record a turn."""
        for row in rows:
            if all(record.stage != "extract" for record in row.stages):
                source.leave_out("rows that extraction has not read")
                continue
            for number, turn in enumerate(row.turns):
                lines = [line for line in row.extracted if line.turn == number]
                facts = [fact_of(line) for line in lines if line.gate == "accepted"]
                if not facts and any(line.gate != UNASKED for line in lines):
                    source.leave_out("turns whose lines the gates stopped")
                    continue
                yield {
                    "utterance": turn.text,
                    "facts": facts,
                    "target": "\n".join(facts) or "[None]",
                    "row_id": row.row_id,
                    "turn": number,
                    "speaker": turn.speaker,
                }
