"""What a plan will cost and what a corpus has cost, as tables and lines for the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from factory.planning.estimate import Estimate
from factory.views.cells import Column, count


def duration(seconds: float) -> str:
    """A time to read, in hours, minutes or seconds."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _cached(took: Mapping[str, Any]) -> str:
    return f"{took['cached_tokens'] / took['prompt_tokens']:.0%}" if took["prompt_tokens"] else ""


def _under_way(took: Mapping[str, Any]) -> str:
    return "" if took["under_way_s"] is None else duration(took["under_way_s"])


STAGES = (
    Column("stage", lambda took: str(took["stage"])),
    count("rows", "rows"),
    count("calls", "calls"),
    count("prompt tokens", "prompt_tokens"),
    Column("cached", _cached, numeric=True),
    count("completion tokens", "completion_tokens"),
    Column("time", _under_way, numeric=True),
)
"""Columns of what `by_stage` gives."""


def by_stage(cost: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each stage, the dead letters and all of them took, one item each, from `factory.planning.cost`."""
    took = dict(cost["stages"])
    if cost["dead_letters"]["rows"]:
        took["dead letters"] = cost["dead_letters"] | {"under_way_s": None}
    took["all"] = cost["total"] | {"rows": None}
    return [{"stage": stage} | one for stage, one in took.items()]


def estimated(estimate: Estimate) -> Iterator[str]:
    """Calls, tokens and time of a plan, and what they are estimated from."""
    least, most = estimate.least_calls, estimate.most_calls
    calls = ", ".join(
        f"{stage} {least[stage]:,}" + (f" to {most[stage]:,}" if most[stage] > least[stage] else "")
        for stage in estimate.calls
    )
    about = "about " if most != least else ""
    yield f"{about}{estimate.calls.total():,} model calls" + (f" ({calls})" if calls else "")
    if estimate.completion_tokens:
        cached = f" ({estimate.cached_tokens:,} of them from the cache)" if estimate.cached_tokens else ""
        yield f"about {estimate.prompt_tokens:,} prompt{cached} and {estimate.completion_tokens:,} completion tokens"
    if estimate.seconds:
        yield f"about {duration(estimate.seconds)} at the pace of this corpus, once the models are open"
    stages: dict[str, list[str]] = defaultdict(list)
    for stage, basis in estimate.basis.items():
        stages[basis].append(stage)
    yield from (f"estimated from {basis} ({', '.join(named)})" for basis, named in stages.items())


def spent(cost: dict[str, Any]) -> Iterator[Table | str]:
    """The costs of a corpus: by stage and of dead letters, for each accepted dialogue, and of what was flagged or
    rejected."""
    table = _table(*(column.title for column in STAGES))
    for took in by_stage(cost):
        table.add_row(*(column.cell(took) for column in STAGES))
    yield table
    if (each := cost["per_accepted"]) is not None:
        yield (
            f"each accepted dialogue took {each['prompt_tokens']:,.0f} computed prompt tokens and "
            f"{each['completion_tokens']:,.0f} completion tokens"
        )
    if cost["reasons"]:
        yield ""
        yield _refused(cost)
    if cost["gates"]:
        yield ""
        table, without = _table("extraction gate", "lines", "tokens"), cost["turns_without_a_line"]
        for gate, lines in cost["gates"].items():
            table.add_row(gate, f"{lines['lines']:,}", f"{lines['tokens']:,}")
        table.add_row(f"{without['turns']:,} turns without a line", "", f"{without['tokens']:,}")
        yield table
    if (again := cost["attempts_again"])["attempts"]:
        yield f"attempts at turns thrown away: {again['attempts']:,}, of about {again['tokens']:,} tokens"


def failed(failures: Iterable[dict[str, Any]]) -> Table:
    """Dead letters by stage and reason, and what went into them (`factory.store.failures`)."""
    table = _table("stage", "reason", "letters", "calls", "prompt tokens", "completion tokens")
    for one in failures:
        counts = ("calls", "prompt_tokens", "completion_tokens") if one["kind"] == "row" else ()
        table.add_row(escape(one["stage"]), escape(one["reason"]), *(f"{one[name]:,}" for name in ("count", *counts)))
    return table


def _refused(cost: dict[str, Any]) -> Table:
    """Rows by decision and reason; those with several are under each, and once under `all`."""
    table = _table("decision", "reason", "rows", "tokens", "only reason", "tokens")
    for decision in ("reject", "flag"):
        reasons = [reason for reason in cost["reasons"] if reason["decision"] == decision]
        for one in reasons:
            counts = (f"{one[name]:,}" for name in ("rows", "tokens", "rows_alone", "tokens_alone"))
            table.add_row(decision, escape(one["reason"]), *counts)
        if len(reasons) > 1:
            every = cost["decisions"][decision]
            table.add_row(decision, "all, each row once", f"{every['rows']:,}", f"{every['tokens']:,}")
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        words = column in {"stage", "decision", "reason", "extraction gate"}
        table.add_column(column, justify="left" if words else "right", no_wrap=words)
    return table
