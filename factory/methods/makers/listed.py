"""Facts as a JSON answer, {"facts": ["...", ...]}: the schema that guides the model, and the reading of what it wrote.

Where a server guides no model by schemas, the JSON may stand in a fence or behind a preface, or be the list alone; an
answer without JSON is read line by line. Limitations: of several JSON values the first is read.
"""

from __future__ import annotations

import re
from functools import cache

from pydantic_core import from_json

from factory.engines import Completion

FIRST_PERSON = ("I ", "I'", "I’", "My ", "We ", "We'", "We’", "Our ")
"""What a statement in the first person begins with."""

_REST = r'[^"\\\n?!.]{2,120}\.'
_BULLET = re.compile(r"^(?:[-*•]|\d+[.)])\s+")
_NONE = re.compile(r"\W*none\W*", re.IGNORECASE)


def any_text(begins: tuple[str, ...]) -> str:
    """The pattern of a short statement that begins with one of these, for guided decoding."""
    return f"^({_either(begins)}){_REST}$"


@cache
def beginning(begins: tuple[str, ...]) -> re.Pattern[str]:
    """What matches a text that begins with one of these, in upper or lower case, and has a word behind it."""
    return re.compile(rf"(?:{_either(begins)}).*\w", re.IGNORECASE)


def _either(texts: tuple[str, ...]) -> str:
    return "|".join(re.sub(r"([^\w\s'’])", r"\\\1", text) for text in texts)


def facts_schema(pattern: str, least: int, most: int) -> dict[str, object]:
    """JSON Schema of `least` to `most` facts, each of the pattern, for guided decoding."""
    facts = {"type": "array", "items": {"type": "string", "pattern": pattern}, "minItems": least, "maxItems": most}
    return {"type": "object", "properties": {"facts": facts}, "required": ["facts"], "additionalProperties": False}


def facts_in(completion: Completion, bulleted: bool = False) -> list[tuple[str, bool]]:
    """The facts of an answer, each with whether it is whole: the token limit may have cut off the last one. Without
    JSON, `bulleted` has only lines behind a bullet or a number count."""
    start = min((place for sign in "{[" if (place := completion.text.find(sign)) >= 0), default=None)
    listed = None if start is None else _listed(completion.text[start:])
    if listed is not None:
        return listed
    lines = [line.strip() for line in completion.text.splitlines()]
    cut = len(lines) - 1 if completion.finish_reason == "length" else len(lines)
    facts = [
        (_BULLET.sub("", line), place < cut) for place, line in enumerate(lines) if _BULLET.match(line) or not bulleted
    ]
    return [(fact, whole) for fact, whole in facts if fact and not _NONE.fullmatch(fact)]


def _listed(text: str) -> list[tuple[str, bool]] | None:
    """The texts of a JSON value at the start of a text; none if it is no list of facts."""
    end = max(text.rfind("}"), text.rfind("]")) + 1
    for candidate in (text[:end], text):
        try:
            whole = _texts(from_json(candidate, allow_partial=True))
            begun = _texts(from_json(candidate, allow_partial="trailing-strings"))
        except ValueError:
            continue
        if whole is not None and begun is not None:
            return [(fact.strip(), place < len(whole)) for place, fact in enumerate(begun) if fact.strip()]
    return None


def _texts(value: object) -> list[str] | None:
    # An object with other names holds no facts, and its lines are shown as what they are.
    listed = value.get("facts", None if value else []) if isinstance(value, dict) else value
    return listed if isinstance(listed, list) and all(isinstance(one, str) for one in listed) else None
