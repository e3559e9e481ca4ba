"""Plain: a row as flat columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from factory.methods.exports import ExportFormat, Record, Source
from factory.methods.scores.consistency import Consistency
from factory.store.records import Row

_STRING, _INT, _DOUBLE, _STRINGS = pa.string(), pa.int64(), pa.float64(), pa.list_(pa.string())
_SCORES = ("c_score", "profile_length", "apc", "entailed_share", "contradicted_share", "coverage")


class Plain(ExportFormat):
    """The row without its working: text, facts by origin, decision and scores.

    Read by people, by data frames, and by trainers of their own that make prompts of it themselves; the columns of
    speaker A and B stand beside each other, as in Synthetic-Persona-Chat (arXiv 2312.10007).

    >>> from factory.methods.example import dialogue, records
    >>> (flat,) = records(Plain, [dialogue()])
    >>> flat["persona_a"], flat["turns"][0], flat["turn_speakers"]
    (['I ski.'], 'Hi! Do you ski?', ['a', 'b', 'a'])
    """

    name = "plain"
    columns = ("reasons", Consistency.name)
    schema = pa.schema(
        [
            ("row_id", _STRING),
            ("kind", _STRING),
            ("sample", _INT),
            ("seeds", _STRINGS),
            ("decision", _STRING),
            ("reasons", _STRINGS),
            ("topic", _STRING),
            *(
                (f"{name}_{letter}", kind)
                for letter in "ab"
                for name, kind in (
                    ("speaker_id", _STRING),
                    ("name", _STRING),
                    ("role", _STRING),
                    ("persona", _STRINGS),
                    ("expanded", _STRINGS),
                    ("extracted", _STRINGS),
                    ("distractors", _STRINGS),
                )
            ),
            ("turns", _STRINGS),
            ("turn_speakers", _STRINGS),
            *((name, _DOUBLE) for name in _SCORES),
            ("scored_pairs", _INT),
        ]
    )

    def records(self, rows: Sequence[Row], source: Source) -> Iterator[Record]:
        """One record a row."""
        del source
        return map(_flat, rows)


def _flat(row: Row) -> Record:
    scores = row.scores.get(Consistency.name, {})
    flat: Record = {
        "row_id": row.row_id,
        "kind": row.kind,
        "sample": row.sample,
        "seeds": [seed.id for seed in row.seeds],
        "decision": row.decision,
        "reasons": row.reasons,
        "topic": row.topic,
        "turns": [turn.text for turn in row.turns],
        "turn_speakers": ["ab"[turn.speaker] for turn in row.turns],
        "scored_pairs": scores.get("pairs"),
    }
    flat |= {name: scores.get(name) for name in _SCORES}
    for letter, speaker in zip("ab", row.speakers, strict=False):
        flat |= {
            f"speaker_id_{letter}": speaker.id,
            f"name_{letter}": speaker.name,
            f"role_{letter}": speaker.role,
            f"persona_{letter}": speaker.facts_of("seed"),
            f"expanded_{letter}": speaker.facts_of("expand", "expand_personas", "profile"),
            f"extracted_{letter}": speaker.facts_of("extract"),
            f"distractors_{letter}": speaker.facts_of("augment"),
        }
    return flat
