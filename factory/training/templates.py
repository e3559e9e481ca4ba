"""The templates by which the turns of a corpus's rows were asked for, as their recipes have them.

Limitations: turns of a maker other than `converse` count as written by people.
"""

from __future__ import annotations

from typing import cast

from factory.methods.makers.converse import Converse
from factory.methods.prompts import bundled
from factory.planning.recipes import kept
from factory.spec.identity import Recipe
from factory.store.corpus import Corpus
from factory.store.records import Row


class Templates:
    """How the turns of a corpus's rows were asked for."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._known: dict[str, Recipe] = {}

    def of(self, row: Row) -> str:
        """The template by which generation asks for a row's turns: that of its recipe, or the factory's own where a
        script or people wrote it. Raises CorpusError if the recipe is gone."""
        recipe = self._turn_by_turn(row)
        return (recipe and recipe.prompt) or bundled("converse")

    def ended(self, row: Row) -> bool:
        """Whether a speaker ended the row's dialogue, by [END]: it has fewer turns than it could have. Raises
        CorpusError if the recipe is gone."""
        recipe = self._turn_by_turn(row)
        return recipe is not None and len(row.turns) < cast(int, recipe.params["turns"])

    def _turn_by_turn(self, row: Row) -> Recipe | None:
        """The recipe of the row's dialogue, if it was held turn by turn."""
        name = next((record.recipe for record in row.stages if record.stage == Converse.name), None)
        if name is None:
            return None
        if name not in self._known:
            self._known[name], _ = kept(self._corpus, name)
        return self._known[name] if self._known[name].params.get("mode") == "turns" else None
