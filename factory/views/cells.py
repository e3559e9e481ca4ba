"""Tables for people: a column is its title and how its cell is read from an item, declared together.

The terminal and the page of the report share columns. Limitations: cells are plain text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; one of numbers stands to the right."""

    title: str
    cell: Callable[[Any], str]
    numeric: bool = False
    leads_to: Callable[[Any], str] = lambda _: ""
    """The address that a cell links to on the page; none if it is empty."""
    name: bool = False
    """Whether its cells are names, which the page breaks at dots, underscores and blanks only."""


def text(title: str, key: str, leads_to: Callable[[Any], str] = lambda _: "") -> Column:
    """A column of words, with blanks for the underscores of a code."""
    return Column(title, lambda item: str(item[key]).replace("_", " "), leads_to=leads_to, name=True)


def count(title: str, key: str) -> Column:
    """A column of whole numbers."""
    return Column(title, lambda item: counted(item.get(key)), numeric=True)


def share(title: str, key: str) -> Column:
    """A column of shares of 1, in per cent."""
    return Column(title, lambda item: percent(item[key]), numeric=True)


def table(columns: Sequence[Column], items: Iterable[Any], caption: str = "", *, wide: bool = False) -> dict[str, Any]:
    """The items as the page's template shows them; an item's `below` marks its row."""
    return {
        "columns": [(column.title, column.numeric) for column in columns],
        "rows": [
            {
                "below": bool(item.get("below")),
                "cells": [
                    {"text": column.cell(item), "leads_to": column.leads_to(item), "name": column.name}
                    for column in columns
                ],
            }
            for item in items
        ],
        "caption": caption,
        "wide": wide,
    }


def counted(value: int | None) -> str:
    """A whole number to read; nothing for none."""
    return "" if value is None else f"{value:,}"


def percent(value: float | None) -> str:
    """A share of 1, in per cent."""
    return "–" if value is None else f"{value:.1%}"


def rounded(value: float | None) -> str:
    """A number to read: thousands separated, two digits after the point where there are few before it."""
    if value is None:
        return "–"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def thousandths(value: float | None) -> str:
    """A number with three digits after the point."""
    return "–" if value is None else f"{value:.3f}"
