"""A row explained: from its seeds, through each stage as it was configured and the prompts as they were sent, to its
decision.

Prompts are not stored: a stage's recipe holds the template it used, and the row holds what went into it, so they are
rendered again. Limitations: of a stage's repeated calls (retries, second helpings of facts) only the first is shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import ValidationError

from factory.base.places import in_shell
from factory.engines import Message
from factory.methods.registry import found
from factory.planning.recipes import kept
from factory.spec.identity import Recipe
from factory.store.corpus import Corpus
from factory.store.records import ROWS, Row
from factory.store.table import CorpusError
from factory.views.sent import Sent


def find_row(corpus: Corpus, prefix: str) -> Row:
    """The row whose id starts with `prefix`. Raises CorpusError if there is none, or more than one."""
    found = list(corpus.rows(prefix))
    if not found:
        raise CorpusError(f"{corpus.root}: no row {prefix}; list rows with: factory show {in_shell(corpus.root)}")
    if len(found) > 1:
        raise CorpusError(f"{corpus.root}: {len(found)} rows begin with {prefix}; give more digits")
    return found[0]


def explain(corpus: Corpus, row: Row, *, tokens: bool = False) -> dict[str, Any]:
    """Everything about a row, as JSON values: the row as stored, and per stage its recipe and its prompts; with
    `tokens` each as the model's chat template makes it, too (`text` and `ids`)."""
    stages = list[dict[str, Any]]()
    opened = cache(lambda model: Sent(json.loads(model)))  # calls of one model share its tokenizer
    for record in row.stages:
        recipe, made_with = kept(corpus, record.recipe)
        try:
            sent, note = list(sent_prompts(recipe, row)), None
        except ValidationError as error:
            sent, note = (
                [],
                f"this version cannot render its prompts: {error.errors()[0]['msg']}; use that of made_with",
            )
        model = opened(json.dumps(recipe.models["language"])) if tokens and sent else None
        prompts = [
            {"for": purpose, "messages": list(messages), **(model(messages) if model else {})}
            for purpose, messages in sent
        ]
        stages.append(
            {
                "stage": record.stage,
                "recipe": recipe.model_dump(mode="json"),
                "made_with": made_with,
                "prompts": prompts,
                "note": model.missing if model else note,
            }
        )
    stored = ROWS.dump_python([row], mode="json")[0]
    return {"row": stored, "stages": stages}


def sent_prompts(recipe: Recipe, row: Row) -> Iterator[tuple[str, tuple[Message, ...]]]:
    """What each call of an entry was for, and the messages that were sent. Nothing of a method that is not here."""
    kind = found("makers").get(recipe.method) or found("scores").get(recipe.method)
    if recipe.prompt is not None and kind is not None:
        params = kind.Params.model_validate(recipe.params | {"method": recipe.method, "prompt": recipe.prompt})
        yield from kind(params).prompts(row)
