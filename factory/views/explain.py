"""A row explained: from its seeds, through each stage as it was configured and the prompts as they were sent, to its
decision.

Prompts are not stored: a stage's recipe holds the template it used, and the row holds what went into it, so they are
rendered again. Limitations: of a stage's repeated calls (retries, second helpings of facts) only the first is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from factory.base.places import in_shell
from factory.engines import Message
from factory.methods.makers.converse import Converse
from factory.methods.makers.expand import Expand
from factory.methods.makers.extract import Extract
from factory.spec.job import STAGE_CLASSES, Recipe, Stages
from factory.store.corpus import Corpus
from factory.store.recipes import kept
from factory.store.records import ROWS, Row
from factory.store.table import CorpusError


def find_row(corpus: Corpus, prefix: str) -> Row:
    """The row whose id starts with `prefix`. Raises CorpusError if there is none, or more than one."""
    found = list(corpus.rows(prefix))
    if not found:
        raise CorpusError(f"{corpus.root}: no row {prefix}; list rows with: factory show {in_shell(corpus.root)}")
    if len(found) > 1:
        raise CorpusError(f"{corpus.root}: {len(found)} rows begin with {prefix}; give more digits")
    return found[0]


def explain(corpus: Corpus, row: Row) -> dict[str, Any]:
    """Everything about a row, as JSON values: the row as stored, and per stage its recipe and its prompts."""
    stages = []
    for record in row.stages:
        recipe, made_with = kept(corpus, record.recipe)
        try:
            sent, note = list(sent_prompts(recipe, row)), None
        except ValidationError as error:
            sent, note = (
                [],
                f"this version cannot render its prompts: {error.errors()[0]['msg']}; use that of made_with",
            )
        stages.append(
            {
                "stage": record.stage,
                "recipe": recipe.model_dump(mode="json"),
                "made_with": made_with,
                "prompts": [{"for": purpose, "messages": list(messages)} for purpose, messages in sent],
                "note": note,
            }
        )
    stored = ROWS.dump_python([row], mode="json")[0]
    return {"row": stored, "stages": stages}


def sent_prompts(recipe: Recipe, row: Row) -> Iterator[tuple[str, tuple[Message, ...]]]:
    """What each call of a stage was for, and the messages that were sent."""
    if recipe.prompt is None:
        return
    params = getattr(Stages.model_validate({recipe.stage: recipe.params | {"prompt": recipe.prompt}}), recipe.stage)
    stage = STAGE_CLASSES[recipe.stage](params)
    if isinstance(stage, Expand):
        for number, speaker in enumerate(row.speakers):
            yield f"speaker {number}", stage.messages(speaker.facts_of("seed"), stage.params.count)
    elif isinstance(stage, Converse) and stage.params.mode == "script":
        yield "dialogue", stage.script_messages(row)
    elif isinstance(stage, Converse):
        for number, turn in enumerate(row.turns):
            if turn.attempts:
                yield f"turn {number}", stage.messages(row, number)
    elif isinstance(stage, Extract):
        for number, turn in enumerate(row.turns):
            yield f"turn {number}", stage.messages(turn.text)
