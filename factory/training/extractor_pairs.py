"""The pairs that taught the bundled extractor: turns of Synthetic-Persona-Chat, each with the facts that it tells.

`python -m factory.training.extractor_pairs CSV OUT.jsonl`. Nobody labelled these turns. A turn tells a fact of its
speaker's persona that shares words with it and that it entails by nli-small, and the statements of its own that it
entails and no such fact covers; it tells nothing if no sentence has a word of the first person, or those that do are
courtesies. All others are left out. As many pairs again are made by rule: a persona's fact among sentences that tell
nothing. A third is written as people type it, in small letters. Limitations: English; told in other words means told as
the persona has it, never the other way round.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.base.sentences import split_sentences
from factory.base.words import content
from factory.scorers.nli import Nli, NliModel
from factory.training.persona_chats import statements
from factory.training.published import HELD, Dialogue, dialogues

_SEED = 11
_ENTAILS, _SHARED, _COVERED = 0.6, 0.6, 0.5
"""P(entailment) of a fact that is told, the least share of its words in the turn, and that of a statement in a fact."""
_TYPED = 0.33
_EACH = 4
"""Pairs made by rule of each fact."""
_EMPTY = 0.75
"""Turns that tell nothing, for each that tells something."""
_STEM = 5

OWN = re.compile(r"\b(?:i|me|my|mine|we|us|our|ours|myself)\b", re.IGNORECASE)
_COURTESY = re.compile(
    r"\W*(?:(?:oh|yeah|yes|no|well|wow|haha|thanks|thank you|that's (?:great|cool|awesome|nice|good))\W+)*"
    r"(?:I(?:'m| am) (?:so |very |really |always |just |also )*(?:glad|sorry|sure|happy for|happy to (?:hear|meet)|"
    r"doing|good|fine|great|well|curious|jealous|impressed|here)|I (?:totally |completely |definitely )?(?:agree|see|"
    r"understand|hope|bet|guess|hear you|can (?:imagine|see|understand|tell)|know(?: what you mean)?|"
    r"think (?:that|it|so|you)|appreciate|"
    r"wish you|would love to (?:hear|see|meet)|didn't know|don't (?:know|blame))|I(?:'ll| will)|"
    r"(?:It was )?nice (?:to meet|meeting|talking)|let me know|tell me|my pleasure)\b",
    re.IGNORECASE,
)
_TOO = re.compile(r",? (?:too|either|as well)\b(?=[.!,])")
_FAVORITE = re.compile(r"My (favou?rite [\w ]+?) (?:is|are) (?:the |a )?(.+?)\.?$")
_SHORT = (("I am ", "I'm "), ("I have ", "I've "), ("do not ", "don't "))


@dataclass(frozen=True, slots=True)
class Told:
    """A turn of a dialogue and what it tells of its speaker; `facts` of the persona come first. None of either if it
    cannot be said."""

    dialogue: int
    turn: str
    facts: tuple[str, ...] | None
    of_persona: tuple[str, ...]


def stems(text: str) -> set[str]:
    """The beginnings of a text's content words, so that "skiing" is "ski"."""
    return {word[:_STEM].rstrip("s") for word in content(text)}


def tells_nothing(turn: str) -> bool:
    """Whether each sentence of a turn is a question, has no word of the first person, or is a courtesy."""
    return all(
        one.endswith("?") or not OWN.search(one) or _COURTESY.match(one) is not None for one in split_sentences(turn)
    )


def own_statements(turn: str) -> list[str]:
    """What a turn states of its speaker, also where it says that this goes for the partner too ("I ski, too.")."""
    return statements(_TOO.sub("", turn))


async def told(found: Sequence[Dialogue], nli: Nli) -> list[Told]:
    """All turns, in order, with what they tell."""
    near = [
        (turn, fact)
        for one in found
        for number, turn in enumerate(one.turns)
        for fact in one.personas[number % 2]
        if len(stems(fact) & stems(turn)) >= _SHARED * max(len(stems(fact)), 1)
    ]
    asked = list(
        dict.fromkeys([*near, *((turn, own) for one in found for turn in one.turns for own in own_statements(turn))])
    )
    scores = await nli.score(asked)
    entailed = {pair for pair, score in zip(asked, scores, strict=True) if score.entailment > _ENTAILS}
    return [
        _told(one.number, turn, one.personas[number % 2], entailed)
        for one in found
        for number, turn in enumerate(one.turns)
    ]


def _told(dialogue: int, turn: str, persona: Sequence[str], entailed: set[tuple[str, str]]) -> Told:
    known = tuple(fact for fact in persona if (turn, fact) in entailed)
    own = tuple(
        one
        for one in own_statements(turn)
        if (turn, one) in entailed
        and not any(len(stems(one) & stems(fact)) >= _COVERED * len(stems(one)) for fact in known)
    )
    if known or own:
        return Told(dialogue, turn, known + own, known)
    return Told(dialogue, turn, () if tells_nothing(turn) else None, ())


def by_rule(facts: Sequence[str], empty: Sequence[str], rng: random.Random) -> Iterator[tuple[str, list[str]]]:
    """Each fact a few times among sentences that tell nothing, now and then with a second one."""
    for fact in facts:
        for _ in range(_EACH):
            own = [fact, rng.choice(facts)] if rng.random() < 0.25 else [fact]
            sentences = [_reworded(one, rng) for one in dict.fromkeys(own)]
            before = rng.sample(empty, rng.choice((0, 1, 1, 2)))
            behind = rng.sample(empty, rng.choice((0, 0, 1)))
            yield " ".join([*before, *sentences, *behind]), list(dict.fromkeys(own))


def _reworded(fact: str, rng: random.Random) -> str:
    if (favorite := _FAVORITE.match(fact)) and rng.random() < 0.5:
        return f"{favorite[2][:1].upper()}{favorite[2][1:]} is my {favorite[1]}."
    for whole, short in _SHORT:
        if rng.random() < 0.4:
            fact = fact.replace(whole, short, 1)
    return fact


def typed(turn: str) -> str:
    """A turn as people typed it for ConvAI2: small letters, and spaces around signs."""
    return re.sub(r"\s+", " ", re.sub(r"([.,!?])", r" \1 ", turn.lower().replace("'", " "))).strip()


async def make(path: Path) -> list[dict[str, object]]:
    """All pairs, in a drawn order: `utterance` and `facts`."""
    rng = random.Random(_SEED)
    found = [one for one in dialogues(path) if one.number >= HELD]
    nli = Nli(NliModel(name="nli-small"))
    try:
        turns = await told(found, nli)
    finally:
        nli.close()
    telling = list(dict.fromkeys((one.turn, one.facts) for one in turns if one.facts))
    empty = list(dict.fromkeys(one.turn for one in turns if one.facts == ()))
    sentences = sorted({part for turn in empty for part in split_sentences(turn) if len(part) > 3})
    facts = sorted({fact for one in found for persona in one.personas for fact in persona})
    pairs: list[tuple[str, list[str]]] = [(turn, list(of)) for turn, of in telling]
    pairs += by_rule(facts, sentences, rng)
    wanted = round(_EMPTY * len(pairs))
    pairs += [(turn, []) for turn in rng.sample(empty, min(wanted, len(empty)))]
    rng.shuffle(pairs)
    return [{"utterance": typed(turn) if rng.random() < _TYPED else turn, "facts": of} for turn, of in pairs]


def main(path: Path, output: Path) -> None:
    """Write the pairs as JSON Lines."""
    pairs = asyncio.run(make(path))
    output.write_text("".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs), encoding="utf-8")
    print(f"{len(pairs):,} pairs, {sum(not pair['facts'] for pair in pairs):,} of turns that tell nothing")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
