"""All figures of the report, as one dict of JSON values.

polars counts them in a stream, over one version of the corpus; texts are compared within a sample that is the same each
time. Limitations: dead letters are read at their newest version, which can be newer than the rows' while a run goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl
from pydantic_core import to_jsonable_python

from factory.methods.registry import found
from factory.models import short
from factory.spec.job import SELECT
from factory.spec.select import BANDS, Conditions
from factory.store.corpus import Corpus
from factory.store.versions import log
from factory.views.measures import Measure, measures, methods_of
from factory.views.pairs import bands, pair_scores
from factory.views.report.changes import changes
from factory.views.report.distributions import distributions
from factory.views.report.diversity import diversity
from factory.views.report.frames import DECISION, TEXTS, sides
from factory.views.report.groups import groups
from factory.views.report.quantities import quantities
from factory.views.scores import quantiles
from factory.views.status import counts

PARTS = 5
"""How many times `report` is called."""


def figures(
    corpus: Corpus, *, since: int | None = None, report: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """The figures of the newest version, which is compared with `since` (by default the version that the last run
    started from). `report` is called with the number of PARTS done. Raises CorpusError, ScorerStartError.

    - `about`: `corpus`, `version`, `time`, `rows`, `imported`, `personas`, `seeds`, `turns`, `words`, `tokens`
      (`prompt`, `cached`, `completion`), `stages`, `models` (name with revision: how many stage records name it),
      `shared_nli` (NLI models that makers asked, with the scores that ask them, too),
      `made_with` (packages), `thresholds` (by column of a score: `band`, `sign`, `at`), `versions` (newest first, 50
      at most: `version`, `time`, `rows`, `message`, `run`)
    - `funnel`: `seeds` (`used`, `unreadable`, `reasons`), `rows` (`wanted`, `failed`, `made`), `decisions` (rows by
      decision), `reasons` (as `factory.planning.cost`), `gates` (extracted lines and tokens by gate),
      `turns_without_a_line`, `candidates` (`sampled`, `said`), `attempts_again`
    - `failures`: dead letters by stage and reason; see `factory.store.failures`
    - `scores`: see `factory.views.scores.quantiles`
    - `distributions`, `diversity`, `groups`, `changes`: see the functions of these names
    - `cost`: see `factory.planning.cost`

    What a corpus does not have is an empty dict or list, None, or a sentence under `left_out`.
    """
    rows = corpus.scan()
    status, methods = counts(corpus, rows), methods_of(corpus, rows)
    total, version = status["rows"], status["version"]
    values, declared = quantiles(rows, corpus.table.layout), measures(corpus.table.layout, methods)
    recipes = _recipes(corpus, rows)
    policy = next((Conditions.model_validate(one["params"]) for one in recipes if one["stage"] == SELECT), Conditions())
    about = _about(corpus, rows, status, recipes) | {"thresholds": _thresholds(policy, declared)}
    report(1)
    pairs = pair_scores(methods)
    spread = distributions(rows, quantities(pairs, declared, values))
    report(2)
    diverse = diversity(rows, total)
    report(3)
    grouped = groups(corpus, rows, declared, {score: bands(policy, score)[0] for score in pairs})
    report(4)
    changed = {"left_out": "There are no rows yet."} if version is None else changes(corpus, version, since)
    report(5)
    return {
        "about": about,
        "funnel": _funnel(corpus, rows, status),
        "failures": status["failures"],
        "scores": values,
        "distributions": spread,
        "diversity": diverse,
        "groups": grouped,
        "changes": changed,
        "cost": status["cost"],
    }


def _about(
    corpus: Corpus, rows: pl.LazyFrame, status: dict[str, Any], recipes: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    spoken = TEXTS.list.eval(pl.element().str.count_matches(r"\S+").cast(pl.Int64)).list.sum()
    totals = rows.select(imported=(pl.col("kind") == "imported").sum(), words=spoken.sum()).collect(engine="streaming")
    personas = sides(rows, "kind").select(pl.col("persona").n_unique()).collect(engine="streaming").item()
    total = status["cost"]["total"]
    return {
        "corpus": corpus.root,
        "version": status["version"],
        "time": (versions := _versions(corpus)) and versions[0]["time"],
        "rows": status["rows"],
        **totals.to_dicts()[0],
        "personas": personas,
        "seeds": _seeds(rows),
        "turns": status["turns"],
        "tokens": {name: total[f"{name}_tokens"] for name in ("prompt", "cached", "completion")},
        "stages": list(status["cost"]["stages"]),
        "models": status["models"],
        "shared_nli": _shared_nli(recipes),
        "made_with": recipes[0]["made_with"] if recipes else {},
        "versions": versions,
    }


def _thresholds(policy: Conditions, declared: Sequence[Measure]) -> dict[str, list[dict[str, Any]]]:
    """The numbers with which conditions that hold nothing else compare a column, by the columns that have any."""
    found = {
        one.name: [
            {"band": band, "sign": sign, "at": at} for band in BANDS for sign, at in policy.thresholds(band, one.name)
        ]
        for one in declared
    }
    return {name: thresholds for name, thresholds in found.items() if thresholds}


def _versions(corpus: Corpus) -> list[dict[str, Any]]:
    if corpus.table.version() is None:
        return []
    told: list[dict[str, Any]] = to_jsonable_python(log(corpus)[:50])
    return told


def _recipes(corpus: Corpus, rows: pl.LazyFrame) -> list[dict[str, Any]]:
    """The recipes of the rows, as far as the corpus still has them; those of most rows first."""
    recipe = pl.element().struct.field("recipe")
    counted = rows.select(recipe=pl.col("stages").list.eval(recipe)).explode("recipe").drop_nulls()
    ids = counted.group_by("recipe").len().sort("len", "recipe", descending=True).collect(engine="streaming")["recipe"]
    return [content for content in map(corpus.recipe, ids) if content is not None]


def _shared_nli(recipes: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """The NLI models that chose what makers wrote, with the scores that are theirs, too."""
    makers, scores = found("makers"), found("scores")
    chose = {_nli(one) for one in recipes if one["method"] in makers}
    told: dict[str, list[str]] = {}
    for one in recipes:
        if one["method"] in scores and (model := _nli(one)) is not None and model in chose:
            told[model] = sorted({*told.get(model, []), one["stage"]})
    return told


def _nli(recipe: dict[str, Any]) -> str | None:
    model = recipe["models"].get("nli")
    return model and short(str(model["name"]))


def _seeds(rows: pl.LazyFrame) -> int:
    ids = rows.select(seed=pl.col("seeds").list.eval(pl.element().struct.field("id"))).explode("seed")
    return int(ids.select(pl.col("seed").drop_nulls().n_unique()).collect(engine="streaming").item())


def _funnel(corpus: Corpus, rows: pl.LazyFrame, status: dict[str, Any]) -> dict[str, Any]:
    decisions = rows.group_by(DECISION.alias("decision")).len().collect(engine="streaming")
    chosen = pl.col("turns").list.eval(pl.element().struct.field("candidates").list.len().cast(pl.Int64)).list.sum()
    said = pl.col("turns").list.eval((pl.element().struct.field("candidates").list.len() > 0).cast(pl.Int64)).list.sum()
    generated = rows.filter(pl.col("kind") == "generated")  # of an imported row they came with its file
    sampled = generated.select(sampled=chosen.sum(), said=said.sum()).collect(engine="streaming")
    failed = sum(status["dead_letters"].values())
    cost = status["cost"]
    return {
        "seeds": {
            "used": _seeds(rows) + _failed_seeds(corpus, rows),
            "unreadable": sum(status["bad_seeds"].values()),
            "reasons": status["bad_seeds"],
        },
        "rows": {"wanted": status["rows"] + failed, "failed": failed, "made": status["rows"]},
        "decisions": dict(sorted(decisions.iter_rows())),
        "reasons": cost["reasons"],
        "gates": cost["gates"] or {gate: {"lines": lines} for gate, lines in status["gates"].items()},
        "turns_without_a_line": cost["turns_without_a_line"],
        "candidates": sampled.to_dicts()[0],
        "attempts_again": cost["attempts_again"],
    }


def _failed_seeds(corpus: Corpus, rows: pl.LazyFrame) -> int:
    """Seeds that no row has, but a dead letter does."""
    failed = corpus.scan_dead_letters(of="rows").select(seed="seed_ids").explode("seed").unique()
    ids = rows.select(seed=pl.col("seeds").list.eval(pl.element().struct.field("id"))).explode("seed")
    lacking = failed.join(ids, on="seed", how="anti")
    return int(lacking.select(pl.len()).collect(engine="streaming").item())
