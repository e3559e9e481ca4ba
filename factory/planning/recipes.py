"""What rows were made by: recipes, which a corpus keeps under their ids.

Limitations: nothing stands in for a corpus's `_recipes/`; without them its rows can be read, not explained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from pydantic import ValidationError

from factory.methods.registry import found
from factory.spec.identity import Recipe
from factory.store.corpus import Corpus
from factory.store.records import Row, score_columns
from factory.store.table import CorpusError

Models = Mapping[str, Mapping[str, Any]]
"""What identifies models, by their kinds."""


def kept(corpus: Corpus, recipe_id: str) -> tuple[Recipe, dict[str, str]]:
    """What a recipe's id stands for, and the versions of the packages it was first followed with. Raises CorpusError if
    it is gone."""
    content: dict[str, Any] | None = corpus.recipe(recipe_id)
    if content is None:
        raise CorpusError(f"{corpus.root}: recipe {recipe_id} is missing from _recipes; was the folder moved?")
    made_with = content.pop("made_with")
    return Recipe.model_validate(content), made_with


def method_of(name: str, params: Mapping[str, Any] | None) -> Any:
    """The method of a recipe, made from its parameters; with its defaults where they are lost or of another version.
    None of a method that is not installed here, or that has no defaults."""
    kind = found("makers").get(name) or found("scores").get(name)
    if kind is None:
        return None
    for given in (params or {}, {}):
        with suppress(ValidationError):
            return kind(kind.Params.model_validate({**given, "method": name}))
    return None


def models_asked(corpus: Corpus) -> Callable[[Row, str], Models]:
    """Tells the models that an entry (by its name) asked about a row; none where its recipe is lost."""

    @cache
    def of_recipe(recipe_id: str) -> Models:
        content: dict[str, Any] = corpus.recipe(recipe_id) or {"models": {}}
        models: Models = content["models"]
        return models

    def asked(row: Row, stage: str) -> Models:
        return next((of_recipe(record.recipe) for record in row.stages if record.stage == stage), {})

    return asked


def scores_of(corpus: Corpus, methods: Iterable[str]) -> dict[str, str]:
    """The names of the scores that rows have of these methods, by method: of several the one that is called like the
    method, or else the first."""
    recipes = [corpus.recipe(recipe_id) for recipe_id in corpus.recipes()]
    made = {(content["stage"], content["method"]) for content in recipes if content is not None}
    scores = score_columns(corpus.table.layout)
    of = {method: [name for name in scores if name == method or (name, method) in made] for method in methods}
    return {method: method if method in names else min(names) for method, names in of.items() if names}
