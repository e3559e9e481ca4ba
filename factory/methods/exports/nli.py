"""NLI: the pairs of sentences that were scored, with their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from factory.methods.exports import ExportFormat, Record, Source
from factory.methods.scores.consistency import Consistency, scored_pairs, verdict
from factory.models import called
from factory.store.records import Row


class Nli(ExportFormat):
    """Each scored pair with its likeliest label, and how likely that is.

    Read by `factory train-nli`, and by trainers of sequence classifiers: a smaller model learns to judge as the one
    that scored the corpus. Source: pairs of personas and turns are Dialogue NLI's (arXiv 1811.00671); the labels here
    are a model's, which `labelled_by` names with its revision, so filter by `probability`.

    >>> from factory.methods.example import dialogue, records
    >>> [(one["premise"], one["hypothesis"], one["label"]) for one in records(Nli, [dialogue()])]
    [('I ski.', 'Nice, I ski a lot.', 'entailment')]
    """

    name = "nli"
    columns = ("details",)
    schema = pa.schema(
        [
            ("premise", pa.string()),
            ("hypothesis", pa.string()),
            ("label", pa.string()),
            ("probability", pa.float64()),
            ("labelled_by", pa.string()),
            ("check", pa.string()),
            ("row_id", pa.string()),
            ("turn", pa.int64()),
            ("speaker", pa.int64()),
        ]
    )

    def records(self, rows: Sequence[Row], source: Source) -> Iterator[Record]:
        """One record a pair."""
        for row in rows:
            nli = source.models(row, Consistency.name).get("nli")
            labelled_by = called(nli["name"], nli["revision"]) if nli else None
            for one in scored_pairs(row):
                label = verdict(one.found)
                yield {
                    "premise": one.pair.premise,
                    "hypothesis": one.pair.hypothesis,
                    "label": label,
                    "probability": getattr(one.found, label),
                    "labelled_by": labelled_by,
                    "check": one.pair.check,
                    "row_id": row.row_id,
                    "turn": one.pair.turn,
                    "speaker": one.pair.speaker,
                }
