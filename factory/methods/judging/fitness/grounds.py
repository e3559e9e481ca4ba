"""Tests of what a judge goes by: the persona, the words that it names, and whether it is right where that is known.

Limitations: the near persona is one of the rows at hand; blanked words may leave a text that nobody would write; of
verdicts that find nothing wrong, no words are asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from factory.base.words import content
from factory.engines import RequestError
from factory.methods import together
from factory.methods.judging.answers import json_in
from factory.methods.judging.asking import Asking
from factory.methods.judging.fitness.trials import MOSTLY, RARELY, Asked, Asker, Finding, Pair, Trial, talk
from factory.methods.judging.questions import Choice, Question, Scale, rubric
from factory.methods.judging.units import Unit, told_of
from factory.store.records import Row

OWN = Question(name="own", of="turn", ask=rubric("own_persona"), answer=Choice(choice=("first", "second")), facts=True)
"""What is asked about a reply and two personas."""
BETTER = Question.model_validate({"name": "better", "ask": "better_turn", "orders": "both", "agree": "unanimous"})
"""What is asked about labelled pairs where the job has no question to pick from options."""
_WORDS = {
    "type": "object",
    "properties": {"words": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 10}},
    "required": ["words"],
    "additionalProperties": False,
}
_WHICH = (
    "Which words of what you were shown did you go by? Copy them as they stand there. "
    'Answer with JSON: {"words": a list of at most ten words or short phrases}'
)
_BLANK = "____"
_ROOM = 256
"""Tokens for the words."""
_TEXTS = ("dialogue", "before", "turn")


_Persona = tuple[Row, int, str, list[str], set[str]]
"""A row, the side of a speaker, its seed, its facts, and their content words."""


async def contrast(rows: Sequence[Row], asking: Asking, asker: Asker) -> Finding:
    """A reply beside its own persona and the lexically nearest of another row, in both orders: the judge must prefer
    its own in both (contrast instructions, arXiv 2309.16155)."""
    trials = [
        [Trial(asking, _beside(reply, *personas), gold) for gold, personas in enumerate(((own, near), (near, own)))]
        for reply, own, near in _contrasts(rows)
    ]
    told = await together(asker.ask(trial) for both in trials for trial in both)
    own = [one.trial.right(one.value) for one in told]
    both = [first and second for first, second in zip(own[::2], own[1::2], strict=True)]
    figures = {"own preferred": sum(own) / len(own)} if own else {}
    why = "no reply has more words in common with its own persona than with the nearest other one"
    return Finding(
        "contrast", "it does not prefer the reply's own persona", "arXiv 2309.16155", len(both), both.count(False),
        MOSTLY, figures, why,
    )  # fmt: skip


def _contrasts(rows: Sequence[Row]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Of each row the reply that says most of its own persona, with that and with the nearest persona of other rows."""
    personas = [
        (row, side, one.seed_id, facts, content(" ".join(facts)))
        for row in rows
        for side, one in enumerate(row.speakers)
        if (facts := one.facts_of("seed", "expand"))
    ]
    for _, of_row in groupby(personas, key=lambda one: one[0].row_id):
        found = [
            (len(content(turn.text) & words), turn.text, own, near[3], near[4])
            for row, side, seed, own, words in of_row
            for turn in row.turns
            if turn.speaker == side
            if (near := _nearest(seed, own, words, personas)) is not None
        ]
        shared, reply, own, other, others = max(found, default=(0, "", [], [], set()), key=lambda one: one[:2])
        if shared > len(content(reply) & others):
            yield reply, own, other


def _nearest(seed: str, own: list[str], words: set[str], personas: Sequence[_Persona]) -> _Persona | None:
    """The persona of another seed and with other facts that has most content words in common with this one."""
    others = [one for one in personas if one[2] != seed and one[3] != own]
    return max(others, key=lambda other: len(other[4] & words), default=None)


def _beside(reply: str, first: Sequence[str], second: Sequence[str]) -> Unit:
    known = "\n\n".join(
        "\n".join([f"The {name} persona:", *(f"- {fact}" for fact in facts)])
        for name, facts in (("first", first), ("second", second))
    )
    names = dict.fromkeys(("dialogue", "before"))
    return Unit(names | {"of": "turn", "speaker": "A", "turn": reply, "known": known}, speaker=0)


async def redaction(firsts: Sequence[Asked], asker: Asker) -> Finding:
    """The judge names the words that it goes by, and these are blanked: the verdict must change (redaction, arXiv
    2401.07927). Of a choice or a scale, only verdicts that are not the best one are tried. One that names no word that
    is there fails."""
    tried = [first for first in firsts if _finds(first)]
    named = await together(_named(first, asker) for first in tried)
    blanked = [first.trial.told(_without(words), "known", *_TEXTS) for first, words in zip(tried, named, strict=True)]
    there = [trial for trial, first in zip(blanked, tried, strict=True) if trial.unit != first.trial.unit]
    again = {id(one.trial): one.value for one in await together(asker.ask(trial) for trial in there)}
    kept = sum(again.get(id(trial), first.value) == first.value for trial, first in zip(blanked, tried, strict=True))
    figures = {"words found": len(there) / len(tried)} if tried else {}
    why = "no verdict finds anything wrong"
    return Finding(
        "redaction", "the verdict stays without the words named", "arXiv 2401.07927", len(tried), kept, MOSTLY, figures,
        why,
    )  # fmt: skip


def _finds(first: Asked) -> bool:
    """Whether a verdict rests on something that is there."""
    answer, value = first.trial.asking.question.answer, first.value
    if value is None:
        return False
    if isinstance(answer, Scale):
        return value[0] < answer.scale[1]
    return isinstance(answer, Choice) and value[0] > 0


async def _named(first: Asked, asker: Asker) -> list[str]:
    request = first.trial.asking.request(first.trial.unit, first.trial.orders[0])
    sampling = request.sampling.model_copy(update={"max_tokens": max(request.sampling.max_tokens, _ROOM)})
    messages = (*request.messages, *talk(first.raw, _WHICH))
    text = await asker.text(replace(request, messages=messages, sampling=sampling, json_schema=_WORDS))
    words = (json_in(text) or {}).get("words")
    return [str(word).strip() for word in words if str(word).strip()] if isinstance(words, list) else []


def _without(words: Sequence[str]) -> Callable[[str], str]:
    """Blanks words wherever they stand by themselves, longest first; single letters are left, as they name speakers."""
    some = "|".join(sorted((re.escape(word) for word in words if len(word) > 1), key=len, reverse=True))
    found = re.compile(rf"(?<!\w)(?:{some})(?!\w)", re.IGNORECASE)
    return (lambda text: found.sub(_BLANK, text)) if some else str


async def gold(pairs: Sequence[Pair], asking: Asking, asker: Asker) -> Finding:
    """Labelled pairs, by the job's own rules: how many are settled, and how many of these rightly. Judges that are
    certain enough agree with people on more than 80 % (arXiv 2406.11657), which is the limit here."""

    async def right(trial: Trial) -> bool | None:
        try:
            (verdict,) = (await trial.asking.ask(trial.unit, asker)).verdicts
        except RequestError:
            return None
        return None if verdict.value is None else verdict.value == trial.gold

    told = await together(map(right, trials_of(pairs, asking)))
    settled = [one for one in told if one is not None]
    figures = {"coverage": len(settled) / len(pairs)} if pairs else {}
    if settled:
        figures["accuracy"] = sum(settled) / len(settled)
    why = "it settles none of the pairs" if pairs else "no labelled pairs are given"
    return Finding(
        "gold",
        "the worse reply is picked",
        "arXiv 2406.11657",
        len(settled),
        settled.count(False),
        RARELY,
        figures,
        why,
    )


def trials_of(pairs: Sequence[Pair], asking: Asking) -> Iterator[Trial]:
    """What a judge is asked about pairs; of every other one the better reply is the second, so that a judge that takes
    the first is not right."""
    for number, pair in enumerate(pairs):
        yield Trial(asking, _unit(pair, number % 2), number % 2)


def _unit(pair: Pair, better: int) -> Unit:
    facts = [pair.fact] if isinstance(pair.fact, str) else list(pair.fact)
    options = (pair.worse, pair.better) if better else (pair.better, pair.worse)
    shown = {"of": "pair", "speaker": "A", "dialogue": None, "turn": None, "before": pair.before or None}
    return Unit(shown | {"known": told_of(0, facts) if facts else None}, options, 0)
