"""Select: named conditions over what was measured, in SQL's words, that reject or flag a row; no model is asked.

A condition is an expression as polars reads SQL, over declared columns (`consistency.contradiction >= 0.98`), evaluated
over a whole shard at once. Only what concerns one row by itself is allowed: comparisons, arithmetic, AND, OR, NOT,
IS NULL, IN, BETWEEN. A null fires nothing; a row of which a condition reads a null without asking IS NULL is flagged
`not_scored`. All thresholds are the job's. What is allowed: `factory.base.rowwise`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from factory.base.rowwise import check_boolean, row_expression
from factory.spec.yamlfile import mistake, nearest

Band = Literal["reject", "flag"]
BANDS: tuple[Band, Band] = ("reject", "flag")
NOT_SCORED, PENDING = "not_scored", "pending"
"""Reasons for a flag that no job names: a condition reads a value that is missing, or what a pass has yet to find."""
ROW = "row"
"""The name under which conditions read what every row has: see `scored_frame`."""
SEEN = "recipe"
"""The field of a pass's column that every row has which the pass has seen."""
ROW_COLUMNS = {"turns": pl.Int64, "kind": pl.String, "sample": pl.Int64, "topic": pl.String}


class Conditions(BaseModel):
    """Parameters of `select`: conditions by name, which is the reason that stands on the row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reject: dict[str, str] = Field({}, description="Conditions that reject a row, by the names of the reasons.")
    flag: dict[str, str] = Field({}, description="Conditions that flag a row that is not rejected.")

    @field_validator("reject", "flag")
    @classmethod
    def _readable(cls, conditions: dict[str, str]) -> dict[str, str]:
        for name, text in conditions.items():
            try:
                Condition(text)
            except ValueError as error:
                raise mistake(str(error), name) from error
        return conditions

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for name in self.reject:
            if name in self.flag:
                raise mistake("reject has a condition of this name too; the reasons on a row must differ", "flag", name)
        for band in BANDS:
            for name in {NOT_SCORED, PENDING} & getattr(self, band).keys():
                raise mistake("this is a reason of the factory's own; use another name", band, name)
        return self

    @property
    def columns(self) -> set[tuple[str, str]]:
        """The columns they read: score and value."""
        return {column for text in (*self.reject.values(), *self.flag.values()) for column in Condition(text).columns}

    def least(self, band: Band, column: str) -> float | None:
        """The lowest threshold from which a column's value rejects or flags by itself, where a condition says so."""
        return min((at for sign, at in self.thresholds(band, column) if sign[0] == ">"), default=None)

    def thresholds(self, band: Band, column: str) -> list[tuple[str, float]]:
        """The sign and the number of each condition that does nothing but compare the column with a number."""
        bound = re.compile(rf"\s*{re.escape(column)}\s*([<>]=?)\s*(-?\d*\.?\d+)\s*")
        found = [bound.fullmatch(text) for text in getattr(self, band).values()]
        return [(match[1], float(match[2])) for match in found if match]

    def decide(self, rows: pl.DataFrame, passes: Collection[str] = ()) -> pl.DataFrame:
        """The `decision` and `reasons` of rows: the names of the conditions that reject, or those that flag, or none.
        `rows` is a `scored_frame`. A row that one of the `passes` has yet to see is flagged PENDING, if a condition
        reads what it finds."""
        rejecting = [pl.when(Condition(text).fires).then(pl.lit(name)) for name, text in self.reject.items()]
        flagging = [pl.when(Condition(text).fires).then(pl.lit(name)) for name, text in self.flag.items()]
        read = {column for text in (*self.reject.values(), *self.flag.values()) for column in Condition(text).must_be}
        lacking = [_null(score, value) for score, value in sorted(read) if score not in passes]
        flagging.append(pl.when(pl.any_horizontal(pl.lit(False), *lacking)).then(pl.lit(NOT_SCORED)))
        waiting = [_null(name, SEEN) for name in sorted({score for score, _ in self.columns} & set(passes))]
        flagging.append(pl.when(pl.any_horizontal(pl.lit(False), *waiting)).then(pl.lit(PENDING)))
        # Beside a column, what holds for all rows has a value for each.
        told = rows.select(ROW, rejecting=_list(rejecting), flagging=_list(flagging))
        rejected, flagged = pl.col("rejecting").list.len() > 0, pl.col("flagging").list.len() > 0
        return told.select(
            decision=pl.when(rejected)
            .then(pl.lit("reject"))
            .when(flagged)
            .then(pl.lit("flag"))
            .otherwise(pl.lit("accept")),
            reasons=pl.when(rejected).then("rejecting").otherwise("flagging"),
        )


def scored_frame(rows: pl.LazyFrame, conditions: Conditions, *columns: str) -> pl.LazyFrame:
    """What conditions read of rows, and these columns. A score that the rows lack is null."""
    names = rows.collect_schema().names()
    wanted: dict[str, list[str]] = {}
    for score, value in sorted(conditions.columns - {(ROW, value) for value in ROW_COLUMNS}):
        wanted.setdefault(score, [SEEN]).append(value)
    scores = [
        pl.col(score) if score in names else pl.struct(pl.lit(None).alias(value) for value in values).alias(score)
        for score, values in wanted.items()
    ]
    turns = pl.col("turns").list.len().cast(pl.Int64).alias("turns")
    return rows.select(*columns, *scores, pl.struct(turns, "kind", pl.col("sample").cast(pl.Int64), "topic").alias(ROW))


def _null(score: str, value: str) -> pl.Expr:
    return pl.col(score).struct.field(value).is_null()


def _list(names: Sequence[pl.Expr]) -> pl.Expr:
    if not names:
        return pl.lit([], dtype=pl.List(pl.String))
    return pl.concat_list(names).list.drop_nulls()


class Condition:
    """One condition. Raises ValueError, with what is not allowed, for a text that is none."""

    def __init__(self, text: str) -> None:
        self.text = text
        read = row_expression(text, "row.turns < 4")
        self.expression = read.expression
        found: list[tuple[tuple[str, str], bool]] = []
        for path, asked in read.reads:
            if len(path) != 2:
                raise ValueError(
                    f"{text!r} reads {path[0]}; a column is a score and one of its values, score.value, and text "
                    "stands in single quotes"
                )
            found.append(((path[0], path[1]), asked))
        self.columns = {column for column, _ in found}
        self.must_be = {column for column, asked in found if not asked} - {column for column, asked in found if asked}
        """Those that it does not ask for null, and cannot do without."""

    @property
    def fires(self) -> pl.Expr:
        """Whether it holds; a null does not."""
        return self.expression.fill_null(False)


def check(text: str, types: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ValueError if a condition reads a column that is not among `types` (score, value, polars type), is none of
    true and false, or compares what cannot be compared."""
    condition = Condition(text)
    for score, value in sorted(condition.columns):
        if score not in types:
            raise ValueError(
                f"there is no score {score}{nearest(score, types) or '.'} There are: {', '.join(sorted(types))}"
            )
        if value not in types[score]:
            hint = nearest(value, types[score]) or "."
            raise ValueError(f"{score} has no column {value}{hint} It has: {', '.join(types[score])}")
    schema = pl.Schema({score: pl.Struct(dict(fields)) for score, fields in types.items()})
    check_boolean(text, condition.expression, schema)
