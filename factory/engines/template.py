"""A model's chat template, used so that the prompt holds what was said, and nothing else.

Templates differ: some refuse a system message, some drop it in silence, and all of them mark turns by texts that a
persona or an answer may hold too. This is found out when the model is opened. Limitations: the template of a server is
not seen, so the server's own handling stands; a mark that the template puts together from parts is not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError

from factory.engines import Message
from factory.engines.reasoning import opens_thought

_KEPT = 65536
"""Texts of messages that are kept without marks."""

_MARK = re.compile(
    r"<\|[^|<>{}\s]{1,40}\|>|<｜[^｜<>{}\s]{1,40}｜>|</?[a-z_]{1,30}>|\[/?[A-Z_]{2,30}\]|<</?[A-Z_]{1,30}>>"
)
"""What the common templates mark turns, tools and thoughts with."""

_PROBE: tuple[Message, ...] = (
    {"role": "system", "content": "Told at the start."},
    {"role": "user", "content": "Asked first."},
    {"role": "assistant", "content": "Answered first."},
    {"role": "user", "content": "Asked last."},
)


class ChatTemplateError(Exception):
    """The template cannot hold a conversation: says what it refuses or leaves out."""


class ChatTemplate:
    """Messages to the text of a prompt, by a tokenizer's template and its own `options`.

    The system message stands before the first message of the user where the template would refuse or drop it, and marks
    of the template within a message are taken apart by a blank. `opens_thought` tells whether the prompt ends within a
    thought. Raises ChatTemplateError for a template that takes no conversation, or leaves out a part of one.
    """

    def __init__(self, tokenizer: Any, options: Mapping[str, Any] | None = None) -> None:
        self._tokenizer, self._options = tokenizer, dict(options or {})
        source = str(tokenizer.chat_template)
        tokens = [token for token in tokenizer.added_tokens_decoder.values() if len(token.content.strip()) > 2]
        marks = {token.content for token in tokens if token.special or token.content in source}
        marks.update(_MARK.findall(source))
        known = re.compile("|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True)) or r"(?!)")
        self._plain = lru_cache(_KEPT)(lambda text: known.sub(_apart, text))
        self._folds = False
        self._folds = not self._holds(_PROBE[:1])
        if lost := [one["role"] for one in _PROBE if not self._holds((one,))]:
            raise ChatTemplateError(f"its chat template leaves out what the {lost[0]} said; give it another template")
        self.opens_thought = opens_thought(self(_PROBE))

    def __call__(self, messages: Sequence[Message], *, answered: bool = False) -> str:
        """The text of the messages, with what opens the answer unless they end with one (`answered`). Raises
        ChatTemplateError where the template refuses them."""
        said = [Message(role=one["role"], content=self._plain(one["content"])) for one in messages]
        try:
            text: str = self._tokenizer.apply_chat_template(
                folded(said) if self._folds else said,
                add_generation_prompt=not answered,
                tokenize=False,
                **self._options,
            )
        except TemplateError as error:
            raise ChatTemplateError(f"its chat template refuses the messages: {error}") from error
        return text

    def _holds(self, wanted: Sequence[Message]) -> bool:
        try:
            text = self(_PROBE)
        except ChatTemplateError:
            if self._folds:
                raise
            return False
        return all(one["content"] in text for one in wanted)


def folded(messages: Sequence[Message]) -> list[Message]:
    """The messages with the system's text before the user's first, as vLLM and Hugging Face advise for templates that
    have no place for it."""
    system, *rest = messages
    if system["role"] != "system" or not rest or rest[0]["role"] != "user":
        return list(messages)
    text = "\n\n".join(filter(None, (system["content"], rest[0]["content"])))
    return [Message(role="user", content=text), *rest[1:]]


def _apart(mark: re.Match[str]) -> str:
    return f"{mark[0][0]} {mark[0][1:]}"
