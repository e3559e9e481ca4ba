"""Expressions in SQL's words, as polars reads them, over the columns of one row.

Only what concerns a row by itself is allowed: comparisons, arithmetic, AND, OR, NOT, IS NULL, IN, BETWEEN. Aggregates
and subqueries would make a row's result depend on the rows beside it. Limitations: what is divided by must be a number,
since 0 / 0 would be above any threshold; no functions, no CASE, no LIKE.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

Path = tuple[str, ...]

_OPERATORS = frozenset({"And", "Or", "Eq", "NotEq", "Lt", "LtEq", "Gt", "GtEq", "Plus", "Minus", "Multiply"})
_DIVIDING = ({"Binary": "Div"}, {"Binary": "IntDiv"}, {"Binary": "Rem"})
_NULL = {"Scalar": {"Null": "Null"}}
_ASKING_NULL = ("IsNull", "IsNotNull")
_FUNCTIONS = frozenset({
    *(("Boolean", name) for name in (*_ASKING_NULL, "Not", "IsBetween")), ("Sql", "IsIn"), ("Sql", "Binary")
})  # fmt: skip
_ALLOWED = "allowed are comparisons, arithmetic, AND, OR, NOT, IS NULL, IN, BETWEEN over columns of the same row"


@dataclass(frozen=True, slots=True)
class RowExpression:
    """An expression, and the columns it reads: `(name,)` or, of a struct column, `(name, field)`, each with whether it
    is only asked for null."""

    expression: pl.Expr
    reads: tuple[tuple[Path, bool], ...]


def row_expression(text: str, example: str) -> RowExpression:
    """The expression of a condition. Raises ValueError, with what is not allowed or with the example, for a text that
    is none or that reads no column."""
    try:
        expression = pl.sql_expr(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            tree = json.loads(expression.meta.serialize(format="json"))
    except (PolarsError, json.JSONDecodeError) as error:
        raise ValueError(f"{text!r} is not a condition ({error}); write one such as {example}") from error
    reads = tuple(_walk(tree, text, asked=False))
    if not reads:
        raise ValueError(f"{text!r} reads no column; write one such as {example}")
    return RowExpression(expression, reads)


def check_boolean(text: str, expression: pl.Expr, schema: pl.Schema) -> None:
    """Raises ValueError if an expression over columns of these types is none of true and false, or compares what cannot
    be compared."""
    try:
        kind = pl.DataFrame(schema=schema).select(expression.alias("holds")).schema["holds"]
    except PolarsError as error:
        raise ValueError(f"{text!r} cannot be evaluated: {str(error).splitlines()[0]}") from error
    if kind != pl.Boolean:
        raise ValueError(f"{text!r} is a {kind}, not true or false")


def _walk(node: Any, text: str, *, asked: bool) -> Iterator[tuple[Path, bool]]:
    kind: str
    content: Any
    kind, content = next(iter(node.items())) if isinstance(node, dict) and len(node) == 1 else ("", None)
    if kind == "Literal":
        if content == _NULL:
            raise ValueError(f"{text!r} compares with NULL, which is never true; write IS NULL or IS NOT NULL")
    elif kind == "BinaryExpr" and content["op"] in _OPERATORS:
        yield from _walk(content["left"], text, asked=False)
        yield from _walk(content["right"], text, asked=False)
    elif kind == "Cast" and content["dtype"] == {"Literal": "Boolean"}:  # what NOT puts around its operand
        yield from _walk(content["expr"], text, asked=False)
    elif kind == "Function":
        yield from _walk_function(content, text, asked=asked)
    elif kind == "Column":
        yield (content,), asked
    else:
        raise ValueError(f"{text!r} holds what no condition may ({kind or 'an expression'}); {_ALLOWED}")


def _walk_function(content: Any, text: str, *, asked: bool) -> Iterator[tuple[Path, bool]]:
    function, inputs = content["function"], content["input"]
    group, own = next(iter(function.items())) if isinstance(function, dict) else ("", function)
    name = next(iter(own)) if isinstance(own, dict) else own
    if group == "StructExpr" and name == "FieldByName" and "Column" in inputs[0]:
        yield (inputs[0]["Column"], own["FieldByName"]), asked
        return
    if group == "Sql" and own in _DIVIDING and not _is_number(inputs[1]):
        raise ValueError(f"{text!r} divides by what may be 0; multiply instead: a.x > 2 * a.y")
    if (group, name) not in _FUNCTIONS:
        raise ValueError(f"{text!r} holds what no condition may ({name}); {_ALLOWED}")
    for one in inputs:
        yield from _walk(one, text, asked=name in _ASKING_NULL)


def _is_number(node: Any) -> bool:
    return "Literal" in node and any(node["Literal"].get("Dyn", {}).values())
