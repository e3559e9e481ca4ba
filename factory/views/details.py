"""What scores found in parts of a dialogue, in words: of whichever score, by what its method declares.

Limitations: of a method that is not installed here the values have no names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from factory.store.records import Detail, Row
from factory.views.scores import shown


def details(row: Row, methods: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """The details of a row by score and kind: a title, and of each one where it is, its values by their names, and the
    texts that it is about. `methods` are the methods of the scores, by the scores' names."""
    parts: dict[str, list[tuple[str, str, str]]] = {}
    for one in row.details:
        line = where_of(one), values_of(one, methods), " / ".join(texts_of(row, one))
        parts.setdefault(title_of(one), []).append(line)
    yield from parts.items()


def title_of(one: Detail) -> str:
    """The score, and its word for the part."""
    return f"{one.score}: {one.kind.replace('_', ' ')}"


def where_of(one: Detail) -> str:
    """Its place in the dialogue, and which asking it was."""
    parts = {
        "speaker": None if one.speaker is None else "AB"[one.speaker],
        "turn": one.turn,
        "candidate": one.candidate,
        "order": one.order,
        "sample": one.sample,
    }
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)


def values_of(one: Detail, methods: Mapping[str, Any]) -> str:
    """Its values by the names that the method declares."""
    method = methods.get(one.score)
    names = () if method is None else method.details.get(one.kind, ())
    return ", ".join(
        f"{name} {shown(value)}".strip()
        for name, value in zip_longest(names[: len(one.values)], one.values, fillvalue="")
    )


def texts_of(row: Row, one: Detail) -> Iterator[str]:
    """What it is about: a fact, or an earlier turn; then a second fact, the turn or a candidate for it; the answer."""
    of_fact = one.speaker is not None and one.fact is not None
    if one.speaker is not None and one.fact is not None:
        yield from _facts(row, one.speaker, one.origin)[one.fact : one.fact + 1]
    if one.other is not None and not of_fact:
        yield row.turns[one.other].text
    if one.speaker is not None and one.other is not None and of_fact:
        yield from _read_off(row, one.speaker)[one.other : one.other + 1]
    elif one.turn is not None and one.candidate is not None:
        yield row.turns[one.turn].candidates[one.candidate].text
    elif one.turn is not None:
        yield row.turns[one.turn].text
    if one.answer is not None:
        yield one.answer


def _facts(row: Row, speaker: int, origin: str | None) -> list[str]:
    return [fact.text for fact in row.speakers[speaker].facts if fact.origin == origin]


def _read_off(row: Row, speaker: int) -> list[str]:
    return [fact.text for fact in row.speakers[speaker].facts if fact.turn is not None]
