"""Language-model examples: chat messages in exactly the form in which the factory's makers send them, with the answers.

Converse, expand and extract, from the grammar's personas and dialogues, plus, as material that no grammar has, the
persona facts and turns of a published corpus where one is given. The first share of training is a curriculum of short
chats in which each answer says a fact: a small model must learn to copy before it learns to talk. Half of the phrases
that instruct are put in other words, so that a prompt of a user's own is not foreign. Limitations: the
model has seen roles and topics, but does one task a prompt, whatever else the prompt asks.
"""

from __future__ import annotations

import csv
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from factory.engines import Message
from factory.methods.makers.triples import RELATIONS
from factory.methods.prompts import bundled, render
from factory.training.dialogues import END, draw_dialogue, stated
from factory.training.grammar import (
    Attribute,
    GrammarFact,
    Split,
    Wild,
    attributes,
    chosen,
    draw_persona,
    held_values,
    sentence,
    small_talk,
)
from factory.training.words import SHARED, content

NOTHING = "[None]"

WILD = 0.4
"""Share of facts whose value is out of place, so that what an attribute usually holds cannot stand in for copying."""

MADE_UP = Wild(WILD)
"""Wild values where no words are given: made-up names and the grammar's own things."""

REWORDED = 0.5
"""Chance that a phrase of a prompt is put in other words."""

PersonaDialogue = tuple[tuple[tuple[str, ...], tuple[str, ...]], tuple[str, ...]]
"""Both personas, and the turns."""

_TURN = re.compile(r"^User ([12]): (.*)$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"[\[\](){}<>]|user ?[12]|'s name\b(?! is)|as an ai|language model", re.IGNORECASE)
_WORD = re.compile(r"\b[a-z]{3,}\b")
_ACTIVITY = re.compile(
    r"^[A-Z]\w* (?:\w+ )?\w+ (?:is|are) "
    r"((?!being|wearing|having|getting)[a-z]+ing(?: (?!his|her|their|it|each|he|she|they)[a-z]+){0,5})\.?$"
)
_ROLES = "(a|an old|a close|a distant|a new) (friend|neighbour|colleague|classmate|stranger|visitor|guest|relative)"
_FIRST_PERSON = re.compile(r"^(I|I'm|My|I've)\b")


@dataclass(frozen=True, slots=True)
class Example:
    """One chat. The assistant's messages are what is learned; `copied` are the texts that they should copy from."""

    messages: tuple[Message, ...]
    copied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PublishedTalk:
    """What is taken from published corpora: first-person facts, dialogues with both personas, values out of place."""

    facts: tuple[str, ...] = ()
    dialogues: tuple[PersonaDialogue, ...] = ()
    wild: Wild = MADE_UP


def _assistant(text: str) -> Message:
    return Message(role="assistant", content=text)


@cache
def instructions() -> dict[str, dict[str, list[str]]]:
    """The phrases of the bundled prompts with their other wordings, by task."""
    table: dict[str, dict[str, list[str]]] = yaml.safe_load(
        Path(__file__).with_name("instructions.yaml").read_text(encoding="utf-8")
    )
    return table


def reworded(example: Example, task: str, rng: random.Random) -> Example:
    """The example with phrases of its prompt in other words; what speakers say stays."""
    prompt, rest = example.messages[:1], example.messages[1:]
    if rest[0]["content"] == _begin() or task != "converse":
        prompt, rest = example.messages[:2], example.messages[2:]
    messages = []
    for message in prompt:
        text = message["content"]
        for phrase, wordings in instructions()[task].items():
            if phrase in text and rng.random() < REWORDED:
                text = text.replace(phrase, chosen(rng.choice(wordings), rng), 1)
        messages.append(Message(role=message["role"], content=text))
    return Example((*messages, *rest), example.copied)


@cache
def _begin() -> str:
    return render(bundled("converse"), role=None, partner_role=None, facts=[], topic=None)[1]["content"]


def converse(
    facts: Sequence[str],
    turns: Sequence[str],
    speaker: int,
    topic: str | None = None,
    roles: tuple[str, str] | tuple[None, None] = (None, None),
) -> Example:
    """A dialogue as its speaker 0 or 1 sees it: system prompt, the partner's turns as user, their own as assistant.

    `roles` are the speaker's own and the partner's."""
    system, begin = render(bundled("converse"), role=roles[0], partner_role=roles[1], facts=list(facts), topic=topic)
    history = [Message(role="assistant" if i % 2 == speaker else "user", content=text) for i, text in enumerate(turns)]
    opening = [begin] if speaker == 0 else []
    return Example((system, *opening, *history), tuple(facts))


def expand(facts: Sequence[str], new: Sequence[str]) -> Example:
    """New facts for a persona."""
    prompt = render(bundled("expand"), facts=list(facts), count=len(new))
    return Example((*prompt, _assistant("\n".join(f"- {fact}" for fact in new))))


def extract(utterance: str, facts: Sequence[GrammarFact], triple: bool) -> Example:
    """What an utterance reveals, as sentences in each attribute's first form or as triples; `[None]` for nothing."""
    form = "triple" if triple else "sentence"
    prompt = render(bundled("extract"), form=form, relations=list(RELATIONS), utterance=utterance)
    lines = [fact.triple if triple else f"- {plain(fact)}" for fact in facts]
    return Example((*prompt, _assistant("\n".join(lines) or NOTHING)), (utterance,))


def plain(fact: GrammarFact) -> str:
    """The fact in its attribute's first form."""
    return sentence(fact.attribute.fact[0], random.Random(0), fact.values)


def _free_attribute() -> Attribute:
    """The attribute of facts that come as sentences: said as they stand, asked for by any open question."""
    likely = attributes()["ritual"]
    say = ("{v}",)
    return Attribute(
        "open",
        "other",
        {"v": "open"},
        (),
        "{v}",
        say,
        say,
        likely.ask,
        (),
        (),
        (),
        likely.about,
        ("(Wow|Oh|I see)(.|!)",),
    )


_OPEN = _free_attribute()


def free_fact(text: str) -> GrammarFact:
    """A fact that is only a sentence."""
    return GrammarFact(_OPEN, {"v": text}, text)


def _draw_facts(rng: random.Random, size: int, split: Split, corpus: PublishedTalk) -> list[GrammarFact]:
    """A persona of the grammar, of a published one's sentences, or of both kinds."""
    kind = rng.random()
    if not corpus.facts or kind < 0.65:
        return draw_persona(rng, size, split, corpus.wild)
    if kind < 0.85:
        return [free_fact(text) for text in rng.sample(corpus.facts, size)]
    free = [free_fact(text) for text in rng.sample(corpus.facts, size - size // 2)]
    mixed = draw_persona(rng, size // 2, split, corpus.wild) + free
    rng.shuffle(mixed)
    return mixed


def draw_recall(rng: random.Random, split: Split, corpus: PublishedTalk) -> Example:
    """A short chat of two to five questions, each answered with a fact of the persona."""
    facts = _draw_facts(rng, rng.randint(2, 6), split, corpus)
    turns: list[str] = []
    for fact in rng.sample(facts, min(len(facts), rng.randint(2, 5))):
        forms = fact.attribute.ask if rng.random() < 0.75 else small_talk()["more"]
        turns += [sentence(rng.choice(forms), rng, {"r": "brother", **fact.values}), stated(fact, rng)]
    return reworded(converse([fact.text for fact in facts], turns, speaker=1), "converse", rng)


def draw_converse(rng: random.Random, split: Split, corpus: PublishedTalk) -> Example:
    """A whole dialogue, seen by one of its speakers."""
    if corpus.dialogues and rng.random() < 0.12:
        personas, said = rng.choice(corpus.dialogues)
        speaker = rng.randrange(2)
        return reworded(converse(personas[speaker], said[: rng.randint(6, 12)], speaker), "converse", rng)
    own = _draw_facts(rng, rng.randint(3, 8), split, corpus)
    partners = _draw_facts(rng, rng.randint(3, 5), split, corpus)
    speaker = rng.randrange(2)
    turns = draw_dialogue(rng, (partners, own) if speaker else (own, partners), rng.randint(6, 12))
    # A topic is what one of the two has to say something about, so that it may be taken up.
    topic = rng.choice(own + partners).values.get("v") if rng.random() < 0.1 else None
    roles = (chosen(_ROLES, rng), chosen(_ROLES, rng)) if rng.random() < 0.1 else (None, None)
    chat = converse([fact.text for fact in own], [turn.text for turn in turns], speaker, topic, roles)
    return reworded(chat, "converse", rng)


def draw_expand(rng: random.Random, split: Split, _: PublishedTalk) -> Example:
    """A persona cut in two: what is given and what is to be added."""
    given, new = rng.randint(1, 5), rng.randint(1, 5)
    texts = [fact.text for fact in draw_persona(rng, given + new, split)]
    return reworded(expand(texts[:given], texts[given:]), "expand", rng)


def draw_extract(rng: random.Random, split: Split, corpus: PublishedTalk) -> Example:
    """A turn with what it reveals; four in ten reveal nothing."""
    return reworded(_extraction(rng, split, corpus), "extract", rng)


def _extraction(rng: random.Random, split: Split, corpus: PublishedTalk) -> Example:
    triple = rng.random() < 0.4
    if rng.random() < 0.4:
        return extract(_empty_turn(rng, split), [], triple)
    personas = (draw_persona(rng, 5, split, corpus.wild), draw_persona(rng, 5, split, corpus.wild))
    telling = [turn for turn in draw_dialogue(rng, personas, 10) if turn.facts]
    if not telling:
        fact = personas[0][0]
        return extract(stated(fact, rng), [fact], triple)
    turn = rng.choice(telling)
    return extract(turn.text, turn.facts, triple)


def _empty_turn(rng: random.Random, split: Split) -> str:
    """A turn that reveals nothing of its speaker: small talk, a reaction to the partner's fact, a question."""
    fact = draw_persona(rng, 1, split)[0]
    talk = small_talk()
    parts = [
        sentence(rng.choice(talk[rng.choice(("open", "idle", "short", "more", "end", "bye"))]), rng),
        sentence(rng.choice(fact.attribute.ask + fact.attribute.check), rng, {"r": "brother", **fact.values}),
        sentence(rng.choice(fact.attribute.about)[0], rng, fact.values),
    ]
    return " ".join(rng.sample(parts, rng.choice((1, 1, 2))))


_KINDS: tuple[Callable[[random.Random, Split, PublishedTalk], Example], ...] = (
    draw_recall,
    draw_converse,
    draw_expand,
    draw_extract,
)


def _shares(progress: float) -> tuple[float, ...]:
    """The share of each kind at a point of training (0 to 1): recall first, then talk."""
    if progress < 0.12:
        return (0.9, 0.1, 0.0, 0.0)
    return (0.35, 0.45, 0.08, 0.12) if progress < 0.4 else (0.12, 0.62, 0.1, 0.16)


def draw_example(
    rng: random.Random, progress: float = 1.0, split: Split = "train", corpus: PublishedTalk | None = None
) -> Example:
    """One example of the mixture at a point of training."""
    return rng.choices(_KINDS, _shares(progress))[0](rng, split, corpus or PublishedTalk())


def read_talk(path: Path | None, skip: int = 100, wild: Wild = MADE_UP) -> PublishedTalk:
    """Synthetic-Persona-Chat from its CSV; the first `skip` rows are held out, and so is what holds placeholders."""
    if path is None:
        return PublishedTalk(wild=wild)
    facts: dict[str, None] = {}
    dialogues = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in list(csv.DictReader(file))[skip:]:
            personas = _sentences(row["user 1 personas"]), _sentences(row["user 2 personas"])
            facts.update(dict.fromkeys(personas[0] + personas[1]))
            turns = _TURN.findall(row["Best Generated Conversation"])
            alternate = all(int(who) == 1 + i % 2 for i, (who, _) in enumerate(turns))
            complete = not any(_PLACEHOLDER.search(text) for _, text in turns)
            if alternate and complete and len(turns) >= 6 and all(personas):
                dialogues.append((personas, (*(text for _, text in turns[:-1]), turns[-1][1] + END)))
    return PublishedTalk(tuple(facts), tuple(dialogues), wild)


def _sentences(persona: str) -> tuple[str, ...]:
    facts = (re.sub(r"\bi\b", "I", line.strip()) for line in persona.splitlines())
    return tuple(fact for fact in facts if _FIRST_PERSON.match(fact) and not _PLACEHOLDER.search(fact))


def read_wild(path: Path | None) -> Wild:
    """Words and activities of the sentences of an NLI file (SNLI: image captions), to put where no one expects them.

    No word of a held-out value is among them, in whatever number."""
    if path is None:
        return MADE_UP
    held = {word.rstrip("s") for value in held_values() for word in content(value)}
    with path.open(encoding="utf-8", newline="") as file:
        texts = {row[side] for row in csv.DictReader(file) for side in ("premise", "hypothesis")}
    counts = Counter(word for text in texts for word in _WORD.findall(text) if word.rstrip("s") not in held)
    words = sorted(word for word, count in counts.items() if count > 1 and word not in SHARED)
    activities = {
        found[1]
        for text in texts
        if (found := _ACTIVITY.match(text)) and not {word.rstrip("s") for word in content(found[1])} & held
    }
    return Wild(WILD, tuple(words), tuple(sorted(activities)))
