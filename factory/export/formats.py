"""The exports that see one row at a time: chats, plain rows, extraction pairs and NLI pairs."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from factory.export.source import Source
from factory.export.writing import Example
from factory.methods.makers.extract import fact_of
from factory.methods.scores.verify import verdict
from factory.store.records import Row

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
NOT_ALTERNATING = "rows whose speakers do not alternate"
_STRING, _INT, _DOUBLE, _STRINGS = pa.string(), pa.int64(), pa.float64(), pa.list_(pa.string())
_SCORES = ("c_score", "profile_length", "apc", "entailed_share", "contradicted_share", "coverage")

CHAT = pa.schema(
    [
        ("messages", MESSAGES),
        ("row_id", _STRING),
        ("speaker", _INT),
        ("speaker_id", _STRING),
        ("addressee_id", _STRING),
    ]
)
EXTRACTION = pa.schema(
    [
        ("utterance", _STRING),
        ("facts", _STRINGS),
        ("target", _STRING),
        ("row_id", _STRING),
        ("turn", _INT),
        ("speaker", _INT),
    ]
)
NLI = pa.schema(
    [
        ("premise", _STRING),
        ("hypothesis", _STRING),
        ("label", _STRING),
        ("probability", _DOUBLE),
        ("check", _STRING),
        ("row_id", _STRING),
        ("turn", _INT),
        ("speaker", _INT),
    ]
)
PLAIN = pa.schema(
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


def chat(source: Source, row: Row) -> Iterator[Example]:
    """The dialogue from either side: its persona in the system prompt, its turns as the assistant's."""
    sides = source.sides(row)
    if not sides:
        source.leave_out(NOT_ALTERNATING)
    for number, messages in enumerate(sides, len(row.turns) - len(sides)):
        yield {
            "messages": list(messages),
            "row_id": row.row_id,
            "speaker": number % 2,
            "speaker_id": row.speakers[number % 2].id,
            "addressee_id": row.speakers[(number + 1) % 2].id,
        }


def plain(_: Source, row: Row) -> Iterator[Example]:
    """The row without its working: text, facts by origin, decision and scores."""
    flat: Example = {
        "row_id": row.row_id,
        "kind": row.kind,
        "sample": row.sample,
        "seeds": [seed.id for seed in row.seeds],
        "decision": row.decision,
        "reasons": row.reasons,
        "topic": row.topic,
        "turns": [turn.text for turn in row.turns],
        "turn_speakers": ["ab"[turn.speaker] for turn in row.turns],
        "scored_pairs": row.consistency and row.consistency.pairs,
    }
    flat |= {name: row.consistency and getattr(row.consistency, name) for name in _SCORES}
    for letter, speaker in zip("ab", row.speakers, strict=False):
        flat |= {
            f"speaker_id_{letter}": speaker.id,
            f"name_{letter}": speaker.name,
            f"role_{letter}": speaker.role,
            f"persona_{letter}": speaker.facts_of("seed"),
            f"expanded_{letter}": speaker.facts_of("expand"),
            f"extracted_{letter}": speaker.facts_of("extract"),
            f"distractors_{letter}": speaker.facts_of("augment"),
        }
    yield flat


def extraction(source: Source, row: Row) -> Iterator[Example]:
    """Each turn with the facts that passed the gates, or none where the model wrote no line; a turn of which every line
    was stopped is neither."""
    if all(record.stage != "extract" for record in row.stages):
        source.leave_out("rows that extraction has not read")
        return
    for number, turn in enumerate(row.turns):
        lines = [line for line in row.extracted if line.turn == number]
        facts = [fact_of(line) for line in lines if line.gate == "accepted"]
        if lines and not facts:
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


def nli(_: Source, row: Row) -> Iterator[Example]:
    """Each scored pair with its likeliest label, and how likely that is."""
    for score in row.scores:
        label = verdict(score)
        yield {
            "premise": score.premise,
            "hypothesis": score.hypothesis,
            "label": label,
            "probability": getattr(score, label),
            "check": score.check,
            "row_id": row.row_id,
            "turn": score.turn,
            "speaker": score.speaker,
        }
