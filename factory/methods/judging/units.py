"""What of a row a question is asked about: its units, each with what a prompt is told of it.

Speakers are A and B. Of a unit with options to pick from, each option has its place in the row. Limitations: a turn is
judged by what was said before it, not by what follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from factory.methods.judging.questions import MOST_OPTIONS, Question
from factory.store.records import Row, Turn

SAID, OTHER = "said", "other"


@dataclass(frozen=True, slots=True)
class Unit:
    """One part of a row: the names that its prompt is told, and the options to pick from. `said` is the place of the
    option that was said, `candidates` the place of each option among the turn's candidates, if they are such."""

    shown: dict[str, str | None]
    options: tuple[str, ...] = ()
    speaker: int | None = None
    turn: int | None = None
    said: int = 0
    candidates: tuple[int, ...] = field(default=())


def units(row: Row, question: Question) -> list[Unit]:
    """The units of a row, none where it lacks what is asked about, or all facts that are to be shown."""
    of_persona = question.of == "persona"
    facts = {side: one.facts_of("seed", "expand") for side, one in enumerate(row.speakers)}
    if (question.facts or of_persona) and not any(facts.values()):
        return []
    if of_persona:
        return [
            Unit(_shown(question, side, known=told_of(side, own)), speaker=side) for side, own in facts.items() if own
        ]
    if not row.turns:
        return []
    known = "\n\n".join(told_of(side, own) for side, own in facts.items()) if question.facts else None
    if question.of == "dialogue":
        said = talk(row.turns)
        if question.answer != "traits":
            return [Unit(_shown(question, None, known=known, dialogue=said))]
        return [
            Unit(_shown(question, side, known=known, dialogue=said), speaker=side)
            for side in facts
            if _speaks(row, side)
        ]
    return list(_of_turns(row, question, known))


def _of_turns(row: Row, question: Question, known: str | None) -> Iterator[Unit]:
    for number, turn in enumerate(row.turns):
        said: dict[str, str | None] = {"known": known, "before": talk(row.turns[:number])}
        if question.of == "turn":
            yield Unit(_shown(question, turn.speaker, turn=turn.text, **said), speaker=turn.speaker, turn=number)
            continue
        places, chosen = _candidates(turn) if question.of == "candidates" else _pair(turn)
        if len(places) > 1:
            shown = _shown(question, turn.speaker, **said)
            yield Unit(shown, tuple(places.values()), turn.speaker, number, chosen, tuple(places))


def _candidates(turn: Turn) -> tuple[dict[int, str], int]:
    """The candidates of a turn by their places, each text once, the one that was said among them; and which it is."""
    found: dict[str, int] = {}
    for place, one in enumerate(turn.candidates):
        if one.chosen or one.text not in found:
            found[one.text] = place
    kept = sorted(found.values(), key=lambda place: (not turn.candidates[place].chosen, place))[:MOST_OPTIONS]
    places = {place: turn.candidates[place].text for place in sorted(kept)}
    return places, next((number for number, place in enumerate(places) if turn.candidates[place].chosen), 0)


def _pair(turn: Turn) -> tuple[dict[int, str], int]:
    """The text that was said and another one for it: what it was before it was edited, or the first other candidate."""
    if turn.edits and turn.edits[0].before != turn.text:
        return {-1: turn.text, -2: turn.edits[0].before}, 0
    places, said = _candidates(turn)
    own = list(places)[said : said + 1]
    return {place: places[place] for place in [*own, *(place for place in places if place not in own)][:2]}, 0


def _shown(question: Question, speaker: int | None, **told: str | None) -> dict[str, str | None]:
    names: dict[str, str | None] = dict.fromkeys(("known", "dialogue", "before", "turn"))
    return names | {"of": question.of, "speaker": None if speaker is None else "AB"[speaker]} | told


def told_of(side: int, facts: Sequence[str]) -> str:
    """What is known of a speaker. How many facts that are is told, too: a judge is unsure of personas with few (arXiv
    2406.11657)."""
    head = f"Of {'AB'[side]}, {len(facts)} {'fact is' if len(facts) == 1 else 'facts are'} known"
    return "\n".join([f"{head}{':' if facts else '.'}", *(f"- {fact}" for fact in facts)])


def talk(turns: Sequence[Turn]) -> str:
    """What was said, a line a turn."""
    return "\n".join(f"{'AB'[turn.speaker]}: {turn.text}" for turn in turns)


def _speaks(row: Row, side: int) -> bool:
    return any(turn.speaker == side for turn in row.turns)
