"""How often each group of speakers is hit by what is decided by, and how much of the group that deletes.

A row is hit by a condition of `select` whose name stands on it, which deletes the row if it is rejected; and by a
column that a score gives a category, such as a screen's count, where that is above 0. The figure is the spread between
groups, not the mean. Each group is compared with all rows outside it, by an interval of 95 % for all groups and reasons
together (Newcombe, 1998; Bonferroni). Limitations: of a rejected row no condition that flags is known; a row that two
conditions reject is deleted by both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from factory.base.intervals import difference, wilson
from factory.store.corpus import Corpus
from factory.views.measures import measures, methods_of


@dataclass(frozen=True, slots=True)
class Reason:
    """What may hit a row: the `rates` it has, each by whether it holds of a row, and its category if it is a
    column's."""

    name: str
    category: str | None
    rates: Mapping[str, pl.Expr]


def reasons_of(corpus: Corpus, rows: pl.LazyFrame) -> list[Reason]:
    """The conditions that stand on rows, by name, then the columns with a category."""
    stand = rows.select(pl.col("reasons").explode().drop_nulls().unique()).collect(engine="streaming")["reasons"]
    rejected = pl.col("decision") == "reject"
    named = {name: pl.col("reasons").list.contains(name) for name in sorted(stand)}
    checks = [one for one in measures(corpus.table.layout, methods_of(corpus, rows)) if one.column.category]
    return [
        *(Reason(name, None, {"hit": hit, "deleted": hit & rejected}) for name, hit in named.items()),
        *(Reason(one.name, one.column.category, {"hit": one.value.fill_null(0) > 0}) for one in checks),
    ]


def counting(reasons: Sequence[Reason]) -> list[pl.Expr]:
    """What rows of a group are counted by, as `compared` reads it: those that are decided, and those of each rate."""
    decided = pl.col("decision").is_not_null()
    rates = [
        (decided & holds).sum().alias(f"{rate} {number}")
        for number, one in enumerate(reasons)
        for rate, holds in one.rates.items()
    ]
    return [decided.sum().alias("decided"), *rates]


def compared(
    groups: Sequence[Mapping[str, Any]], total: Mapping[str, int], reasons: Sequence[Reason], least: int
) -> list[dict[str, Any]]:
    """One entry for each rate of a reason that any row has, the widest spread first; in it the groups, the highest
    share first. `groups` have a `group` and counts, `total` the counts of all rows; groups with fewer than `least`
    decided rows make no spread."""
    confidence = 1 - 0.05 / max(1, len(groups) * sum(len(one.rates) for one in reasons))
    told: list[dict[str, Any]] = []
    for number, one in enumerate(reasons):
        for rate in one.rates:
            counts = f"{rate} {number}"
            found = [_group(group, total, counts, confidence) for group in groups if group["decided"]]
            shares = [group["share"] for group in found if group["decided"] >= least]
            spread = max(shares) - min(shares) if len(shares) > 1 else None
            known = {"reason": one.name, "category": one.category, "rate": rate, "rows": total[counts]}
            found.sort(key=lambda group: group["share"], reverse=True)
            told += [known | {"spread": spread, "interval": confidence, "groups": found}] * bool(total[counts])
    return sorted(told, key=lambda one: -1 if one["spread"] is None else one["spread"], reverse=True)


def _group(one: Mapping[str, Any], total: Mapping[str, int], counts: str, confidence: float) -> dict[str, Any]:
    """A group's share of a rate and its interval, and whether it lies `above` or `below` that of the other rows."""
    count, decided = one[counts], one["decided"]
    others = total["decided"] - decided
    least, most = wilson(count, decided, confidence)
    low, high = difference(count, decided, total[counts] - count, others, confidence) if others else (0.0, 0.0)
    return {
        "group": one["group"],
        "decided": decided,
        "rows": count,
        "share": count / decided,
        "least": least,
        "most": most,
        "above": low > 0,
        "below": high < 0,
    }
