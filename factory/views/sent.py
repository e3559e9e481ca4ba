"""Prompts as a model gets them: the messages by its own chat template, and their token ids.

Limitations: the model's tokenizer must be on this machine, in a folder, a package or the cache; a server may have
another template; nothing of a repository's own code is run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from factory.base.packages import needing
from factory.engines import Message
from factory.engines.chat import ChatTokenizer
from factory.engines.template import ChatTemplateError
from factory.models import resolve


class Sent:
    """What a model of a recipe is sent. `missing` says why that cannot be told."""

    def __init__(self, model: Mapping[str, Any]) -> None:
        self._chat: ChatTokenizer | None = None
        self.missing: str | None = None
        name = model["name"]
        try:
            with needing("factory explain --tokens"):
                from transformers import AutoTokenizer
            path = resolve(name)
            # Of a folder the recipe has a hash of its files for a revision.
            revision = None if os.path.isdir(path) else model["revision"]
            tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, local_files_only=True)
            self._chat = ChatTokenizer(tokenizer, model.get("chat_template_kwargs"))
        except ChatTemplateError as error:
            self.missing = f"{name}: {error}"
        except (OSError, ValueError, ImportError) as error:
            why = (str(error) or type(error).__name__).splitlines()[0]
            self.missing = f"the tokenizer of {name} cannot be opened here ({why})"

    def __call__(self, messages: Sequence[Message]) -> dict[str, Any]:
        """The `ids` of the messages, and the `text` that they stand for; nothing if the model is missing."""
        if self._chat is None:
            return {}
        return {"text": self._chat.text(tuple(messages)), "ids": self._chat(tuple(messages))}
