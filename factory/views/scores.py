"""What the scores of a corpus came to, whichever they are: what is told of each follows from its column alone.

Limitations: `quantiles` holds a column of values in memory, eight bytes a row; of texts only the nulls are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from factory.planning.recipes import method_of
from factory.store.records import ScoreColumns, Value, score_columns

_PARTS = {"p5": 0.05, "median": 0.5, "p95": 0.95}


def scored(rows: pl.LazyFrame, layout: pa.Schema) -> dict[str, dict[str, Any]]:
    """By score: `rows` that have it, how many `failed` by reason, and the `means` of its numbers; of what is true or
    false the share that is true."""
    columns = score_columns(layout)
    asked = [pl.col(name).is_not_null().sum().alias(name) for name in columns]
    asked += [_value(name, field).mean().alias(f"{name}.{field}") for name, field in _numbers(columns)]
    told = rows.select(asked).collect(engine="streaming").row(0, named=True) if asked else {}
    failed = _failed(rows)
    return {
        name: {
            "rows": told.get(name, 0),
            "failed": failed.get(name, {}),
            "means": {field: told[f"{name}.{field}"] for score, field in _numbers(columns) if score == name},
        }
        for name in sorted({*columns, *failed})
    }


def quantiles(rows: pl.LazyFrame, layout: pa.Schema) -> list[dict[str, Any]]:
    """One entry a column of a score: `score`, `column`, `mean`, `p5`, `median`, `p95` (none for texts) and `nulls`."""
    columns = score_columns(layout)
    names = [(score, field.name) for score, kind in columns.items() for field in kind]
    asked = [
        pl.col(score).struct.field(field).is_null().sum().alias(f"{score}.{field}.nulls") for score, field in names
    ]
    for score, field in _numbers(columns):
        value = _value(score, field)
        asked.append(value.mean().alias(f"{score}.{field}.mean"))
        asked += [value.quantile(part).alias(f"{score}.{field}.{name}") for name, part in _PARTS.items()]
    told = rows.select(asked).collect(engine="streaming").row(0, named=True) if asked else {}
    return [
        {"score": score, "column": field}
        | {name: told.get(f"{score}.{field}.{name}") for name in ("mean", *_PARTS, "nulls")}
        for score, field in names
    ]


def _value(score: str, field: str) -> pl.Expr:
    return pl.col(score).struct.field(field).cast(pl.Float64)


def _numbers(columns: ScoreColumns) -> list[tuple[str, str]]:
    return [
        (score, field.name) for score, kind in columns.items() for field in kind if not pa.types.is_string(field.type)
    ]


def _failed(rows: pl.LazyFrame) -> dict[str, dict[str, int]]:
    """How many rows lack a score's values, by the code of the reason."""
    records = rows.select("stages").explode("stages").drop_nulls().unnest("stages").drop_nulls("failed")
    counted = records.group_by("stage", reason=pl.col("failed").str.split(":").list.first()).len()
    failed: dict[str, dict[str, int]] = {}
    for stage, reason, count in (
        counted.sort("stage", "len", "reason", descending=[False, True, False]).collect().rows()
    ):
        failed.setdefault(stage, {})[reason] = count
    return failed


def described(score: str, methods: Mapping[str, Any]) -> str:
    """What the columns of a score hold, as its method declares it. `methods` are those of all entries, by name."""
    method = methods.get(score) or method_of(score, None)
    if method is None:
        return "values of a score whose method is not installed here"
    return "; ".join(f"{column.name}: {column.description.rstrip('.')}" for column in method.columns)


def written(values: Mapping[str, Value | None]) -> str:
    """The values of a score in a line."""
    return ", ".join(f"{name.replace('_', ' ')} {shown(value)}" for name, value in values.items())


def shown(value: Value | None) -> str:
    """A value to read."""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.2f}"
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
