"""The rows of an export, split by split, and what their prompts are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from factory.corpus import Corpus
from factory.engines import Message
from factory.export.splits import Splits
from factory.job import Recipe
from factory.prompts import bundled
from factory.records import Decision, Origin, Row
from factory.stages.converse import side_of
from factory.table import CorpusError


@dataclass
class Source:
    """A corpus at one version. `facts` are the origins of facts that prompts hold; `left_out` counts, by reason, what
    is not exported; `report` is told how many rows are read."""

    corpus: Corpus
    version: int
    splits: Splits
    decisions: Sequence[Decision]
    facts: Sequence[Origin] | None
    report: Callable[[str, int], None]
    left_out: Counter[str] = field(default_factory=Counter)
    _templates: dict[str, str] = field(default_factory=dict)

    def rows(self) -> Iterator[tuple[str, Row]]:
        """The rows so decided, each with its split. Memory holds one shard."""
        for number, row in enumerate(self.corpus.rows(version=self.version), 1):
            self.report("rows read", number)
            if row.decision not in self.decisions:
                self.left_out[f"rows decided {row.decision}"] += 1
                continue
            split = self.splits.take(row)
            if split is None:
                self.left_out["rows whose personas are on different sides of the split"] += 1
                continue
            yield split, row

    def facts_of(self, row: Row, speaker: int) -> list[str]:
        """What a speaker's prompt holds: the facts of the origins asked for; unless any are, those it was given and
        those that `expand` added, and for a speaker that was given none those that were read off its turns, with
        their distractors (PPDS, arXiv 2412.09034, pre-trains on these)."""
        held = row.speakers[speaker]
        given: Sequence[Origin] = ("seed", "expand") if held.facts_of("seed") else ("extract", "augment")
        return list(dict.fromkeys(held.facts_of(*(given if self.facts is None else self.facts))))

    def prompt(self, row: Row, number: int, facts: Sequence[str]) -> tuple[Message, ...]:
        """The prompt of a turn, as generation sends it."""
        return side_of(self.template(row), row, number, facts)

    def template(self, row: Row) -> str:
        """The template of a row's turns: that of its recipe, or the factory's own where a script or people wrote it.
        Raises CorpusError if the recipe is gone."""
        recipe = next((record.recipe for record in row.stages if record.stage == "converse"), None)
        if recipe is None:
            return bundled("converse")
        if recipe not in self._templates:
            self._templates[recipe] = self._own_template(recipe) or bundled("converse")
        return self._templates[recipe]

    def _own_template(self, recipe: str) -> str | None:
        found = self.recipe(recipe)
        return found.prompt if found.params.get("mode") == "turns" else None

    def recipe(self, recipe_id: str) -> Recipe:
        """What a recipe's id stands for. Raises CorpusError if it is gone."""
        content = self.corpus.recipe(recipe_id)
        if content is None:
            raise CorpusError(f"{self.corpus.root}: recipe {recipe_id} is missing from _recipes; was the folder moved?")
        del content["made_with"]
        return Recipe.model_validate(content)

    def leave_out(self, why: str, count: int = 1) -> None:
        """Count something that is not exported."""
        self.left_out[why] += count
