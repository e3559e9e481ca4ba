"""What a dataset card says of a corpus: where its rows come from, by which recipes, with which models and licences."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from pathlib import PurePath
from typing import Any

import polars as pl

from factory.base.places import absolute
from factory.methods.prompts import is_bundled
from factory.methods.registry import found
from factory.models import BUNDLED, licence_of, short
from factory.planning.recipes import kept, method_of
from factory.spec.identity import Recipe
from factory.spec.job import SELECT
from factory.spec.select import Conditions
from factory.store import versions as history
from factory.store.corpus import Corpus
from factory.store.records import Speaker
from factory.views.pairs import pair_scores

_MOST_SOURCES = 20


def card_facts(corpus: Corpus, counts: dict[str, Any]) -> dict[str, Any]:
    """The counts of `status`, and what else the text is made of: rows by kind, facts by origin, seeds by file, recipes,
    packages, models, an accepted row, and what of them limits the corpus. Raises CorpusError for a lost recipe."""
    rows = corpus.scan()
    stages = rows.select("stages").explode("stages").drop_nulls().unnest("stages")
    recipes = [(rows, kept(corpus, name)) for name, rows in _counted(stages, "recipe")]
    order = _order(rows)
    recipes.sort(key=lambda made: (order.index(made[1][0].stage), -made[0]))
    sources = rows.select("seeds").explode("seeds").drop_nulls().unnest("seeds")
    speakers = rows.select("speakers").explode("speakers").drop_nulls().unnest("speakers")
    facts = speakers.select("seed_id", "facts").explode("facts").drop_nulls("facts").unnest("facts")
    borrowed = facts.filter(pl.col("source_id") != pl.col("seed_id"))
    by_source = sources.group_by("source").agg(pl.col("id").n_unique().alias("seeds")).sort("source").collect()
    models = _models([recipe for _, (recipe, _) in recipes])
    methods = {recipe.stage: method_of(recipe.method, recipe.params) for _, (recipe, _) in reversed(recipes)}
    makers = {stage: one for stage, one in methods.items() if hasattr(one, "writes")}
    example = next((row for row in corpus.rows() if row.decision == "accept"), None)
    return counts | {
        "name": PurePath(absolute(corpus.root)).name,
        "date": _date(corpus, counts["version"]),
        "kinds": dict(_counted(rows, "kind")),
        "origins": dict(_counted(facts, "origin")),
        "borrowed": [origin for origin, _ in _counted(borrowed, "origin")],
        "sources": list(by_source.head(_MOST_SOURCES).iter_rows()),
        "more_sources": max(0, len(by_source) - _MOST_SOURCES),
        "seeds": int(by_source["seeds"].sum()),
        "extracted": any("extracted" in maker.writes for maker in makers.values()),
        "methods": methods,
        "checked": checked(methods),
        "means": [
            (score, name, mean)
            for score, told in counts["scores"].items()
            for name, mean in told["means"].items()
            if mean is not None
        ],
        "of_nli": pair_scores(methods),
        "writers": _writers(models, makers),
        "made": [_made(recipe, rows) for rows, (recipe, _) in recipes],
        "mixed": len({recipe.stage for _, (recipe, _) in recipes}) < len({recipe.id for _, (recipe, _) in recipes}),
        "packages": {name: held for _, (_, packages) in recipes for name, held in packages.items()},
        "models": models,
        "scripted": any(model["name"] == "scripted" for model in models),
        "small": sorted({model["name"] for model in models} & (BUNDLED - {"minilm"})),
        "shared_nli": any(_makes_and_scores(model["stages"], makers) for model in models if model["role"] == "nli"),
        "script": any(recipe.params.get("mode") == "script" for _, (recipe, _) in recipes),
        "example": example,
        "told": [_told(speaker) for speaker in example.speakers] if example else [],
    }


def checked(methods: Mapping[str, Any]) -> dict[str, list[str]]:
    """The columns that check for something, by what it is; `methods` are those of the entries that rows passed."""
    told: dict[str, list[str]] = {}
    for score, one in sorted(methods.items()):
        for column in getattr(one, "columns", ()):
            if column.category is not None:
                told.setdefault(column.category, []).append(f"{score}.{column.name}")
    return dict(sorted(told.items()))


def _date(corpus: Corpus, version: int | None) -> date | None:
    """When a version was committed, in UTC."""
    versions = [] if version is None else history.log(corpus)
    return next((one.time.date() for one in versions if one.version == version), None)


def _told(speaker: Speaker) -> str:
    """The speaker's own facts that were there before it spoke."""
    return " ".join(fact.text for fact in speaker.facts if fact.turn is None and fact.source_id == speaker.seed_id)


def _writers(models: list[dict[str, Any]], makers: Collection[str]) -> list[str]:
    """The language models that makers asked, by the makers' entries."""
    language = [model for model in models if model["role"] == "language" and model["name"] != "scripted"]
    return sorted({model["name"] for model in language if any(stage in makers for stage in model["stages"])})


def _order(rows: pl.LazyFrame) -> list[str]:
    """The entries in the order that rows went through them, those of the longest ways first."""
    names = pl.col("stages").list.eval(pl.element().struct.field("stage")).alias("names")
    ways = rows.select(names).unique().collect(engine="streaming")["names"].to_list()
    return list(dict.fromkeys(name for way in sorted(ways, key=lambda way: (-len(way), way)) for name in way))


def _makes_and_scores(stages: list[str], makers: Collection[str]) -> bool:
    """Whether a model that these entries asked both chose what makers wrote and measured it."""
    return any(stage in makers for stage in stages) and any(stage not in makers for stage in stages)


def _counted(frame: pl.LazyFrame, column: str) -> Iterator[tuple[str, int]]:
    counted = frame.group_by(column).len().drop_nulls().sort("len", column, descending=[True, False])
    yield from counted.collect(engine="streaming").iter_rows()


def _made(recipe: Recipe, rows: int) -> dict[str, Any]:
    """A stage's recipe, with its models' names and the parameters that are not the stage's defaults."""
    kind = found("makers").get(recipe.method) or found("scores").get(recipe.method)
    params: Any = Conditions if recipe.method == SELECT else kind and kind.Params
    defaults = params().model_dump(mode="json") if params else {}
    moved = [f"{name}: {value}" for name, value in _moved(recipe.params, defaults)]
    if recipe.prompt is not None and not is_bundled(recipe.prompt):
        moved.append("a prompt of its own")
    models = [short(str(model["name"])) for model in recipe.models.values()]
    return {"recipe": recipe, "rows": rows, "moved": moved, "models": models}


def _moved(params: dict[str, Any], defaults: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in params.items():
        default = defaults.get(name)
        if isinstance(value, dict) and isinstance(default, dict):
            yield from ((f"{name}.{inner}", held) for inner, held in _moved(value, default))
        elif value != default:
            yield name, value


def _models(recipes: list[Recipe]) -> list[dict[str, Any]]:
    """The models and their adapters, each once a role, with the stages that asked it."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for recipe in recipes:
        models: dict[str, dict[str, Any]] = dict(recipe.models)
        adapters = {f"{role} adapter": model["adapter"] for role, model in models.items() if "adapter" in model}
        for role, model in (models | adapters).items():
            found.setdefault((role, str(model["name"]), str(model.get("revision", ""))), []).append(recipe.stage)
    return [
        {
            "role": role,
            "name": short(name),
            "revision": revision,
            "stages": list(dict.fromkeys(stages)),
            "licence": None if name == "scripted" else licence_of(name, revision),
        }
        for (role, name, revision), stages in found.items()
    ]
