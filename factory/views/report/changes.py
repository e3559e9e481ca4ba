"""How the corpus differs from an earlier version: which rows, why, and what that did to its key figures."""

from __future__ import annotations

from typing import Any

import polars as pl

from factory.planning.diff import diff
from factory.store.corpus import Corpus
from factory.store.table import CorpusError
from factory.store.versions import Version, log
from factory.views.measures import DECISIONS, measures, methods_of


def changes(corpus: Corpus, newest: int, since: int | None) -> dict[str, Any]:
    """`since` and `until` (versions), `changes` (what, why, rows), `moved` (decisions before and after, rows), and the
    key figures `before` and `after`, of which `means` are those of the scores' columns. Without `since`, the version is
    the one that the last run started from; `left_out` says why there is none. Raises CorpusError if there is no such
    version or its files are gone."""
    versions = [one for one in log(corpus) if one.version <= newest]
    base = since if since is not None else found_by_last_run(versions)
    if base is None:
        return {"left_out": "All versions were made by one run; there is no earlier one to compare with."}
    try:
        found, before = diff(corpus, base, newest), _key_figures(corpus, base)
    except CorpusError:
        if since is not None:
            raise
        gone = f"The files of version {base}, from which the last run started, are gone (factory gc or forget)."
        return {"left_out": gone}
    counted = found.group_by("what", "why").len("rows").sort("rows", "what", "why", descending=[True, False, False])
    moved = found.drop_nulls(["before", "after"]).filter(pl.col("before") != pl.col("after"))
    return {
        "since": base,
        "until": newest,
        "time": next(one.time.isoformat() for one in versions if one.version == base),
        "rows": len(found),
        "changes": counted.to_dicts(),
        "moved": moved.group_by("before", "after").len("rows").sort("rows", "before", descending=True).to_dicts(),
        "before": before,
        "after": _key_figures(corpus, newest),
    }


def found_by_last_run(versions: list[Version]) -> int | None:
    """The newest of these versions (newest first) that the run which made the first one did not make. A version whose
    log does not name a run counts as a run of its own."""
    run = versions[0].run
    return next((one.version for one in versions[1:] if run is None or one.run != run), None)


def _key_figures(corpus: Corpus, version: int) -> dict[str, Any]:
    shards = corpus.table.shards_at(version)
    if not shards:
        return {"rows": 0}
    decided = pl.col("decision")
    rows = corpus.table.frame(shards)
    declared = measures(corpus.table.layout, methods_of(corpus, rows))
    counted = rows.select(
        pl.len().alias("rows"),
        pl.col("turns").list.len().cast(pl.Int64).sum(),
        *((decided == name).mean().alias(name) for name in DECISIONS if name != "undecided"),
        *(one.value.mean().alias(one.name) for one in declared),
    )
    told = counted.collect(engine="streaming").row(0, named=True)
    means = {one.name: told.pop(one.name) for one in declared}
    return told | {"means": means}
