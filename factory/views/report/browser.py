"""What the page's browser of dialogues filters and sorts by, beside what it shows of them.

A value stands in the same bar of a histogram here as in the figures, so a click on a bar finds what it counted.
Limitations: values are rounded down, those of turns and pairs to a step of their histogram, others to a thousandth of
one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from factory.store.corpus import Corpus
from factory.views.measures import measures, methods_of
from factory.views.pairs import pair_scores
from factory.views.report.distributions import FAR, STRAY
from factory.views.report.quantities import Quantity, quantities


def browser(
    corpus: Corpus, rows: pl.LazyFrame, shown: Sequence[Mapping[str, Any]], figures: Mapping[str, Any]
) -> dict[str, Any]:
    """`quantities` (`name`, `title`), `groups` (`group`, `name`), and the `dialogues` shown, each with its `values` by
    quantity (one number, or a list for one of turns or pairs) and the `groups` of its personas."""
    methods = methods_of(corpus, rows)
    declared = measures(corpus.table.layout, methods)
    known = [
        one
        for one in quantities(pair_scores(methods), declared, figures["scores"])
        if one.name in figures["distributions"]
    ]
    found = _values(rows, [one["id"] for one in shown], known)
    groups = figures["groups"]
    group_of = {one["persona"]: one["group"] for one in groups.get("map", ())}
    return {
        "quantities": [{"name": one.name, "title": one.title} for one in known],
        "groups": [{"group": one["group"], "name": one["name"]} for one in groups["groups"]],
        "dialogues": [
            dict(one) | {"values": found[one["id"]], "groups": sorted(_groups(one, group_of))} for one in shown
        ],
    }


def _groups(dialogue: Mapping[str, Any], group_of: Mapping[str, int]) -> set[int]:
    """The groups of both speakers; that of an imported dialogue is known by its seed and side."""
    personas = [
        f"{speaker['seed']}/{'AB'[place]}" if dialogue["imported"] else speaker["seed"]
        for place, speaker in enumerate(dialogue["speakers"])
    ]
    return {group_of[persona] for persona in personas if persona in group_of}


def _values(rows: pl.LazyFrame, ids: Sequence[str], known: Sequence[Quantity]) -> dict[str, dict[str, Any]]:
    own = rows.filter(pl.col("row_id").is_in(ids)).select("row_id", *(one.values.alias(one.name) for one in known))
    found = {row.pop("row_id"): row for row in own.collect(engine="streaming").to_dicts()}
    return {
        row_id: {one.name: told for one in known if (told := _rounded(row[one.name], one)) not in (None, [])}
        for row_id, row in found.items()
    }


def _rounded(value: Any, quantity: Quantity) -> Any:
    """A number, or the different ones of a list; none of nothing."""
    if value is None:
        return None
    if isinstance(value, list):
        return sorted({_down(one, quantity.step, 1) for one in value if one is not None})
    return _down(value, quantity.step, 1 if quantity.kind == "whole" else 1000)


def _down(value: float, step: float, parts: int) -> float:
    """A value rounded down to a part of a step. One that lies on a step stays there, as in the histograms."""
    steps = min(max(value / step, -FAR), FAR)
    return round(math.floor(steps * parts + STRAY * parts) / parts * step, 10)
