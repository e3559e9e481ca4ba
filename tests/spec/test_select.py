"""Conditions: what they may say, what they decide, and that a row is decided by itself."""

# ruff: noqa: E501 - a condition and what is said of it stand on one line

from __future__ import annotations

import contextlib
import operator
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from factory.spec.select import Condition, Conditions, check, scored_frame

TYPES = {
    "judge": {"quality": pl.Float64, "votes": pl.Int32, "label": pl.String, "sure": pl.Boolean},
    "probe": {"gain": pl.Float64},
    "row": {"turns": pl.Int64, "kind": pl.String},
}
SCHEMA = {name: pl.Struct(dict(fields)) for name, fields in TYPES.items()}
Decided = list[tuple[str, list[str]]]


def rows(*given: dict[str, Any]) -> pl.DataFrame:
    """Rows of these values, by `score.value`; what is not given is null."""
    full = [
        {score: {value: row.get(f"{score}.{value}") for value in fields} for score, fields in TYPES.items()}
        for row in given
    ]
    return pl.DataFrame(full, schema=SCHEMA)


def decided(frame: pl.DataFrame, reject: dict[str, str] | None = None, flag: dict[str, str] | None = None) -> Decided:
    conditions = Conditions(reject=reject or {}, flag=flag or {})
    return list(conditions.decide(frame).select("decision", "reasons").iter_rows())


def fires(text: str, **values: Any) -> bool | None:
    """Whether a condition over `judge` and `probe` holds; none if it is not known."""
    check(text, TYPES)
    places = {name: f"{'probe' if name == 'gain' else 'judge'}.{name}" for name in values}
    ((decision, reasons),) = decided(rows({places[name]: value for name, value in values.items()}), {"fires": text})
    assert (reasons == ["fires"]) == (decision == "reject")
    return {"reject": True, "flag": None, "accept": False}[decision]


@pytest.mark.parametrize(
    ("text", "values", "holds"),
    [
        ("judge.quality >= 0.5", {"quality": 0.5}, True),
        ("judge.quality > 0.5", {"quality": 0.5}, False),
        ("judge.quality >= 0.3", {"quality": 0.1 + 0.2}, True),
        ("judge.quality <> 1", {"quality": 1.0}, False),
        ("judge.quality + probe.gain * 2 < 1", {"quality": 0.2, "gain": 0.3}, True),
        ("-judge.quality < -0.5", {"quality": 0.6}, True),
        ("judge.votes / 3 >= 0.5", {"votes": 2}, True),
        ("judge.votes % 2 = 1", {"votes": 3}, True),
        ("judge.label = 'it''s'", {"label": "it's"}, True),
        ("judge.label IN ('a', 'b')", {"label": "b"}, True),
        ("judge.label NOT IN ('a', 'b')", {"label": "b"}, False),
        ("judge.votes IN (1, 3)", {"votes": 2}, False),
        ("judge.quality BETWEEN 0.2 AND 0.4", {"quality": 0.4}, True),
        ("judge.quality NOT BETWEEN 0.2 AND 0.4", {"quality": 0.4}, False),
        ("judge.sure", {"sure": True}, True),
        ("NOT judge.sure", {"sure": True}, False),
        ("judge.sure IS NOT TRUE", {"sure": False}, True),
        ("NOT (judge.quality > 0.5 AND judge.sure)", {"quality": 0.6, "sure": False}, True),
        ("judge.quality > 0.5 OR probe.gain > 0.5", {"quality": 0.1, "gain": 0.6}, True),
        ("judge.quality > probe.gain", {"quality": 0.5, "gain": 0.4}, True),
        ("judge.quality IS NULL", {"quality": None}, True),
        ("judge.quality IS NOT NULL", {"quality": None}, False),
        ("NOT judge.quality IS NULL", {"quality": 0.1}, True),
        ("judge.quality IS NULL OR judge.quality > 0.5", {"quality": None}, True),
        ("judge.quality > 0.5", {"quality": None}, None),
        ("NOT judge.quality > 0.5", {"quality": None}, None),
        ("judge.quality > 0.5 AND probe.gain > 0.5", {"quality": 0.1}, None),
        ("judge.quality > 0.5 OR probe.gain > 0.5", {"quality": 0.9}, True),
        ("judge.label IN ('a')", {"label": None}, None),
        ("judge.quality NOT BETWEEN 0.2 AND 0.4", {"quality": None}, None),
        ("judge.sure", {"sure": None}, None),
    ],
)
def test_a_condition_says_what_it_says_in_sql(text: str, values: dict[str, Any], holds: bool | None) -> None:
    assert fires(text, **values) is holds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SUM(judge.quality) > 3", "holds what no condition may"),
        ("COUNT(*) > 3", "holds what no condition may"),
        ("MAX(judge.quality) = judge.quality", "holds what no condition may"),
        ("AVG(judge.quality) OVER () > 1", "holds what no condition may"),
        ("judge.votes IN (SELECT 1)", "holds what no condition may"),
        ("EXISTS (SELECT 1)", "holds what no condition may"),
        ("judge.votes > (SELECT MAX(x) FROM t)", "is not a condition"),
        ("CASE WHEN judge.quality > 1 THEN TRUE ELSE FALSE END", "holds what no condition may"),
        ("CAST(judge.quality AS INT) = 1", "holds what no condition may"),
        ("judge.quality::int = 1", "holds what no condition may"),
        ("ABS(judge.quality) > 1", "holds what no condition may"),
        ("COALESCE(judge.quality, 0) > 1", "holds what no condition may"),
        ("judge.label LIKE 'a%'", "holds what no condition may"),
        ("judge.quality > 1 AS strict", "holds what no condition may"),
        ("RANDOM() > 0.5", "is not a condition"),
        ("judge.quality > 1; DROP TABLE x", "is not a condition"),
        ("judge.quality >", "is not a condition"),
        ("", "is not a condition"),
        ("quality > 1", "reads quality; a column is a score and one of its values"),
        ('judge.label = "a"', "reads a; a column is .*text stands in single quotes"),
        ("judge.a.b > 1", "holds what no condition may"),
        ("TRUE", "reads no column"),
        ("1 < 2", "reads no column"),
        ("judge.quality = NULL", "compares with NULL, which is never true; write IS NULL"),
        ("judge.votes / judge.quality > 1", "divides by what may be 0; multiply instead"),
        ("judge.votes % 0 = 1", "divides by what may be 0"),
        ("judge.votes / (judge.votes - 1) > 1", "divides by what may be 0"),
    ],
)
def test_what_is_no_matter_of_one_row_by_itself_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Condition(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("jugde.quality > 1", "there is no score jugde; did you mean judge. There are: judge, probe, row"),
        ("judge.qualiti > 1", "judge has no column qualiti; did you mean quality. It has: quality, votes, label, sure"),
        ("Judge.quality > 1", "there is no score Judge"),
        ("judge.quality", "is a Float64, not true or false"),
        ("judge.votes + 1", "not true or false"),
        ("judge.label > 1", "cannot be evaluated"),
        ("judge.label AND judge.sure", "cannot be evaluated"),
    ],
)
def test_what_is_no_question_to_these_columns_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check(text, TYPES)


@given(st.text(max_size=12) | st.text("judge.quality<>=!()'\"*+-/%, 0123ANDORNTIS", max_size=20))
def test_any_text_is_a_condition_or_is_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        check(text, TYPES)


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        ({"reject": {"low": "judge.quality < 1"}, "flag": {"low": "judge.quality < 2"}}, "flag.low: reject has a condition of"),
        ({"flag": {"not_scored": "judge.quality IS NULL"}}, "flag.not_scored: this is a reason of the factory"),
        ({"reject": {"low": "judge.quality"}, "flgag": {}}, "flgag"),
        ({"reject": {"low": "judge.quality < 1", "odd": "SUM(judge.quality) > 1"}}, "odd: .* holds what no condition may"),
    ],
)  # fmt: skip
def test_wrong_conditions_are_named(conditions: dict[str, Any], why: str) -> None:
    with pytest.raises(
        ValidationError, match=why.replace("flag.low: ", "low: ").replace("flag.not_scored: .*", "this")
    ):
        Conditions.model_validate(conditions)


def test_the_bands_and_their_reasons() -> None:
    frame = rows(
        {"judge.quality": 0.9, "probe.gain": 0.0},
        {"judge.quality": 0.4, "probe.gain": 0.0},
        {"judge.quality": 0.1, "probe.gain": 0.9},
        {"judge.quality": 0.1, "probe.gain": None},
        {"judge.quality": 0.9, "probe.gain": None},
        {"judge.quality": 0.4, "probe.gain": None},
    )
    reject = {"bad": "judge.quality < 0.2", "high": "probe.gain > 0.5"}
    assert decided(frame, reject, {"poor": "judge.quality < 0.5"}) == [
        ("accept", []),
        ("flag", ["poor"]),
        ("reject", ["bad", "high"]),
        ("reject", ["bad"]),
        ("flag", ["not_scored"]),
        ("flag", ["poor", "not_scored"]),
    ]
    assert decided(frame) == [("accept", [])] * 6


def test_a_score_that_no_row_has_is_null() -> None:
    stored = pl.DataFrame({"turns": [[1, 2]], "kind": ["generated"], "sample": [0], "topic": [None]}).lazy()
    for text, decision in {
        "judge.quality > 0.5": ("flag", ["not_scored"]),
        "judge.quality IS NULL AND row.turns = 2": ("reject", ["x"]),
        "judge.label IN ('a') OR row.kind = 'generated'": ("reject", ["x"]),
    }.items():
        conditions = Conditions(reject={"x": text})
        assert decided(scored_frame(stored, conditions).collect(), {"x": text}) == [decision]


_VALUE = {
    "judge.quality": st.none() | st.floats(0, 1),
    "judge.votes": st.none() | st.integers(-3, 9),
    "judge.label": st.none() | st.sampled_from("abc"),
    "judge.sure": st.none() | st.booleans(),
    "probe.gain": st.none() | st.floats(-1, 1),
    "row.turns": st.integers(0, 9),
}
_NUMBERS = [name for name in _VALUE if name not in ("judge.label", "judge.sure")]


@st.composite
def simple(draw: st.DrawFn) -> str:
    column, sign = draw(st.sampled_from(_NUMBERS)), draw(st.sampled_from(["<", "<=", "=", "<>", ">=", ">"]))
    other = draw(st.sampled_from(["0.5", "1", f"{draw(st.sampled_from(_NUMBERS))} * 2 - 0.25"]))
    null = draw(st.sampled_from(_NUMBERS))
    return draw(
        st.sampled_from([
            f"{column} {sign} {other}", f"{null} IS NULL", f"{null} IS NOT NULL", "judge.sure", "NOT judge.sure",
            "judge.label IN ('a', 'b')", "judge.label NOT IN ('a')", f"{column} BETWEEN 0.1 AND 2", "judge.label = 'c'",
        ])
    )  # fmt: skip


conditions_ = st.recursive(
    simple(), lambda one: st.builds("({} {} {})".format, one, st.sampled_from(["AND", "OR"]), one), max_leaves=4
)


@settings(deadline=None)
@given(
    texts=st.lists(conditions_, min_size=1, max_size=3, unique=True),
    given_rows=st.lists(st.fixed_dictionaries(_VALUE), min_size=2, max_size=6),
    data=st.data(),
)
def test_a_row_is_decided_alike_whichever_rows_share_its_shard(
    texts: list[str], given_rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    named = {f"c{place}": text for place, text in enumerate(texts)}
    for text in texts:
        check(text, TYPES)
    together = decided(rows(*given_rows), named)
    order = data.draw(st.permutations(range(len(given_rows))))
    assert decided(rows(*(given_rows[place] for place in order)), named) == [together[place] for place in order]
    assert [decided(rows(row), named)[0] for row in given_rows] == together


@given(limit=st.floats(0, 1), other=st.floats(0, 1), value=st.none() | st.floats(0, 1))
def test_a_stricter_threshold_never_makes_a_better_decision(limit: float, other: float, value: float | None) -> None:
    loose, strict = max(limit, other), min(limit, other)
    better = [
        decided(rows({"judge.quality": value}), {"bad": f"judge.quality >= {one:.20f}"})[0] for one in (loose, strict)
    ]
    ranks = [("accept", "flag", "reject").index(decision) for decision, _ in better]
    assert operator.le(*ranks)


def test_the_least_threshold_is_that_of_a_condition_by_itself() -> None:
    conditions = Conditions(
        reject={"a": "judge.quality >= 0.9", "b": "judge.quality > 0.8 AND judge.sure"}, flag={"c": "judge.quality>.5"}
    )
    assert conditions.least("reject", "judge.quality") == 0.9
    assert conditions.least("flag", "judge.quality") == 0.5
    assert conditions.least("flag", "probe.gain") is None
