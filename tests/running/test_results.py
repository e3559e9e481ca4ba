"""What a score returns that cannot be stored is the failure of that score on that row."""

from __future__ import annotations

import asyncio

import pytest

from factory.methods import Scored, struct_of
from factory.methods.example import dialogue, kit
from factory.methods.scores.consistency import Consistency
from factory.planning.shard import Todo
from factory.running.pipeline import run_row
from factory.spec.identity import entries, recipes, row_fingerprints
from factory.spec.job import Job
from factory.store.records import Detail, Row, rows_to_table

JOB = Job.model_validate({
    "corpus": "c",
    "seeds": [{"path": "a.jsonl"}],
    "scores": {"consistency": {}, "strict": {"method": "consistency"}},
})  # fmt: skip


def scored(monkeypatch: pytest.MonkeyPatch, returned: Scored) -> Row:
    """A row of which `consistency` returns this, and `strict` what it finds."""
    measure, names = Consistency.score, iter(["consistency", "strict"])

    async def score(self, row, kit):  # type: ignore[no-untyped-def]
        return returned if next(names) == "consistency" else await measure(self, row, kit)

    monkeypatch.setattr(Consistency, "score", score)
    row, own = dialogue(), recipes(JOB, "generated")
    row.scores, row.details, row.stages = {}, [], []
    todo = Todo(row, row_fingerprints(own, row), ["consistency", "strict"])
    assert asyncio.run(run_row(todo, own, entries(JOB), lambda _: kit())) is None
    return row


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        (Scored(missing="input_missing"), "input_missing: the row lacks what it measures"),
        (Scored({"coverage": float("nan"), "apc": float("inf")}), "not_finite: apc, coverage"),
        (Scored({"coverage": "all"}), "fault: coverage is 'all', which is no double"),
        (Scored({"depth": 1.0}), "fault: depth is none of its columns"),
        (Scored({}, [Detail("", "turn_turn", [float("nan"), 0.0, 1.0, 0.0])]), "not_finite: turn_turn"),
        (Scored({}, [Detail("", "turn_turn", [1.0])] * 2), "fault: turn_turn has 1 values, not 4"),
    ],
)
def test_what_cannot_be_stored_is_told_and_the_other_score_stands(
    monkeypatch: pytest.MonkeyPatch, returned: Scored, why: str
) -> None:
    row = scored(monkeypatch, returned)
    assert [(record.stage, record.failed) for record in row.stages] == [("consistency", why), ("strict", None)]
    assert row.scores.keys() == {"strict"}
    assert {detail.score for detail in row.details} == {"strict"}
    rows_to_table([row], dict.fromkeys(("consistency", "strict"), struct_of(Consistency.columns)))
