"""The dialogues on the page: some of every decision and reason, then as many others as fit.

Row ids are hashes, so the rows of a kind with the smallest ids are a sample of it, the same each time. Limitations: the
sample does not have the corpus's shares of decisions and reasons; the figures do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from factory.spec.job import SELECT
from factory.spec.select import Conditions
from factory.store.corpus import Corpus
from factory.store.records import Detail, Row, row_schema, rows_from_table, score_columns
from factory.views.details import texts_of, title_of, values_of, where_of
from factory.views.measures import methods_of
from factory.views.pairs import marks, pair_scores
from factory.views.report.frames import CODES, DECISION
from factory.views.scores import written


def dialogues(corpus: Corpus, rows: pl.LazyFrame, count: int) -> list[dict[str, Any]]:
    """At most `count` dialogues as JSON values: `id`, `decision`, `reasons`, `imported`, `topic`, `scores` (of the
    dialogue: name and values, in words), `speakers` (`seed`, `role`, `facts` as text and origin), `notes`, `turns`
    (`speaker`, `text`, `marks`, `notes`). A mark is what the turn contradicts (`factory.views.pairs.marks`). A note is
    any other detail of a score, under the turn that it is about if it is about one: `title`, `where`, `values`,
    `texts`."""
    ids = _chosen(rows, count)
    if not ids:
        return []
    table = rows.filter(pl.col("row_id").is_in(ids)).collect(engine="streaming").to_arrow()
    policies: dict[str, Conditions] = {}
    columns, methods = score_columns(corpus.table.layout), methods_of(corpus, rows)
    found = rows_from_table(table.select(row_schema(columns).names).cast(row_schema(columns)))
    return [_told(row, _policy(corpus, row, policies), methods) for row in sorted(found, key=lambda row: row.row_id)]


def _chosen(rows: pl.LazyFrame, count: int) -> list[str]:
    """Row ids: half of them are spread over the decisions and reasons, at least one for each; the rest are any."""
    if not count:
        return []
    kinds = rows.select("row_id", decision=DECISION, code=CODES).explode("code")
    known = kinds.select("decision", "code").unique().sort("decision", "code").collect(engine="streaming")
    quota = max(1, count // max(2 * len(known), 1))
    wanted = [
        kinds.filter(pl.col("decision").eq(decision), pl.col("code").eq_missing(pl.lit(code))).select("row_id")
        for decision, code in known.iter_rows()
    ]
    least = [frame.bottom_k(quota, by="row_id") for frame in wanted]
    some = pl.collect_all([*least, rows.select("row_id").bottom_k(count, by="row_id")], engine="streaming")
    ids = dict.fromkeys(row_id for frame in some for row_id in frame["row_id"].sort())
    return list(ids)[: max(count, len(known))]


def _policy(corpus: Corpus, row: Row, known: dict[str, Conditions]) -> Conditions:
    """The conditions the row was decided by; none for a row that was not, or whose recipe is lost."""
    recipe = next((record.recipe for record in row.stages if record.stage == SELECT), "")
    if recipe not in known:
        content = corpus.recipe(recipe) if recipe else None
        known[recipe] = Conditions.model_validate(content["params"]) if content else Conditions()
    return known[recipe]


def _told(row: Row, policy: Conditions, methods: Mapping[str, Any]) -> dict[str, Any]:
    pairs = pair_scores(methods)
    marked, others = list(marks(row, pairs, policy)), [one for one in row.details if one.score not in pairs]
    failed = [(record.stage, f"none, {record.failed}") for record in row.stages if record.failed is not None]
    return {
        "id": row.row_id,
        "decision": row.decision or "undecided",
        "reasons": row.reasons,
        "imported": row.kind == "imported",
        "topic": row.topic,
        "scores": [(name, written(values)) for name, values in row.scores.items()] + failed,
        "speakers": [
            {
                "seed": speaker.seed_id,
                "role": speaker.role,
                "facts": [{"text": fact.text, "origin": fact.origin} for fact in speaker.facts],
            }
            for speaker in row.speakers
        ],
        "notes": [_note(row, one, methods) for one in others if one.turn is None],
        "turns": [
            {
                "speaker": turn.speaker,
                "text": turn.text,
                "marks": [one for one in marked if one["turn"] == number],
                "notes": [_note(row, one, methods) for one in others if one.turn == number],
            }
            for number, turn in enumerate(row.turns)
        ],
    }


def _note(row: Row, one: Detail, methods: Mapping[str, Any]) -> dict[str, Any]:
    """A detail without what is seen from where it stands: the turn, its speaker and its text."""
    here = None if one.turn is None else row.turns[one.turn].text
    return {
        "title": title_of(one),
        "where": where_of(one if one.turn is None else replace(one, speaker=None, turn=None)),
        "values": values_of(one, methods),
        "texts": [text for text in texts_of(row, one) if text != here],
    }
