"""Means of whatever scores a corpus has, and how status and explain show them."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
import pytest

from factory.methods import Column, struct_of
from factory.methods.example import dialogue
from factory.store.records import Detail, ScoreColumns, rows_to_table
from factory.views import display
from factory.views.measures import mean_values

COLUMNS: ScoreColumns = {
    "talk": struct_of(
        (
            Column("share", "double", "A share."),
            Column("count", "int", "A count."),
            Column("sure", "bool", "Whether."),
            Column("label", "string", "A label."),
        )
    ),
    "empty": struct_of((Column("share", "double", "A share."),)),
    "a_pass": pa.struct([("order", pa.int64()), ("recipe", pa.string())]),
}


def rows() -> pl.LazyFrame:
    made = [dialogue(number) for number in range(3)]
    for row in made:
        row.scores = {"a_pass": {"order": 3, "recipe": "r"}}
    made[0].scores["talk"] = {"share": 0.25, "count": 3, "sure": True, "label": "a"}
    made[1].scores["talk"] = {"share": 0.75, "count": None, "sure": False, "label": "b"}
    return pl.DataFrame(rows_to_table(made, COLUMNS)).lazy()


def test_numbers_have_means_and_truths_shares_over_the_rows_that_have_them() -> None:
    assert mean_values(rows()) == {"talk": {"share": 0.5, "count": 3.0, "sure": 0.5}}


def test_a_corpus_without_scores_has_none() -> None:
    assert mean_values(rows().drop("talk", "empty")) == {}


def test_a_row_is_shown_with_the_values_of_all_its_scores(capsys: pytest.CaptureFixture[str]) -> None:
    row = dialogue()
    row.scores, row.stages = {"talk": {"share": 0.256, "count": None, "label": "[b]"}}, []
    row.details = [Detail("talk", "turn", [0.25, None], speaker=1, turn=1, answer="[yes]")]
    display.show_explanation({"stages": []}, row)
    shown = capsys.readouterr().out
    assert "talk share 0.26, count None, label [b]" in shown
    assert ["talk", "turn", "B", "1", "0.25,", "none", "[yes]"] in [line.split() for line in shown.splitlines()]
    assert "scored pairs" not in shown
