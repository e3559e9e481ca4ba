"""The dialogues on the page: some of every decision and reason, then as many others as fit.

Row ids are hashes, so the rows of a kind with the smallest ids are a sample of it, the same each time. Limitations: the
sample does not have the corpus's shares of decisions and reasons; the figures do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from factory.methods.scores.select import SelectParams
from factory.store.corpus import Corpus
from factory.store.records import ROW_SCHEMA, Check, PairScore, Row, rows_from_table
from factory.views.report.frames import CODES, DECISION

_EXTRACTED = 0.5
"""P(contradiction) from which an extracted fact is marked, where the job flags none."""


def dialogues(corpus: Corpus, rows: pl.LazyFrame, count: int) -> list[dict[str, Any]]:
    """At most `count` dialogues as JSON values: `id`, `decision`, `reasons`, `imported`, `topic`, `scores` (of the
    dialogue), `speakers` (`seed`, `role`, `facts` as text and origin), `turns` (`speaker`, `text`, `marks`). A mark is
    what the turn contradicts: `fact` (or the number of the earlier turn `said`), `score`, `check`, `rejects`."""
    ids = _chosen(rows, count)
    if not ids:
        return []
    table = rows.filter(pl.col("row_id").is_in(ids)).collect(engine="streaming").to_arrow()
    policies: dict[str, SelectParams] = {}
    found = rows_from_table(table.cast(pa.schema(ROW_SCHEMA)))
    return [_told(row, _policy(corpus, row, policies)) for row in sorted(found, key=lambda row: row.row_id)]


def _chosen(rows: pl.LazyFrame, count: int) -> list[str]:
    """Row ids: half of them are spread over the decisions and reasons, at least one for each; the rest are any."""
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


def _policy(corpus: Corpus, row: Row, known: dict[str, SelectParams]) -> SelectParams:
    """The thresholds the row was decided by; the defaults for a row that was not, or whose recipe is lost."""
    recipe = next((record.recipe for record in row.stages if record.stage == "select"), "")
    if recipe not in known:
        content = corpus.recipe(recipe) if recipe else None
        known[recipe] = SelectParams.model_validate(content["params"]) if content else SelectParams()
    return known[recipe]


def _told(row: Row, policy: SelectParams) -> dict[str, Any]:
    scores = row.consistency
    return {
        "id": row.row_id,
        "decision": row.decision or "undecided",
        "reasons": row.reasons,
        "imported": row.kind == "imported",
        "topic": row.topic,
        "scores": scores and {name: getattr(scores, name) for name in ("coverage", "c_score", "apc", "pairs")},
        "speakers": [
            {
                "seed": speaker.seed_id,
                "role": speaker.role,
                "facts": [{"text": fact.text, "origin": fact.origin} for fact in speaker.facts],
            }
            for speaker in row.speakers
        ],
        "turns": [
            {
                "speaker": turn.speaker,
                "text": turn.text,
                "marks": _marks([score for score in row.scores if score.turn == number], policy),
            }
            for number, turn in enumerate(row.turns)
        ],
    }


def _marks(scores: Sequence[PairScore], policy: SelectParams) -> list[dict[str, Any]]:
    bands: dict[Check, tuple[float, float]] = {
        "turn_persona": (policy.flag_contradiction, policy.reject_contradiction),
        "turn_turn": (policy.flag_self_contradiction, policy.reject_self_contradiction),
        "extracted_persona": (policy.flag_extracted_contradiction or _EXTRACTED, 2),
    }
    return [
        {
            "check": score.check,
            "fact": score.premise,
            "said": score.premise_turn,
            "extracted": score.hypothesis if score.check == "extracted_persona" else None,
            "score": round(score.contradiction, 4),
            "rejects": score.contradiction >= bands[score.check][1],
        }
        for score in sorted(scores, key=lambda score: -score.contradiction)
        if score.contradiction >= bands[score.check][0]
    ]
