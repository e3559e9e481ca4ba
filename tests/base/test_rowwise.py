from __future__ import annotations

import polars as pl
import pytest

from factory.base.rowwise import check_boolean, row_expression

ROWS = pl.DataFrame({"job": ["cook", "nurse", None], "age": [30, 40, 50], "judge": [{"quality": 1.0}] * 3})


@pytest.mark.parametrize(
    ("text", "holds", "reads"),
    [
        ("age >= 40", [False, True, True], {("age",): False}),
        ("NOT (job = 'cook' AND age = 30)", [False, True, True], {("job",): False, ("age",): False}),
        ("job IN ('cook', 'baker')", [True, False, None], {("job",): False}),
        ("age BETWEEN 35 AND 2 * 25", [False, True, True], {("age",): False}),
        ("job IS NULL OR job <> 'cook'", [False, True, True], {("job",): True}),
        ("age / 10 > judge.quality + 3", [False, False, True], {("age",): False, ("judge", "quality"): False}),
    ],
)
def test_what_is_said_of_a_row_is_evaluated_for_each(
    text: str, holds: list[bool | None], reads: dict[tuple[str, ...], bool]
) -> None:
    found = row_expression(text, "age > 3")
    check_boolean(text, found.expression, ROWS.schema)
    assert ROWS.select(holds=found.expression.fill_null(False))["holds"].to_list() == [bool(one) for one in holds]
    assert {path for path, _ in found.reads} == set(reads)
    assert set(reads.items()) <= set(found.reads)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("age >", "is not a condition .*; write one such as age > 3"),
        ("1 < 2", "reads no column; write one such as age > 3"),
        ("SUM(age) > 3", "holds what no condition may"),
        ("age IN (SELECT 1)", "holds what no condition may"),
        ("job LIKE 'c%'", "holds what no condition may"),
        ("CASE WHEN age > 1 THEN TRUE ELSE FALSE END", "holds what no condition may"),
        ("AVG(age) OVER () > 1", "holds what no condition may"),
        ("age / age > 1", "divides by what may be 0"),
        ("age = NULL", "compares with NULL, which is never true"),
    ],
)
def test_what_is_more_than_one_row_s_business_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        row_expression(text, "age > 3")


@pytest.mark.parametrize(("text", "why"), [("age + 1", "is a Int64, not true or false"), ("job > 3", "cannot be eval")])
def test_what_is_no_condition_over_these_columns_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_boolean(text, row_expression(text, "age > 3").expression, ROWS.schema)
