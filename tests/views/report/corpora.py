"""Corpora for the report, built row by row, so that every figure can be counted again by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from factory.methods import struct_of
from factory.methods.scores.consistency import Consistency
from factory.spec.select import Conditions, scored_frame
from factory.store.corpus import Corpus
from factory.store.dead_letters import DeadLetter, dead_letters_to_table
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
    row_id,
    rows_to_table,
    score_columns,
)

HOSTILE = "</script><img src=x onerror=\"document.title='run'\">"
ODD = "I own <b>a</b> boat & $x^2$ {{ 7 * 7 }} \u2028 <!-- \\u003c"
POLICY = Conditions(
    reject={"contradicts_persona": "consistency.contradiction >= 0.9"},
    flag={
        "may_contradict_persona": "consistency.contradiction >= 0.6",
        "may_contradict_itself": "consistency.self_contradiction >= 0.8",
    },
)
COLUMNS = {Consistency.name: struct_of(Consistency.columns)}
WORKS = {
    "cook": ("I bake fresh bread.", "I cook spicy food.", "I fry fish for dinner."),
    "sailor": ("I sail a big boat.", "I live on a boat at sea.", "I steer ships through storms."),
}
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


def dialogue(number: int) -> Row:
    """Cooks talk with cooks (even numbers) and sailors with sailors; of four sailors' dialogues three hold a clear
    contradiction, and one of eight cooks' a likely one. A persona is in two dialogues."""
    work = ("cook", "sailor")[number % 2]
    names = [f"{work}{number}", f"{work}{number + 2}"]
    facts = [[f"I am the {work} called {name}.", *WORKS[work]] for name in names]
    if number == 8:  # flagged, as few are, so that the page carries it
        facts[0][0], facts[0][1] = HOSTILE, ODD
    row = Row(
        row_id=row_id(tuple(names), 0),
        kind="generated",
        sample=0,
        seeds=[SeedRef(name, ["f", "t", "a"], "personas.jsonl", 1) for name in names],
        speakers=[
            Speaker(name, name, facts=[Fact(text, "seed", name) for text in own])
            for name, own in zip(names, facts, strict=True)
        ],
    )
    row.speakers[0].facts.append(Fact("I like tea.", "expand", names[0]))
    said = ["Hi, how are you today?", "Hello there.", facts[0][1], f"Nice, tell me about number {number}."]
    said += ["Well, how are you today?"] * (number % 3)
    row.turns = [Turn(turn % 2, text, "stop", 100, 10, 60, 1) for turn, text in enumerate(said)]
    row.turns[2].candidates = [Candidate(facts[0][1], True), Candidate("No.", False)]
    row.extracted = [
        Extraction(0, 2, facts[0][1], "accepted"),
        Extraction(1, 3, "number?", "format" if number % 5 else "similarity"),
    ]
    wrong = 0.97 if work == "sailor" and number % 8 != 7 else 0.7 if number % 16 == 8 else 0.55 if number == 6 else 0.02
    row.details = [
        Detail("consistency", "turn_persona", [1.0, 0.95, 0.03, 0.02], 0, 2, origin="seed", fact=1),
        Detail("consistency", "turn_persona", [0.2, 0.01, 0.99 - wrong, wrong], 1, 3, origin="seed", fact=2),
        Detail("consistency", "turn_turn", [0.3, 0.1, 0.8, 0.1], 1, 3, other=1),
        Detail("fluency", "share", [0.5], 0),
    ]
    row.scores["consistency"] = {
        "contradiction": wrong,
        "self_contradiction": 0.1,
        "extracted_contradiction": 0.0,
        "extracted_entailment": 1.0,
        "c_score": 0.25,
        "profile_length": 4.0,
        "apc": 3.5 + number / 100,
        "entailed_share": 1 / 3,
        "contradicted_share": 0.0,
        "coverage": number % 11 / 10,
        "pairs": 3,
    }
    row.stages = [
        StageRecord("converse", "c", "", ["talker"], None, 4, 400, 40, 240, BEGAN + timedelta(seconds=number), 2.0),
        StageRecord("consistency", "n", "", started_at=BEGAN),
        StageRecord("select", "s", "", [], None, started_at=BEGAN, seconds=0.0),
    ]
    told = POLICY.decide(scored_frame(pl.LazyFrame(rows_to_table([row], COLUMNS)), POLICY).collect())
    row.decision, row.reasons = told.row(0)
    return row


def letter(number: int, row: bool) -> DeadLetter:
    """A row that failed, of a cook and a seed that no row has; or an unreadable seed."""
    return DeadLetter(
        id=f"letter{number}",
        row_id=f"failed{number}" if row else None,
        seed_ids=["cook4", f"lost{number}"] if row else [],
        sample=0 if row else None,
        source="personas.jsonl",
        line=number,
        stage="converse" if row else "seeds",
        reason="turn_empty" if row else "json",
        detail=f"detail {number} {HOSTILE}",
        attempts=1,
        fingerprint="",
        failed_at=BEGAN,
        calls=3 * row,
        prompt_tokens=90 * row,
        cached_tokens=30 * row,
        completion_tokens=number * row,
        text=HOSTILE if row else None,
    )


def imported(number: int) -> Row:
    """A dialogue as it was given, through no stage at all."""
    row = dialogue(number)
    row.kind, row.decision, row.scores = "imported", None, {}
    row.details, row.extracted, row.reasons, row.stages = [], [], [], []
    row.seeds = row.seeds[:1]
    for speaker in row.speakers:
        speaker.seed_id, speaker.facts = row.seeds[0].id, []
    row.turns = [Turn(turn.speaker, turn.text) for turn in row.turns]
    return row


def commit(root: Path, runs: list[list[Row]], letters: list[DeadLetter] | None = None) -> Corpus:
    """Commit the rows of each run in two shards and versions."""
    corpus = Corpus(str(root))
    corpus.save_recipe(
        "s",
        {
            "stage": "select",
            "method": "select",
            "models": {},
            "params": POLICY.model_dump(),
            "made_with": {"persona-factory": "9"},
        },
    )
    corpus.save_recipe("n", {"stage": "consistency", "method": "consistency", "models": {}})
    corpus.dead.shards()
    if letters:
        corpus.dead.commit([corpus.dead.write(dead_letters_to_table(letters))], [], "letters")
    corpus.table.shards()
    corpus.table.grow(COLUMNS if any(row.scores for rows in runs for row in rows) else {}, "0")
    for number, rows in enumerate(runs):
        half = len(rows) // 2
        for part in (rows[:half], rows[half:]):
            table = rows_to_table(part, score_columns(corpus.table.layout))
            corpus.table.commit([corpus.table.write(table)], [], f"{len(part)} rows made", run=number)
    return corpus
