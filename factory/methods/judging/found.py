"""What a question's column holds: the verdicts on all its units brought together, and the details they came from.

Of several units (turns, personas) the worst counts, as one bad turn spoils a dialogue; of picks the share counts in
which the text that was said is preferred. A unit on which the judge abstains is left out, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from factory.methods import Column
from factory.methods.judging.agreement import Answer, Verdict
from factory.methods.judging.asking import Judged
from factory.methods.judging.questions import TRAITS, Choice, Question, Scale
from factory.store.records import Detail, Row, Value

ANSWERED, NOT_ASKED, INPUT_MISSING, NOT_ASSIGNED = "answered", "not_asked", "input_missing", "not_assigned"
_SIDES = "ab"
_HIGH, _LOW, _MIDDLE = "high", "low", 3.0
_PLURAL = {"turn": "turns", "persona": "personas", "pair": "pairs", "candidates": "turns"}


def columns_of(question: Question) -> Iterator[Column]:
    """The columns of one question."""
    name, of = question.name, _PLURAL.get(question.of)
    over = f", the worst of the {of}" if of else ""
    if isinstance(question.answer, Scale):
        low, high = question.answer.scale
        yield Column(name, "double", f"Answer of the judge on its scale{over}.", low, high, "higher")
    elif isinstance(question.answer, Choice):
        yield Column(name, "string", f"Answer of the judge{over}: {', '.join(question.answer.choice)}.")
    elif question.answer == "pick":
        yield Column(name, "double", "Share of the judged turns whose text, as it was said, is picked.", 0, 1, "higher")
    else:
        told = "Share of the traits among the speakers' attributes that the judge finds as high or as low."
        yield Column(name, "double", told, 0, 1, "higher")
        for side in _SIDES:
            for trait in TRAITS:
                told = f"{trait.capitalize()} of speaker {side.upper()}, by the judge."
                yield Column(f"{name}_{side}_{trait}", "double", told, 1, 5)
    yield Column(f"{name}_agreement", "double", "Share of its answers that are the most frequent one.", 0, 1, "higher")
    if of or question.answer == "traits":
        yield Column(f"{name}_abstained", "int", "Verdicts that it leaves open.", 0, None, "lower")
    yield Column(
        f"{name}_outcome",
        "string",
        "answered, or why there is no answer: unreadable, uncertain, order or disagreement of the judge; not_asked, "
        "input_missing, or not_assigned where no attribute is one of the traits.",
    )


def values_of(question: Question, judged: Sequence[Judged], row: Row) -> dict[str, Value | None]:
    """The values of one question's columns, by their names."""
    name = question.name
    if not judged:
        return {f"{name}_outcome": INPUT_MISSING}
    verdicts = [verdict for one in judged for verdict in one.verdicts]
    settled = [one.value for one in verdicts if one.value is not None]
    agreement = sum(one.agreement for one in verdicts) / len(verdicts)
    found: dict[str, Value | None] = {f"{name}_agreement": agreement}
    if question.of != "dialogue" or question.answer == "traits":
        found[f"{name}_abstained"] = len(verdicts) - len(settled)
    if not settled:
        return found | {f"{name}_outcome": _commonest(verdicts)}
    found[f"{name}_outcome"] = ANSWERED
    if question.answer == "traits":
        return found | _traits(question, judged, row)
    if question.answer == "pick":
        said = [one.verdicts[0].value == one.unit.said for one in judged if one.verdicts[0].value is not None]
        return found | {name: sum(said) / len(said)}
    if isinstance(question.answer, Choice):
        return found | {name: question.answer.choice[int(max(settled))]}
    return found | {name: float(min(settled))}


def _traits(question: Question, judged: Sequence[Judged], row: Row) -> dict[str, Value | None]:
    found: dict[str, Value | None] = {}
    compared: list[tuple[Verdict, int]] = []
    for one in judged:
        side = one.unit.speaker or 0
        wanted = assigned(row.speakers[side].attributes)
        for trait, verdict in zip(TRAITS, one.verdicts, strict=True):
            found[f"{question.name}_{_SIDES[side]}_{trait}"] = verdict.value
            compared += [(verdict, wanted[trait])] if trait in wanted else []
    alike = [(verdict.value - _MIDDLE) * sign > 0 for verdict, sign in compared if verdict.value is not None]
    if alike:
        return found | {question.name: sum(alike) / len(alike)}
    open_ = _commonest([verdict for verdict, _ in compared]) if compared else NOT_ASSIGNED
    return found | {f"{question.name}_outcome": open_}


def _commonest(verdicts: Sequence[Verdict]) -> str:
    """The reason that most verdicts are open for."""
    reasons = Counter(one.reason for one in verdicts if one.reason is not None)
    return str(max(reasons, key=lambda reason: reasons[reason]))


def assigned(attributes: Mapping[str, str]) -> dict[str, int]:
    """The traits among attributes that are high (1) or low (-1), by those words or as a number from 1 to 5."""
    found = {}
    for name, text in attributes.items():
        trait, level = name.strip().casefold(), text.strip().casefold()
        if trait in TRAITS and level in (_HIGH, _LOW):
            found[trait] = 1 if level == _HIGH else -1
        elif trait in TRAITS and level in ("1", "2", "4", "5"):
            found[trait] = 1 if int(level) > _MIDDLE else -1
    return found


def kinds_of(question: Question) -> dict[str, tuple[str, ...]]:
    """The kinds of its details: answers, and verdicts where there are several; and their values."""
    values = TRAITS if question.answer == "traits" else ("answer",)
    kinds = {question.name: (*values, "certainty")}
    if question.of != "dialogue" or question.answer == "traits":
        shares = tuple(f"{trait}_agreement" for trait in TRAITS) if question.answer == "traits" else ("agreement",)
        kinds[f"{question.name}_verdict"] = (*values, *shares)
    return kinds


def details_of(score: str, question: Question, judged: Sequence[Judged]) -> Iterator[Detail]:
    """Each answer as it was written, and each verdict with the reason it is open. The number of a choice or a pick is
    the place of the option, from 0; of a pair 0 is the text that was said. `candidate` is the one that was picked."""
    for one in judged:
        unit, kind = one.unit, f"{question.name}_verdict"
        for answers in zip(*one.answers, strict=True):
            first = answers[0]
            certainty = None if first.certainty is None else float(first.certainty)
            yield Detail(
                score, question.name, [*map(_number, answers), certainty], unit.speaker, unit.turn,
                candidate=_picked(one, first.value), answer=first.raw, order=first.order, sample=first.sample,
            )  # fmt: skip
        if kind in kinds_of(question):
            values = [verdict.value for verdict in one.verdicts]
            yield Detail(
                score, kind, [*values, *(verdict.agreement for verdict in one.verdicts)], unit.speaker, unit.turn,
                candidate=_picked(one, one.verdicts[0].value), answer=_reasons(one.verdicts),
            )  # fmt: skip


def _number(answer: Answer) -> float | None:
    return None if answer.value is None else float(answer.value)


def _picked(one: Judged, value: float | None) -> int | None:
    """The candidate that was picked; none that is no candidate, as the text before an edit."""
    place = None if value is None or not one.unit.candidates else one.unit.candidates[int(value)]
    return place if place is not None and place >= 0 else None


def _reasons(verdicts: Sequence[Verdict]) -> str | None:
    return ", ".join(dict.fromkeys(one.reason for one in verdicts if one.reason is not None)) or None
