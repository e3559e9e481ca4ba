"""A whole dialogue as one JSON answer: the schema that guides the model, and the reading of what it wrote.

The schema fixes the form and the number of turns; that the speakers alternate, and that no turn is broken, is checked
when the answer is read. Where a server guides no model by schemas, the JSON may stand in a fence or behind a preface,
be the list of turns alone, and have its speakers as texts. Limitations: of several JSON values the first is read.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ValidationError

from factory.engines import Completion
from factory.methods.makers.broken import excerpt, read
from factory.store.records import RowError

_SPEAKER = re.compile(r"(?:speaker\s*)?([12])", re.IGNORECASE)


def _number(speaker: object) -> object:
    found = _SPEAKER.fullmatch(speaker.strip()) if isinstance(speaker, str) else None
    return int(found[1]) if found else speaker


class _Line(BaseModel):
    speaker: Annotated[Literal[1, 2], BeforeValidator(_number)]
    text: str


class _Script(BaseModel):
    turns: list[_Line]


def script_schema(min_turns: int, max_turns: int) -> dict[str, object]:
    """JSON Schema of a script, for guided decoding."""
    line = {
        "type": "object",
        "properties": {"speaker": {"enum": [1, 2]}, "text": {"type": "string"}},
        "required": ["speaker", "text"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"turns": {"type": "array", "items": line, "minItems": min_turns, "maxItems": max_turns}},
        "required": ["turns"],
        "additionalProperties": False,
    }


def read_script(answer: str, opening: str | None, min_turns: int, max_turns: int) -> list[str]:
    """The texts of a script's turns; a fixed opening takes the place of the first. Raises RowError: `script_format` for
    an answer that is no script of alternating speakers, `turn_*` for a broken turn in it."""
    try:
        found = _json_in(answer)
        lines = _Script.model_validate({"turns": found} if isinstance(found, list) else found).turns
    except json.JSONDecodeError as error:
        raise RowError("script_format", f"{error.msg}: {excerpt(answer)}") from error
    except ValidationError as error:
        raise RowError("script_format", f"{error.errors()[0]['msg']}: {excerpt(answer)}") from error
    if not min_turns <= len(lines) <= max_turns:
        raise RowError("script_format", f"{len(lines)} turns, not {min_turns} to {max_turns}")
    texts: list[str] = []
    for number, line in enumerate(lines):
        if line.speaker != number % 2 + 1:
            raise RowError("script_format", f"turn {number}: speaker {line.speaker} speaks out of turn")
        text = line.text if number or opening is None else opening
        said = read(Completion(text, 0, "stop"), texts)
        if said.fault is not None:
            raise RowError(said.fault, f"turn {number}: {excerpt(said.text)}")
        texts.append(said.text)
    return texts


def _json_in(answer: str) -> object:
    """The first JSON object or list in an answer. Raises JSONDecodeError."""
    start = min((place for sign in "{[" if (place := answer.find(sign)) >= 0), default=0)
    found: object = json.JSONDecoder().raw_decode(answer, start)[0]
    return found
