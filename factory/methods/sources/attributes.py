"""Attributes that sources make: their names and values, the facts that they become, and rules over them.

Limitations: a fact is a text with {value} in it, so the grammar of a sentence is that of all its values.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Iterator, Mapping

import polars as pl
from pydantic_core import to_json

from factory.base.rowwise import RowExpression, check_boolean, row_expression

Value = bool | int | float | str
Fact = str | dict[Value, str]
"""Text with {value} in it, or the text of each value that says something."""

_OTHERS = frozenset({"id", "facts", "persona", "turns", "personas", "speakers"})
"""What a seed has besides attributes."""
_EXAMPLE = "NOT (mood = 'plain' AND age > 60)"


def written(value: Value) -> str:
    """A value as facts and attributes have it."""
    return value if isinstance(value, str) else to_json(value).decode()


def facts_of(facts: Mapping[str, Fact] | None, given: Mapping[str, Value]) -> list[str]:
    """What the values of attributes say; of all attributes, unless facts are told."""
    if facts is None:
        facts = {name: f"My {name.replace('_', ' ')} is {{value}}." for name in given}
    said = (said_of(fact, given[name]) for name, fact in facts.items())
    return [text for text in said if text is not None]


def said_of(fact: Fact, value: Value) -> str | None:
    """The fact that a value becomes, if any."""
    return fact.replace("{value}", written(value)) if isinstance(fact, str) else fact.get(value)


def name_fault(name: object, what: str) -> str | None:
    """Why there can be no attribute of this name, called a `what` in the job file."""
    if not isinstance(name, str) or not name.isidentifier():
        return f"the name of {what} has letters, digits and _, and no digit first"
    if name in _OTHERS:
        return f"no attribute can have this name, nor {', '.join(sorted(_OTHERS - {name}))}"
    return None


def value_fault(value: object) -> str | None:
    """What is wrong with a value."""
    if not isinstance(value, Value) or (isinstance(value, float) and not math.isfinite(value)) or value == "":
        return f"{value!r} is not a value: write text, a number, true or false"
    return None


def are_of_one_kind(values: Iterable[Value]) -> bool:
    """Whether they are all text, all numbers, or all true and false."""
    kinds = {"text" if isinstance(one, str) else "bool" if isinstance(one, bool) else "number" for one in values}
    return len(kinds) <= 1


def fact_fault(fact: Fact) -> str | None:
    """What is wrong with the fact of an attribute, whatever its values are."""
    if isinstance(fact, str) and "{value}" not in fact:
        return f"{fact!r} says the same of every value: write {{value}} where the value goes"
    return None


def unknown(name: str, known: Collection[str], what: str) -> str:
    """That a name is no `what`, the nearest that is, and all there are."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else "."
    return f"{name}, which is no {what}{hint} There are: {', '.join(known)}"


def rule_of(text: str) -> RowExpression:
    """A rule over attributes. Raises ValueError."""
    return row_expression(text, _EXAMPLE)


def read_by(rule: RowExpression) -> Iterator[str]:
    """The names that a rule reads."""
    return (".".join(path) for path, _ in rule.reads)


def check_rule(text: str, values: pl.DataFrame, what: str) -> RowExpression:
    """The rule, if it is one over these columns. Raises ValueError."""
    rule = rule_of(text)
    for name in read_by(rule):
        if name not in values.columns:
            raise ValueError(f"{text!r} reads {unknown(name, values.columns, what)}. Text stands in single quotes")
    check_boolean(text, rule.expression, values.schema)
    return rule
