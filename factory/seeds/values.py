"""Values of a file's rows as seeds hold them: what counts as missing, text in one form, all else as JSON."""

from __future__ import annotations

import math
import re
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from factory.seeds.files import BadRow

MAX_ID = 200
"""Characters of an id or a name."""
MAX_FACT, MAX_FACTS = 1_000, 200
"""Characters of a fact, facts of a persona."""
MAX_TURN, MAX_TURNS = 5_000, 1_000
"""Characters of a turn, turns of a dialogue."""
MISSING = frozenset({"", "nan", "NaN", "None", "null", "NULL", "NA", "<NA>", "NaT"})
"""What a cell of a CSV file holds where there is no value."""

_MAX_EXACT = 1 << 53
"""Above it, floats leave out whole numbers."""
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")


def missing(value: Any) -> bool:
    """Whether a value stands for none."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def text_of(value: Any, limit: int, what: str) -> str:
    """A string without control characters, each run of white space as one space. Raises BadRow if it is none or has
    more than `limit` characters."""
    if not isinstance(value, str):
        raise BadRow("wrong_type", f"{what} should be a string, not {type(value).__name__}")
    text = " ".join(_CONTROL.sub("", value).split())
    if len(text) > limit:
        raise BadRow("too_long", f"{what} has {len(text):,} characters; {limit:,} are allowed")
    return text


def id_of(value: Any, what: str) -> str:
    """An id: a string or a whole number. Raises BadRow."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_EXACT:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise BadRow("wrong_type", f"{what} should be a string or a whole number, not {str(value)[:40]}")
    return text_of(value, MAX_ID, what)


def written(value: Any) -> str:
    """A string without control characters, and anything else as JSON writes it. Raises BadRow for what JSON cannot say,
    or if the value is itself one that could not be read."""
    if isinstance(value, BadRow):
        raise value
    if isinstance(value, str):
        return _CONTROL.sub("", value)
    try:
        text = to_json(value, inf_nan_mode="constants", bytes_mode="base64").decode()
    except (PydanticSerializationError, ValueError) as error:
        raise BadRow("wrong_type", f"cannot be written as JSON: {type(value).__name__}") from error
    return str(from_json(text)) if text.startswith('"') else text  # dates and the like
