"""The chats that taught the bundled adapter of SmolLM2: Synthetic-Persona-Chat as answers to the prompts of our makers.

`python -m factory.training.persona_chats CSV OUT.jsonl`. Half of the phrases that instruct are put in other words, so
that a prompt of a user's own is not foreign. A speaker's side of a dialogue ends before a turn that contradicts its
persona by nli-small, or that takes the partner's facts for its own; facts of a turn are its own statements in the first
person, whose wording stays. Limitations: rules for English; triples of the commonest relations only; no roles and no
topics.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from factory.base.sentences import split_sentences
from factory.methods.makers.converse import Converse, ConverseParams, sides_of
from factory.methods.makers.expand import Expand, ExpandParams
from factory.methods.makers.extract import Extract, ExtractParams
from factory.methods.makers.listed import FIRST_PERSON, beginning
from factory.methods.prompts import bundled
from factory.scorers.nli import Nli, NliModel
from factory.store.records import Fact, Row, Speaker, Turn
from factory.training.published import HELD, Dialogue, dialogues

_Message = Mapping[str, Any]

_SEED = 7
_REWORDED = 0.5
_CONTRADICTS, _ENTAILS = 0.8, 0.6
_SHORTEST, _CUT = 4, (8, 16)
_WHOLE, _SCRIPTS = 0.4, 0.3
"""Shares of the sides of dialogues that are not cut short, and of the dialogues that are written as scripts, too."""
_TRIPLES_TOLD, _TRIPLES_NONE = 0.4, 0.15
"""Shares of the dialogues with a turn read as triples, one that tells something and one that does not."""

_LEAD = re.compile(
    r"^(?:(?:yeah|yes|no|nope|well|oh|actually|sure|ok|okay|haha|hi|hello|hey|thanks|thank you|nice|cool|so|and|but|"
    r"right|wow|great|also|honestly)\b[,!. ]*)+",
    re.IGNORECASE,
)
_LONG = (("I'm ", "I am "), ("I've ", "I have "), ("We're ", "We are "), ("We've ", "We have "))
_JOIN = re.compile(r",? and (?=(?:I|I'm|my)\b )")
_TALK = re.compile(
    r"^(?:I am (?:glad|sorry|sure|happy (?:to|for)|doing|good|fine|great|okay|looking|excited|so|not sure|curious|just|"
    r"always|here|interested|jealous|impressed|also|well)|I(?:'d|'ll)|I (?:would|will|could|can|should|might|may|must|"
    r"hope|think|guess|know|see|understand|agree|bet|wish|mean|heard|don't (?:think|know|mind|understand|blame)|"
    r"appreciate|can't (?:wait|imagine|believe)|have (?:heard|always|never|to go|been meaning|a question)|did|do\b|"
    r"was (?:just|thinking)|feel|totally|completely|definitely|had (?:a|to)|just|really (?:hope|think|appreciate)|"
    r"want|need|remember|promise|admire|also|too)|My (?:pleasure|apologies|bad)|"
    r"We(?:'ll|'d| should| could| can| will))\b"
)
_ECHO = re.compile(r"^(?:me too|same here)[!. ,]+", re.IGNORECASE)
_POINTS = frozenset(
    ("it", "that", "this", "them", "those", "these", "they", "he", "she", "him", "her", "you", "your", "yours", "too",
     "either", "there", "one", "ones", "same", "so", "again", "both", "its", "their", "here", "then", "such")
)  # fmt: skip
_WORD = re.compile(r"[\w']+")
_TRIPLES: tuple[tuple[str, str], ...] = (
    (r"I (?:love|like|enjoy) (.+)", "like"),
    (r"I (?:hate|dislike|do not like|don't like) (.+)", "dislike"),
    (r"I (?:work|am working) as (.+)", "job"),
    (r"I am (an? [\w ]*(?:er|or|ist|ian|nurse|ant|chef|student|engineer|artist|clerk|cook))", "job"),
    (r"I (?:work|am working) (?:for|at) (.+)", "employer"),
    (r"I (?:live|am living) in (.+)", "live_in"),
    (r"I (?:am|come) from (.+)", "from"),
    (r"I have (.*\b(?:dogs?|cats?|pets?|pupp(?:y|ies)|kittens?|birds?|fish|horses?|rabbits?|snake)\b.*)", "have_pet"),
    (r"I have (.*\b(?:kids?|children|sons?|daughters?|(?:brother|sister|sibling)s?|wife|husband)\b.*)", "have_family"),
    (r"I play (the (?:guitar|piano|violin|drums|cello|flute|saxophone|trumpet).*)", "play_instrument"),
    (r"I play (soccer|football|basketball|tennis|baseball|hockey|golf|volleyball|rugby)", "play_sport"),
    (r"I (?:study|am studying) (.+)", "study"),
    (r"My favorite (?:food|meal|dish) is (.+)", "favorite_food"),
    (r"My favorite (?:music|band|singer|song) is (.+)", "favorite_music"),
    (r"My favorite colou?r is (.+)", "favorite_color"),
    (r"My favorite \w+ is (.+)", "favorite_other"),
    (r"I own (.+)", "own"),
)  # fmt: skip


@cache
def _wordings() -> dict[str, dict[str, list[str]]]:
    table: dict[str, dict[str, list[str]]] = yaml.safe_load(
        Path(__file__).with_name("wordings.yaml").read_text(encoding="utf-8")
    )
    return table


def reworded(chat: Sequence[_Message], task: str, rng: random.Random) -> list[_Message]:
    """The chat with phrases of its instructions in other words; what speakers say stays."""
    others = {
        phrase: _chosen(rng.choice(wordings), rng)
        for phrase, wordings in _wordings()[task].items()
        if rng.random() < _REWORDED
    }
    new: list[_Message] = []
    for message in chat:
        text = message["content"]
        for phrase, other in others.items():
            if message["role"] == "system" or (message["role"] == "user" and phrase in _OPENERS):
                text = text.replace(phrase, other)
        new.append({**message, "content": text})
    return new


_OPENERS = frozenset({"Start the conversation.", "new facts."})
"""Phrases that stand in the user's messages, in the examples as at the end."""


def _chosen(wording: str, rng: random.Random) -> str:
    return re.sub(r"\(([^()]*)\)", lambda found: rng.choice(found[1].split("|")), wording)


def statements(turn: str) -> list[str]:
    """What a turn states of its speaker in the first person and can be understood without the talk around it."""
    found = []
    for sentence in split_sentences(turn):
        if sentence.endswith("?"):
            continue
        for part in _JOIN.split(_LEAD.sub("", sentence)):
            text = part.strip().rstrip(".!,")
            for short, whole in _LONG:
                text = whole + text.removeprefix(short) if text.startswith(short) else text
            text = text[:1].upper() + text[1:] + "."
            words = [word.lower() for word in _WORD.findall(text)]
            points = not _POINTS.isdisjoint(words)
            if 3 <= len(words) <= 18 and not points and not _TALK.match(text) and beginning(FIRST_PERSON).match(text):
                found.append(text)
    return list(dict.fromkeys(found))


def triple(statement: str) -> str | None:
    """The statement as `subject | relation | object`, if it is of a known form."""
    for pattern, relation in _TRIPLES:
        if found := re.fullmatch(pattern, statement.rstrip("."), re.IGNORECASE):
            return f"I | {relation} | {found[1]}"
    return None


def row_of(dialogue: Dialogue) -> Row:
    """The dialogue as a row, with the persona as seed facts."""
    speakers = [
        Speaker(str(side), str(side), facts=[Fact(text, "seed", str(side)) for text in persona])
        for side, persona in enumerate(dialogue.personas)
    ]
    turns = [Turn(number % 2, text) for number, text in enumerate(dialogue.turns)]
    return Row(str(dialogue.number), "imported", 0, [], speakers, turns=turns)


async def faulty_turns(found: Sequence[Dialogue], nli: Nli) -> dict[int, list[set[str]]]:
    """By dialogue, the faults of each turn: `contradicts` an own fact, `parrots` a fact of the partner alone."""
    asked: list[tuple[int, int, str]] = []
    pairs: list[tuple[str, str]] = []
    for dialogue in found:
        for number, turn in enumerate(dialogue.turns):
            own, other = dialogue.personas[number % 2], dialogue.personas[(number + 1) % 2]
            for kind, persona in (("own", own), ("other", other)):
                asked += [(dialogue.number, number, kind)] * len(persona)
                pairs += [(turn, fact) for fact in persona]
    scores = await nli.score(pairs)
    best: defaultdict[tuple[int, int, str], float] = defaultdict(float)
    faults = {dialogue.number: [set[str]() for _ in dialogue.turns] for dialogue in found}
    for place, score in zip(asked, scores, strict=True):
        best[place] = max(best[place], score.entailment)
        if place[2] == "own" and score.contradiction > _CONTRADICTS:
            faults[place[0]][place[1]].add("contradicts")
    for dialogue in found:
        for number in range(len(dialogue.turns)):
            taken = best[dialogue.number, number, "other"]
            if taken > _ENTAILS and taken > best[dialogue.number, number, "own"]:
                faults[dialogue.number][number].add("parrots")
    return faults


def talk(dialogue: Dialogue, faults: Sequence[set[str]], rng: random.Random) -> Iterator[list[_Message]]:
    """Either side of the dialogue, up to the first faulty turn of its speaker; some as short as a job asks for."""
    for side in (0, 1):
        turns = len(dialogue.turns)
        first = next((number for number in range(side, turns, 2) if faults[number]), turns)
        upto = min(first, turns if rng.random() < _WHOLE else rng.randint(*_CUT))
        if upto < _SHORTEST:
            continue
        row = row_of(dialogue)
        row.turns = row.turns[:upto]
        for speaker in row.speakers:
            rng.shuffle(speaker.facts)
        facts = [speaker.facts_of("seed") for speaker in row.speakers]
        both = sides_of(bundled("converse"), row, facts, ended=upto == turns)
        # The one of the two that ends with this side's turn.
        yield reworded(both[0] if (upto - 2) % 2 == side else both[1], "converse", rng)


def written(dialogue: Dialogue, faults: Sequence[set[str]], rng: random.Random) -> list[_Message] | None:
    """The beginning of the dialogue as a script, if it is sound."""
    turns = rng.choice((6, 8, 10))
    if len(dialogue.turns) < turns or any(faults[:turns]):
        return None
    maker = Converse(ConverseParams(mode="script", turns=turns))
    lines = [{"speaker": 1 + number % 2, "text": text} for number, text in enumerate(dialogue.turns[:turns])]
    return _answered(maker.script_messages(row_of(dialogue)), {"turns": lines}, "script", rng)


def added(persona: Sequence[str], rng: random.Random) -> list[_Message] | None:
    """A persona cut in two: what is given and what is to be added."""
    if len(persona) < 3:
        return None
    facts = rng.sample(persona, len(persona))
    new = rng.randint(1, min(3, len(facts) - 1))
    return _answered(Expand(ExpandParams()).messages(facts[new:], new), {"facts": facts[:new]}, "expand", rng)


def read_off(turn: str, facts: Sequence[str], form: Any, rng: random.Random) -> list[_Message]:
    """A turn with what it reveals."""
    maker = Extract(ExtractParams(form=form))
    return _answered(maker.messages(turn), {"facts": list(facts)}, "extract", rng)


def _answered(prompt: Sequence[_Message], answer: object, task: str, rng: random.Random) -> list[_Message]:
    """The prompt, whose examples are not learned, and the answer."""
    shown = [{**message, "weight": 0} if message["role"] == "assistant" else message for message in prompt]
    return [*reworded(shown, task, rng), {"role": "assistant", "content": json.dumps(answer, ensure_ascii=False)}]


async def _entailed(turns: Sequence[str], nli: Nli) -> dict[str, list[str]]:
    """By turn, those of its statements that it entails."""
    asked = [(turn, fact) for turn in turns for fact in statements(turn)]
    facts: dict[str, list[str]] = {turn: [] for turn in turns}
    for (turn, fact), score in zip(asked, await nli.score(asked), strict=True):
        if score.entailment > _ENTAILS:
            facts[turn].append(fact)
    return facts


def _without_echoes(dialogue: Dialogue) -> Dialogue:
    """The dialogue without "Me too!" before what a speaker says: six turns in a hundred begin so, whoever the speaker
    is, and a small model takes it up for good."""
    return replace(dialogue, turns=tuple(_ECHO.sub("", turn) or turn for turn in dialogue.turns))


async def make(path: Path) -> list[tuple[str, list[_Message]]]:
    """All chats with the dialogues that they come from, in a drawn order."""
    rng = random.Random(_SEED)
    found = [_without_echoes(dialogue) for dialogue in dialogues(path) if dialogue.number >= HELD]
    nli = Nli(NliModel(name="nli-small"))
    try:
        faults = await faulty_turns(found, nli)
        turns = sorted(set(chain.from_iterable(dialogue.turns for dialogue in found)))
        facts = await _entailed(turns, nli)
    finally:
        nli.close()
    chats: list[tuple[str, list[_Message]]] = []
    for dialogue in found:
        of = list(talk(dialogue, faults[dialogue.number], rng))
        if rng.random() < _SCRIPTS and (script := written(dialogue, faults[dialogue.number], rng)):
            of.append(script)
        of += [chat] if (chat := added(rng.choice(dialogue.personas), rng)) else []
        of += _readings(dialogue, facts, rng)
        chats += [(f"spc-{dialogue.number}", chat) for chat in of]
    rng.shuffle(chats)
    return chats


def _readings(dialogue: Dialogue, facts: dict[str, list[str]], rng: random.Random) -> Iterator[list[_Message]]:
    """Turns with facts and as many without."""
    telling = [turn for turn in dialogue.turns if facts[turn]]
    empty = [turn for turn in dialogue.turns if not statements(turn)]
    for turns in (telling, empty):
        if turns:
            turn = rng.choice(turns)
            yield read_off(turn, facts[turn], "sentence", rng)
    known = [(turn, [one for fact in facts[turn] if (one := triple(fact))]) for turn in telling]
    whole = [(turn, triples) for turn, triples in known if len(triples) == len(facts[turn])]
    if whole and rng.random() < _TRIPLES_TOLD:
        yield read_off(*rng.choice(whole), "triple", rng)
    if empty and rng.random() < _TRIPLES_NONE:
        yield read_off(rng.choice(empty), [], "triple", rng)


def main(path: Path, output: Path) -> None:
    """Write the chats as JSON Lines: `id`, of the dialogue, and `messages`."""
    lines = [json.dumps({"id": name, "messages": chat}, ensure_ascii=False) for name, chat in asyncio.run(make(path))]
    output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines)} chats")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
