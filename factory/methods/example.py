"""A small dialogue to try a method on, and what an export makes of it: for docstrings, and for tests of methods.

>>> from factory.methods.exports.plain import Plain
>>> records(Plain, [dialogue()])[0]["turns"]
['Hi! Do you ski?', 'I sew.', 'Nice, I ski a lot.']
"""

from __future__ import annotations

from collections.abc import Sequence

from factory.methods.exports import ExportFormat, Record, Source
from factory.store.records import (
    Candidate,
    Detail,
    Extraction,
    Fact,
    Row,
    SeedRef,
    Speaker,
    StageRecord,
    Turn,
)


def dialogue(number: int | None = None) -> Row:
    """An accepted row of two speakers with all that stages add to one; of a number, one that shares no seed and no text
    with those of others."""
    own = "" if number is None else f" {number} hats"
    names = [f"{side}{own}" for side in ("a", "b")]
    turns = [f"Hi! Do you ski{own}?", f"I sew{own}.", f"Nice, I ski a lot{own}."]
    row = Row(f"row{own}", "generated", 0, [SeedRef(name, ["d"] * 3, "personas.jsonl", 1) for name in names], [])
    for name, fact in zip(names, (f"I ski{own}.", "I work at night."), strict=True):
        row.speakers.append(Speaker(name, name, facts=[Fact(fact, "seed", name)]))
    row.speakers[1].facts.append(Fact(turns[1], "extract", names[1], 1))
    row.turns = [Turn(place % 2, text, "stop", 90, 9, attempts=1) for place, text in enumerate(turns)]
    row.turns[2].candidates = [
        Candidate(turns[2], chosen=True, coherence=0.8, entailment=0.9, contradiction=0.0),
        Candidate(f"I never ski{own}.", chosen=False, coherence=0.7, entailment=0.1, contradiction=0.9),
    ]
    row.extracted = [Extraction(1, 1, turns[1], "accepted", similarity=1.0)]
    row.details = [Detail("consistency", "turn_persona", [0.8, 0.9, 0.1, 0.0], 0, 2, origin="seed", fact=0)]
    row.scores["consistency"] = {
        "contradiction": 0.0,
        "c_score": 0.3,
        "profile_length": 1.0,
        "apc": 0.9,
        "entailed_share": 1.0,
        "contradicted_share": 0.0,
        "coverage": 0.5,
        "pairs": 1,
    }
    row.decision = "accept"
    row.stages = [StageRecord("extract", "recipe", "fingerprint")]
    return row


def records(export: type[ExportFormat], rows: Sequence[Row], **options: object) -> list[Record]:
    """What an export with these options makes of rows, shown to it at once, as Arrow gives it back. Raises
    ExportError for a record that does not fit the schema of the export."""
    made = export(export.Params.model_validate(options))
    found: list[Record] = made.table(list(made.records(rows, Source()))).to_pylist()
    return found
