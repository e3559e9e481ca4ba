"""The dialogues on the page: some of every decision and reason, then as many others as fit.

Row ids are hashes, so the rows of a kind with the smallest ids are a sample of it, the same each time. Limitations: the
sample does not have the corpus's shares of decisions and reasons; the figures do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from factory.methods.scores.consistency import Check, ScoredPair, scored_pairs
from factory.spec.select import Conditions
from factory.store.corpus import Corpus
from factory.store.records import Row, row_schema, rows_from_table, score_columns
from factory.views.report.frames import CODES, DECISION

MARKED, NEVER = 0.5, 2.0
"""P(contradiction) from which on a pair is marked where the job flags none, and one that none has."""
_COLUMNS: dict[Check, str] = {
    "turn_persona": "contradiction",
    "turn_turn": "self_contradiction",
    "extracted_persona": "extracted_contradiction",
}


def dialogues(corpus: Corpus, rows: pl.LazyFrame, count: int) -> list[dict[str, Any]]:
    """At most `count` dialogues as JSON values: `id`, `decision`, `reasons`, `imported`, `topic`, `scores` (of the
    dialogue), `speakers` (`seed`, `role`, `facts` as text and origin), `turns` (`speaker`, `text`, `marks`). A mark is
    what the turn contradicts: `fact` (or the number of the earlier turn `said`), `score`, `check`, `rejects`."""
    ids = _chosen(rows, count)
    if not ids:
        return []
    table = rows.filter(pl.col("row_id").is_in(ids)).collect(engine="streaming").to_arrow()
    policies: dict[str, Conditions] = {}
    columns = score_columns(corpus.table.layout)
    found = rows_from_table(table.select(row_schema(columns).names).cast(row_schema(columns)))
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


def _policy(corpus: Corpus, row: Row, known: dict[str, Conditions]) -> Conditions:
    """The conditions the row was decided by; none for a row that was not, or whose recipe is lost."""
    recipe = next((record.recipe for record in row.stages if record.stage == "select"), "")
    if recipe not in known:
        content = corpus.recipe(recipe) if recipe else None
        known[recipe] = Conditions.model_validate(content["params"]) if content else Conditions()
    return known[recipe]


def _told(row: Row, policy: Conditions) -> dict[str, Any]:
    scores, pairs = row.scores.get("consistency"), scored_pairs(row)
    return {
        "id": row.row_id,
        "decision": row.decision or "undecided",
        "reasons": row.reasons,
        "imported": row.kind == "imported",
        "topic": row.topic,
        "scores": scores and {name: scores[name] for name in ("coverage", "c_score", "apc", "pairs")},
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
                "marks": _marks([one for one in pairs if one.pair.turn == number], policy),
            }
            for number, turn in enumerate(row.turns)
        ],
    }


def _marks(scored: Sequence[ScoredPair], policy: Conditions) -> list[dict[str, Any]]:
    marks = []
    for one in sorted(scored, key=lambda one: -one.found.contradiction):
        flag, reject = bands(policy, one.pair.check)
        if one.found.contradiction < flag:
            continue
        marks.append(
            {
                "check": one.pair.check,
                "fact": one.pair.premise,
                "said": one.pair.other if one.pair.check == "turn_turn" else None,
                "extracted": one.pair.hypothesis if one.pair.check == "extracted_persona" else None,
                "score": round(one.found.contradiction, 4),
                "rejects": one.found.contradiction >= reject,
            }
        )
    return marks


def bands(policy: Conditions, check: Check) -> tuple[float, float]:
    """From which P(contradiction) of a pair of this check on conditions flag and reject a row: MARKED where none flags,
    NEVER where none rejects."""
    column = f"consistency.{_COLUMNS[check]}"
    flag, reject = policy.least("flag", column), policy.least("reject", column)
    rejects = NEVER if reject is None else reject
    return min(MARKED if flag is None else flag, rejects), rejects
