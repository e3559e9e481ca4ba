"""A committed corpus of a few dialogues."""

from __future__ import annotations

from pathlib import Path

from factory.methods import struct_of
from factory.methods.scores.consistency import Consistency
from factory.store.corpus import Corpus
from factory.store.records import Detail, Row, rows_to_table
from tests.methods.parts import a_row

SCORES = {Consistency.name: struct_of(Consistency.columns)}
"""The columns of scores."""


def dialogue(number: int) -> Row:
    """A row of two seeds of its own, whose first speaker says its fact."""
    row = a_row(
        [f"I have {number} hens."],
        [f"I live in house {number}."],
        turns=["Hi!", "Hello.", f"I have {number} hens.", "Nice."],
        row_id=f"{number:032x}",
    )
    for seed, speaker, side in zip(row.seeds, row.speakers, "ab", strict=True):
        seed.id = speaker.id = speaker.seed_id = f"{side}{number}"
    row.decision = "accept"
    row.details = [
        Detail("consistency", "turn_persona", [1.0, 0.98, 0.01, 0.01], 0, 2, origin="seed", fact=0),
        Detail("consistency", "turn_persona", [0.3, 0.2, 0.5, 0.3], 0, 0, origin="seed", fact=0),
    ]
    return row


def write_corpus(root: Path, rows: list[Row], per_shard: int = 5) -> Corpus:
    """Commit rows, a few to a shard, with the columns of consistency."""
    corpus = Corpus(str(root))
    corpus.table.shards()
    corpus.table.grow(SCORES, "test")
    parts = [rows[first : first + per_shard] for first in range(0, len(rows), per_shard)]
    shards = [corpus.table.write(rows_to_table(part, SCORES)) for part in parts]
    corpus.table.commit(shards, [], "test")
    return corpus
