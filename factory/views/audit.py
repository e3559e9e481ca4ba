"""The audit of a corpus by group: what was decided of the rows of each role or attribute, and how sure that is.

A filter that removes a group is seen by the spread: the difference between the shares of accepted rows of the group
with the most and of that with the fewest. Which condition or check does it, is seen by its own (`hits`). Limitations: a
row counts for the groups of all its speakers, once for each; numbers, such as ages, are groups value by value.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from factory.base.intervals import wilson
from factory.store.corpus import Corpus
from factory.store.table import CorpusError
from factory.views.hits import Reason, compared, counting, reasons_of

LEAST = 10
"""Decided rows that a group has at least that counts for the spread, since smaller ones lie far apart by chance
(ours)."""
_SHOWN = 20
_ATTRIBUTES = "attributes"
_DECISION = pl.col("decision").fill_null("undecided")


def audit(corpus: Corpus, by: Sequence[str]) -> dict[str, Any]:
    """Of each of `by`, "role" or "attributes.NAME", the `spread` (none where fewer than two groups count for it) and
    the `groups`, those with the lowest share of accepted rows first, and what hits them (`hits`); the widest spread
    first. Shares are of the rows of a group, acceptance, hits and their intervals of those that are decided. Raises
    CorpusError for a name that no speaker has, or if there is no corpus."""
    rows = corpus.scan()
    names = _names(rows)
    for name in by:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            meant = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"
            raise CorpusError(f"{corpus.root}: --by {name}: no speaker of this corpus has that; {meant}")
    decided = dict(rows.group_by(_DECISION.alias("decision")).len().collect(engine="streaming").iter_rows())
    total = accepted_of(decided)
    reasons = reasons_of(corpus, rows)
    hit = rows.select(counting(reasons)).collect(engine="streaming").row(0, named=True)
    found = [
        {"by": name, **_groups(rows, name, total), "hits": compared(_hit(rows, name, reasons), hit, reasons, LEAST)}
        for name in dict.fromkeys(by)
    ]
    return {
        "corpus": corpus.root,
        "version": corpus.table.version(),
        "rows": sum(decided.values()),
        "accepted": total[0] / total[1] if total[1] else None,
        "by": sorted(found, key=lambda one: -1 if one["spread"] is None else one["spread"], reverse=True),
    }


def accepted_of(decisions: Mapping[str, int]) -> tuple[int, int]:
    """How many rows are accepted, and how many are decided."""
    return decisions.get("accept", 0), sum(decisions.values()) - decisions.get("undecided", 0)


def against(accepted: int, decided: int, acceptance: float | None, groups: int) -> dict[str, Any]:
    """The interval of a group's share of accepted rows (Wilson, 1927), of 95 % for so many groups together
    (Bonferroni), and whether all of it lies `below` the acceptance of all rows, or `above`."""
    if not decided or acceptance is None:
        return {"accepted_least": None, "accepted_most": None, "below": False, "above": False}
    least, most = wilson(accepted, decided, 1 - 0.05 / groups)
    return {"accepted_least": least, "accepted_most": most, "below": most < acceptance, "above": least > acceptance}


def _names(rows: pl.LazyFrame) -> list[str]:
    """What rows can be grouped by."""
    attribute = pl.col("speakers").explode().struct.field(_ATTRIBUTES).explode()
    names = rows.select(attribute.struct.field("key").unique()).drop_nulls().collect(engine="streaming")["key"]
    return ["role", *(f"{_ATTRIBUTES}.{name}" for name in sorted(names))]


def _hit(rows: pl.LazyFrame, by: str, reasons: Sequence[Reason]) -> list[dict[str, Any]]:
    """The counts of each group."""
    grouped = rows.with_columns(_group_of(by)).explode("group").group_by("group")
    return list(grouped.agg(counting(reasons)).sort("group").collect(engine="streaming").iter_rows(named=True))


def _group_of(by: str) -> pl.Expr:
    """The groups of a row's speakers, each once."""
    field, _, name = by.partition(".")
    value = pl.element().struct.field(field)
    if name:
        of_name = pl.element().struct.field("value").filter(pl.element().struct.field("key") == name)
        value = value.list.eval(of_name).list.first()
    return pl.col("speakers").list.eval(value).list.unique().alias("group")


def _groups(rows: pl.LazyFrame, by: str, total: tuple[int, int]) -> dict[str, Any]:
    counted = (
        rows.select(_DECISION.alias("decision"), _group_of(by))
        .explode("group")
        .group_by("group", "decision")
        .len()
        .collect(engine="streaming")
    )
    decisions: dict[str | None, dict[str, int]] = {}
    for group, decision, count in counted.sort("group", "decision").iter_rows():
        decisions.setdefault(group, {})[decision] = count
    acceptance = total[0] / total[1] if total[1] else None
    groups = [_group(group, own, acceptance, len(decisions)) for group, own in decisions.items()]
    shares = [one["accepted"] for one in groups if one["decided"] >= LEAST]
    return {
        "spread": max(shares) - min(shares) if len(shares) > 1 else None,
        "interval": 1 - 0.05 / max(1, len(groups)),
        "groups": sorted(groups, key=lambda one: 2 if one["accepted"] is None else one["accepted"]),
    }


def _group(group: str | None, decisions: Mapping[str, int], acceptance: float | None, groups: int) -> dict[str, Any]:
    rows = sum(decisions.values())
    accepted, decided = accepted_of(decisions)
    return {
        "group": group,
        "rows": rows,
        "decided": decided,
        "accepted": accepted / decided if decided else None,
        **against(accepted, decided, acceptance, groups),
        "decisions": {name: count / rows for name, count in decisions.items()},
    }


def show_audit(told: Mapping[str, Any], out: Console) -> None:
    """Print it: of each grouping the spread, then its groups, the largest where there are many."""
    share = "no row is decided" if told["accepted"] is None else f"{told['accepted']:.1%} of decided rows are accepted"
    out.print(f"{told['rows']:,} rows; {share}")
    for one in told["by"]:
        spread = (
            f"no two groups have {LEAST} decided rows"
            if one["spread"] is None
            else f"a spread of {100 * one['spread']:.1f} points in acceptance"
        )
        out.print(f"\n[bold]{escape(one['by'])}[/]: {spread}")
        _show_groups(one, out)
        _show_hits(one["hits"], out)


def _show_hits(found: Sequence[Mapping[str, Any]], out: Console) -> None:
    """What hits the groups, and the groups that are hit more or less often than others."""
    if not found:
        return
    table = Table("hit by", "rate", "rows", "spread", "groups apart", box=None, pad_edge=False, header_style="bold")
    for one in found:
        apart = [
            f"{'(none)' if group['group'] is None else group['group']} {group['share']:.1%} "
            f"({group['least']:.1%} to {group['most']:.1%}), {'above' if group['above'] else 'below'} the others"
            for group in one["groups"]
            if group["above"] or group["below"]
        ]
        spread = "" if one["spread"] is None else f"{100 * one['spread']:.1f} points"
        table.add_row(
            escape(one["reason"]), one["rate"], f"{one['rows']:,}", spread, escape("; ".join(apart[:_SHOWN])) or "none"
        )
    out.print(table)


def _show_groups(one: Mapping[str, Any], out: Console) -> None:
    largest = sorted(one["groups"], key=lambda group: -group["rows"])[:_SHOWN]
    named = sorted({name for group in largest for name in group["decisions"]})
    columns = ("group", "rows", "accepted", f"interval of {one['interval']:.1%}", *named, "")
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for group in one["groups"]:
        if group not in largest:
            continue
        known = group["accepted"] is not None
        table.add_row(
            "(none)" if group["group"] is None else escape(group["group"]),
            f"{group['rows']:,}",
            f"{group['accepted']:.1%}" if known else "",
            f"{group['accepted_least']:.1%} to {group['accepted_most']:.1%}" if known else "",
            *(f"{group['decisions'].get(name, 0):.1%}" for name in named),
            "below all rows" if group["below"] else "above all rows" if group["above"] else "",
        )
    out.print(table)
    if len(one["groups"]) > len(largest):
        out.print(f"and {len(one['groups']) - len(largest):,} smaller groups: --json tells them all")
