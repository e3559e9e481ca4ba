"""What rows were made by: recipes, which a corpus keeps under their ids.

Limitations: nothing stands in for a corpus's `_recipes/`; without them its rows can be read, not explained.
"""

from __future__ import annotations

from typing import Any

from factory.spec.identity import Recipe
from factory.store.corpus import Corpus
from factory.store.table import CorpusError


def kept(corpus: Corpus, recipe_id: str) -> tuple[Recipe, dict[str, str]]:
    """What a recipe's id stands for, and the versions of the packages it was first followed with. Raises CorpusError if
    it is gone."""
    content: dict[str, Any] | None = corpus.recipe(recipe_id)
    if content is None:
        raise CorpusError(f"{corpus.root}: recipe {recipe_id} is missing from _recipes; was the folder moved?")
    made_with = content.pop("made_with")
    return Recipe.model_validate(content), made_with
