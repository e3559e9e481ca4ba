"""Chat messages to token ids, each message's text once, and an answer's ids to its text, once too.

A tokenizer cuts text at its special tokens before anything else, so what lies between two of them is tokenised alike
wherever it stands. In a dialogue all of a prompt but its newest turn has been seen: only that is tokenised.
Limitations: a tokenizer whose special tokens take in the blanks around them, or that marks the start of a text, is
asked for whole prompts. vLLM would decode each token as it comes, which is a twentieth of a small model's time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from factory.engines import Message
from factory.engines.parsers import Split
from factory.engines.reasoning import MARKS, split
from factory.engines.template import ChatTemplate

_PIECES = 65536
"""Pieces of text whose ids are kept."""

_PROBE: tuple[Message, ...] = (
    {"role": "system", "content": "You're Ann, 31. Facts:\n- I'm a nurse.\n- I own 2 cats"},
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "Où vas-tu? \u4f60\u597d! 'Tis 10:30…"},
    {"role": "user", "content": "(laughs)\n\nNo."},
)


class ChatTokenizer:
    """The ids of chat prompts, by a model's own template with these options, and the text of answers, of which `parser`
    tells what was thought, or else `split` does. Raises ChatTemplateError."""

    def __init__(self, tokenizer: Any, options: Mapping[str, Any] | None = None, parser: Split | None = None) -> None:
        self._tokenizer, self._text = tokenizer, ChatTemplate(tokenizer, options)
        self._fast: Any = getattr(tokenizer, "backend_tokenizer", None)
        if self._fast is not None:  # some models' files ask for it, and a prompt would lose its end unseen
            self._fast.no_truncation()
            self._fast.no_padding()
        added = list(tokenizer.added_tokens_decoder.values())
        marks = [token.content for token in added if _cuts(token)]
        self._marks = re.compile("(" + "|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True)) + ")")
        self._parser = parser
        self._shows_marks = parser is not None or any(token.special and token.content in MARKS for token in added)
        self._ids = lru_cache(_PIECES)(self._encode)
        text = self._text(_PROBE)
        self._piecewise = self._fast is not None and bool(marks) and self._in_pieces(text) == self._whole(text)

    def __call__(self, messages: tuple[Message, ...]) -> list[int]:
        """The ids of the messages and of what opens the answer."""
        return self._tokenized(self._text(messages))

    def text(self, messages: tuple[Message, ...]) -> str:
        """The text of the messages and of what opens the answer."""
        return self._text(messages)

    def answer(self, messages: tuple[Message, ...], text: str) -> list[int]:
        """The ids of a text as the answer to the messages."""
        prompt = self._text(messages)
        ids, before = self._tokenized(prompt + text), self._tokenized(prompt)
        return ids[len(before) :] if ids[: len(before)] == before else self._tokenized(text)

    def said(self, ids: Sequence[int], *, guided: bool) -> tuple[str, str | None, int]:
        """The text of an answer, what was thought before it (none if nothing was), and the tokens of that; without
        special tokens, and without a character that was cut off at the end. An answer that a schema `guided` has no
        thought in it, whatever the prompt opened."""
        text = str(self._decode(ids)).rstrip("\ufffd")
        if guided:
            said, thought = text, None
        elif self._parser is not None:
            said, thought = self._parser(text)
        else:
            said, thought = split(text, opened=self._text.opens_thought)
        if self._shows_marks:
            said, thought = self._marks.sub("", said), thought and self._marks.sub("", thought)
        return said, thought, min(len(ids), len(self._whole(thought))) if thought else 0

    def _decode(self, ids: Sequence[int]) -> Any:
        if self._fast is not None:
            return self._fast.decode(ids, skip_special_tokens=not self._shows_marks)
        return self._tokenizer.decode(
            ids, skip_special_tokens=not self._shows_marks, clean_up_tokenization_spaces=False
        )

    def _tokenized(self, text: str) -> list[int]:
        return self._in_pieces(text) if self._piecewise else self._whole(text)

    def _in_pieces(self, text: str) -> list[int]:
        return [token for piece in self._marks.split(text) if piece for token in self._ids(piece)]

    def _encode(self, piece: str) -> list[int]:
        ids: list[int] = self._fast.encode(piece, add_special_tokens=False).ids
        return ids

    def _whole(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids


def _cuts(token: Any) -> bool:
    """Whether text is cut at exactly this token, wherever it stands."""
    return token.special and not (token.lstrip or token.rstrip or token.single_word or token.normalized)
