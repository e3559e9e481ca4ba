"""What scores found in parts of a dialogue, in words: of whichever score, by what its method declares.

Limitations: of a method that is not installed here the values have no names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest

from factory.methods.registry import found
from factory.store.records import Detail, Row
from factory.views.scores import shown

_Line = tuple[str, str, str]


def details(row: Row, methods: Mapping[str, str]) -> Iterator[tuple[str, list[_Line]]]:
    """The details of a row by score and kind: a title, and of each one where it is, its values by their names, and the
    texts that it is about. `methods` are the methods of the scores, by the scores' names."""
    parts: dict[tuple[str, str], list[Detail]] = {}
    for one in row.details:
        parts.setdefault((one.score, one.kind), []).append(one)
    for (score, kind), alike in parts.items():
        method = found("scores").get(methods.get(score, score))
        names = () if method is None else method.details.get(kind, ())
        lines = [(_where(one), _values(one, names), " / ".join(_texts(row, one))) for one in alike]
        yield f"{score}: {kind.replace('_', ' ')}", lines


def _where(one: Detail) -> str:
    parts = {
        "speaker": None if one.speaker is None else "AB"[one.speaker],
        "turn": one.turn,
        "candidate": one.candidate,
        "order": one.order,
        "sample": one.sample,
    }
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)


def _values(one: Detail, names: tuple[str, ...]) -> str:
    return ", ".join(
        f"{name} {shown(value)}".strip()
        for name, value in zip_longest(names[: len(one.values)], one.values, fillvalue="")
    )


def _texts(row: Row, one: Detail) -> Iterator[str]:
    """What it is about: a fact, or an earlier turn; then a second fact, the turn or a candidate for it; the answer."""
    of_fact = one.speaker is not None and one.fact is not None
    if one.speaker is not None and one.fact is not None:
        yield from _fact(row, one.speaker, one.origin, one.fact)
    if one.other is not None and not of_fact:
        yield row.turns[one.other].text
    if one.speaker is not None and one.other is not None and of_fact:
        yield from _fact(row, one.speaker, "extract", one.other)
    elif one.turn is not None and one.candidate is not None:
        yield row.turns[one.turn].candidates[one.candidate].text
    elif one.turn is not None:
        yield row.turns[one.turn].text
    if one.answer is not None:
        yield one.answer


def _fact(row: Row, speaker: int, origin: str | None, place: int) -> Iterator[str]:
    facts = [fact.text for fact in row.speakers[speaker].facts if fact.origin == origin]
    yield from facts[place : place + 1]
