"""Whether the model behind a score is fit: its tests over rows of a corpus and labelled pairs, as a table.

Limitations: a test that finds nothing to fail on is no proof; see the limits in the documentation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from factory.methods.judging.fitness.running import Fitness, Opinion
from factory.methods.judging.fitness.trials import Finding, Pair
from factory.running.asked import opened, opinion_of
from factory.spec.identity import Entry
from factory.spec.job import Job
from factory.store.records import Decision, Row
from factory.store.table import CorpusError
from factory.views.slots import Held, is_there, sample

ROWS = 50
"""Rows that are drawn unless told otherwise."""


def judge_test(
    job: Job,
    corpus: str | None = None,
    *,
    score: str | None = None,
    rows: int = ROWS,
    seed: int = 0,
    pairs: Path | None = None,
) -> dict[str, Any]:
    """The `score` and its `model`, the `corpus` and its `version`, how many `rows` and `pairs`; `trials`, and how many
    of them are `unanswered`; `refused`, what was said of requests without an answer; and `tests`, each with `name`,
    `failure`, `source`, how many were `tried` and `failed`, the `share` and its interval from `least` to `most`, the
    `limit`, `fit` (none if it cannot be told, then `why`) and further `figures`; `fit` of all. Without a corpus named,
    the job's is taken, if it is there or no pairs are given. Raises CorpusError and RunError."""
    entry = opinion_of(job, score)
    labelled = read_pairs(pairs) if pairs is not None else []
    pairs_alone = corpus is None and bool(labelled) and not is_there(job.corpus)
    held = None if pairs_alone else Held(corpus or job.corpus, get_args(Decision))
    drawn = held.rows(sample(held.slots, rows, seed)) if held is not None else []
    if not drawn and not labelled:
        raise CorpusError(f"{corpus or job.corpus}: holds no rows to test with; run the job, or give --pairs")
    found = asyncio.run(_tested(job, entry, drawn, labelled))
    tests = [_told(one) for one in found.tests]
    return {
        "score": entry.name,
        "model": next(iter(entry.models.values())),
        "corpus": held.place if held is not None else None,
        "version": held.version if held is not None else None,
        "rows": len(drawn),
        "pairs": len(labelled),
        "trials": found.trials,
        "unanswered": found.unanswered,
        "refused": {"requests": len(found.refused), "first": next(iter(found.refused), None)},
        "fit": False if any(one.fit is False for one in found.tests) else _all_known(found.tests),
        "tests": tests,
    }


def read_pairs(file: Path) -> list[Pair]:
    """Labelled pairs of a file of JSON Lines. Raises CorpusError, naming the line."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{file}: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(Pair.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise CorpusError(
                f"{file}, line {number}: {f'{where}: ' if where else ''}{first['msg']}; a pair has better, worse, and "
                "perhaps fact and before"
            ) from error
    if not found:
        raise CorpusError(f"{file}: holds no pairs")
    return found


async def _tested(job: Job, entry: Entry, rows: Sequence[Row], pairs: Sequence[Pair]) -> Fitness:
    async with opened(job, entry) as kit:
        return await cast(Opinion, entry.method).fitness(rows, pairs, kit)


def _all_known(tests: Sequence[Finding]) -> bool | None:
    """Whether all that were tried are passed; none where one is open, or none was tried."""
    told = [one.fit for one in tests if one.tried]
    return True if told and all(told) else None


def _told(one: Finding) -> dict[str, Any]:
    least, most = one.interval or (None, None)
    return {
        "name": one.name,
        "fit": one.fit,
        "failure": one.failure,
        "tried": one.tried,
        "failed": one.failed,
        "share": one.failed / one.tried if one.tried else None,
        "least": least,
        "most": most,
        "limit": one.limit,
        "figures": one.figures,
        "why": None if one.fit is not None else "the interval holds the limit" if one.tried else one.why,
        "source": one.source,
    }


def show_tests(told: Mapping[str, Any], out: Console) -> None:
    """Print it: a line a test."""
    where = f"{told['rows']:,} rows of {told['corpus']}, version {told['version']}" if told["corpus"] else "no rows"
    out.print(f"{told['score']}, model {told['model']}: {where}; {told['pairs']:,} labelled pairs", markup=False)
    open_ = f", {told['unanswered']:,} without an answer" if told["unanswered"] else ""
    out.print(f"{told['trials']:,} trials{open_}")
    if told["refused"]["requests"]:
        out.print(
            f"{told['refused']['requests']:,} requests were refused, such as: {told['refused']['first']}", markup=False
        )
    table = Table("test", "", "failed", "95 %", "limit", "figures", "paper", box=None, pad_edge=False)
    for one in told["tests"]:
        figures = "; ".join(f"{name} {value:.3f}" for name, value in one["figures"].items())
        table.add_row(
            one["name"],
            {True: "fit", False: "unfit", None: "open"}[one["fit"]],
            f"{one['failed']:,} of {one['tried']:,}" if one["tried"] else "",
            f"{one['least']:.2f} to {one['most']:.2f}" if one["tried"] else "",
            f"{one['limit']:.2f}",
            escape(figures),
            one["source"],
        )
    out.print(table)
    for one in told["tests"]:
        if one["fit"] is False:
            out.print(f"unfit by {one['name']}: {one['failure']}", markup=False)
        elif one["why"]:
            out.print(f"open: {one['name']}: {one['why']}", markup=False)
