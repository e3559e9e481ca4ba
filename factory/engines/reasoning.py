"""What a model thinks, kept apart from what it says.

Models think within tags (`<think>`, as DeepSeek R1 and Qwen3 do, Mistral's `[THINK]`) or in channels (gpt-oss). Some
templates open the tag in the prompt, so that an answer has only its end. Limitations: a model that thinks in other
forms needs a server that splits them off; where a server opens the tag itself and cuts the thought off, that is taken
for the answer.
"""

from __future__ import annotations

import re

_NAME = r"(?:think|thinking|thought|reasoning)"
_OPEN = re.compile(rf"<{_NAME}>|\[THINK\]|◁think▷", re.IGNORECASE)
_CLOSE = re.compile(rf"</{_NAME}>|\[/THINK\]|◁/think▷", re.IGNORECASE)
_THOUGHT = re.compile(rf"(?:{_OPEN.pattern})(.*?)(?:{_CLOSE.pattern}|\Z)", re.IGNORECASE | re.DOTALL)
_CHANNEL = re.compile(
    r"<\|channel\|>\s*(\w+)[^<]*<\|message\|>(.*?)(?=<\|(?:end|return|start|channel|call)\|>|\Z)", re.DOTALL
)
MARKS = frozenset({"<think>", "[THINK]", "<|channel|>"})
"""Tokens that begin a thought. Where a tokenizer has one as a special token, decoding must not leave those out."""


def split(text: str, *, opened: bool = False) -> tuple[str, str | None]:
    """What is said, and what was thought (none if nothing was). `opened` says that the prompt ends within a thought. A
    thought that never ends leaves nothing said.

    >>> split("<think>She sails.</think>\\n\\nDo you sail?")
    ('Do you sail?', 'She sails.')
    >>> split("She sails.</think>Do you sail?"), split("She sails.", opened=True)
    (('Do you sail?', 'She sails.'), ('', 'She sails.'))
    >>> split("Do you sail?")
    ('Do you sail?', None)
    """
    if channels := _CHANNEL.findall(text):
        thoughts = [part for name, part in channels if name != "final"]
        said = "".join(part for name, part in channels if name == "final")
    else:
        first, end = _OPEN.search(text), _CLOSE.search(text)
        if opened or (end and (first is None or end.start() < first.start())):
            text = f"<think>{text}"
        thoughts, said = _THOUGHT.findall(text), _THOUGHT.sub("", text)
    if not thoughts:
        return said, None
    return said.strip(), "\n".join(filter(None, (thought.strip() for thought in thoughts)))


def opens_thought(prompt: str) -> bool:
    """Whether a prompt ends within a thought."""
    return bool(re.search(rf"(?:{_OPEN.pattern})\s*\Z", prompt, re.IGNORECASE))
