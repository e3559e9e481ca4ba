"""What a judge may answer: the JSON that it is asked for, and the reading of what it wrote.

Each field of an answer is one of some labels: numbers of a scale, words of a choice, letters of the options shown.
Engines that guide no decoding are asked in the prompt's words, and may answer in words. What is not clearly one of the
labels is no answer. Limitations: words are read where they are one label, a label behind "Answer:", or hold no other
number of the scale.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic_core import from_json

from factory.engines.choices import find

ANSWER, CERTAINTY = "answer", "certainty"
_MARKUP = " \t*_`\"'()[]#"
_LABELLED = re.compile(
    r"\b(?:answer|verdict|choice|rating|score|option)\b[\s*_:=]*(?:is\b)?[\s*_:=]*(.+)", re.IGNORECASE
)
_OF_SCALE = re.compile(r"\s*(?:/|out of|of)\s*\d+")
_NUMBER = re.compile(r"(?<![\d.,-])\d+(?![\d%]|[.,]\d)")
_CERTAIN = re.compile(
    r"certain\w*\W{0,4}(?:is|of|at)?\W{0,4}(\d{1,3})\b\s*%?|\b(\d{1,3})\s*%(?:\s*certain\w*)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Form:
    """What is asked for: the fields, each with one of the labels; whether these are whole numbers; and whether the
    judge is to say how certain it is."""

    labels: tuple[str, ...]
    fields: tuple[str, ...] = (ANSWER,)
    numbers: bool = False
    certain: bool = False

    @property
    def schema(self) -> dict[str, object]:
        """The JSON Schema, for guided decoding."""
        labels = [int(label) for label in self.labels] if self.numbers else list(self.labels)
        properties: dict[str, object] = {name: {"enum": labels} for name in self.fields}
        if self.certain:
            properties[CERTAINTY] = {"type": "integer", "minimum": 1, "maximum": 100}
        return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}

    @property
    def told(self) -> str:
        """The same in words, for the prompt."""
        labels = ", ".join(self.labels if self.numbers else map(json.dumps, self.labels))
        parts = [f'"{name}": one of {labels}' for name in self.fields]
        if self.certain:
            parts.append(f'"{CERTAINTY}": a whole number from 1 to 100, how certain you are of it')
        return f"Answer with JSON: {{{'; '.join(parts)}}}"

    def read(self, text: str) -> tuple[tuple[int, ...] | None, int | None]:
        """The place of each field's label, none unless all can be read; and the certainty, none if it is not told."""
        found = json_in(text)
        certainty = _certainty(found, text) if self.certain else None
        if found is not None:
            places = tuple(
                self._place(str(one)) if isinstance(one, str | int | float) else None for one in self._values(found)
            )
        else:
            rest = _CERTAIN.sub(" ", text) if self.certain else text
            places = tuple(self._in_words(name, rest) for name in self.fields)
        whole = tuple(place for place in places if place is not None)
        return (whole if len(whole) == len(self.fields) else None), certainty

    def _values(self, found: dict[str, object]) -> Iterator[object]:
        """The fields' values; of one field that goes by another name, the only value there is."""
        others = [value for name, value in found.items() if name != CERTAINTY]
        named = {name.strip().casefold(): value for name, value in found.items()}
        for name in self.fields:
            only = others[0] if len(self.fields) == len(others) == 1 else None
            yield named.get(name, only)

    def _place(self, text: str) -> int | None:
        """The label that a text is, whatever its case, punctuation and markup; of a number also what it is out of."""
        bare = text.strip().strip(_MARKUP)
        if self.numbers:
            bare = _OF_SCALE.sub("", bare).removesuffix(".0")
        return find(bare, self.labels)

    def _in_words(self, name: str, text: str) -> int | None:
        if len(self.fields) > 1:
            behind = re.search(rf"\b{name}\b\W{{0,4}}(?:is\b)?\W{{0,4}}(\S+)", text, re.IGNORECASE)
            return self._place(behind[1]) if behind else None
        lines = [line for line in text.splitlines() if line.strip()]
        tried = [text, *lines[:1], *lines[-1:], *(found[1] for found in _LABELLED.finditer(text))]
        places = {place for one in tried if (place := self._place(one)) is not None}
        if not places and self.numbers:
            numbers = _NUMBER.findall(_OF_SCALE.sub(" ", text))
            places = {place for one in numbers if (place := find(one, self.labels)) is not None}
        return places.pop() if len(places) == 1 else None


def json_in(text: str) -> dict[str, object] | None:
    """The JSON object in an answer, in a fence or behind a preface perhaps; none if there is none that is whole."""
    start, end = text.find("{"), text.rfind("}") + 1
    try:
        found = from_json(text[start:end]) if 0 <= start < end else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _certainty(found: dict[str, object] | None, text: str) -> int | None:
    if found is not None:
        said = str(found.get(CERTAINTY, "")).strip().removesuffix("%")
    else:
        said = next((one or other for one, other in _CERTAIN.findall(text)), "")
    return int(said) if said.isdecimal() and 1 <= int(said) <= 100 else None


def letters(count: int) -> Sequence[str]:
    """The names of so many options: A, B and so on."""
    return [chr(ord("A") + place) for place in range(count)]
