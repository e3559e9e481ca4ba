"""What rows were made by: recipes, which a corpus keeps under their ids, and the templates in them.

Gives up: nothing stands in for a corpus's `_recipes/`; without them its rows can be read, not explained.
"""

from __future__ import annotations

from typing import Any

from factory.corpus import Corpus
from factory.job import Recipe
from factory.prompts import bundled
from factory.records import Row
from factory.table import CorpusError


def kept(corpus: Corpus, recipe_id: str) -> tuple[Recipe, dict[str, str]]:
    """What a recipe's id stands for, and the versions of the packages it was first followed with. Raises CorpusError if
    it is gone."""
    content: dict[str, Any] | None = corpus.recipe(recipe_id)
    if content is None:
        raise CorpusError(f"{corpus.root}: recipe {recipe_id} is missing from _recipes; was the folder moved?")
    made_with = content.pop("made_with")
    return Recipe.model_validate(content), made_with


class Templates:
    """The templates of a corpus's turns."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._known: dict[str, str] = {}

    def of(self, row: Row) -> str:
        """The template by which generation asks for a row's turns: that of its recipe, or the factory's own where a
        script or people wrote it. Raises CorpusError if the recipe is gone."""
        recipe = next((record.recipe for record in row.stages if record.stage == "converse"), None)
        if recipe is None:
            return bundled("converse")
        if recipe not in self._known:
            found, _ = kept(self._corpus, recipe)
            own = found.prompt if found.params.get("mode") == "turns" else None
            self._known[recipe] = own or bundled("converse")
        return self._known[recipe]
