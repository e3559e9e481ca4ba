"""Dialogues of the grammar: two people with personas who ask, answer, state, react and follow up, then say goodbye.

A turn says of its own speaker only what the persona holds; a question about anything else gets an honest no, or a
change of subject to a fact that there is. Limitations: nothing said is remembered beyond the partner's
last turn and the facts already told.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from factory.training.grammar import Attribute, GrammarFact, attributes, sentence, small_talk

END = " [END]"

_PLAIN_STARTS = frozenset(
    (
        "My",
        "There",
        "Nothing",
        "No",
        "If",
        "On",
        "In",
        "People",
        "You",
        "When",
        "Sometimes",
        "The",
        "At",
        "Home",
        "What",
    )
)


@dataclass(frozen=True, slots=True)
class GrammarTurn:
    """What one speaker says, and the facts of their own that the turn states."""

    text: str
    facts: tuple[GrammarFact, ...] = ()


@dataclass(slots=True)
class _Question:
    """What the partner just asked: about attributes, this very fact (check), more about a told fact (answers)."""

    attributes: tuple[str, ...] = ()
    check: GrammarFact | None = None
    answers: tuple[str, ...] = ()
    anything: bool = False
    greeting: bool = False


@dataclass(slots=True)
class _Speaker:
    facts: list[GrammarFact]
    told: list[GrammarFact] = field(default_factory=list)

    @property
    def untold(self) -> list[GrammarFact]:
        return [fact for fact in self.facts if fact not in self.told]


def answers_to(question: str) -> tuple[str, ...]:
    """The attributes that list a question among those they answer."""
    return tuple(name for name, attribute in attributes().items() if question in attribute.ask)


def stated(fact: GrammarFact, rng: random.Random) -> str:
    """The fact as its owner says it; half of the time as the persona list words it."""
    if rng.random() < 0.5:
        return fact.text
    return sentence(rng.choice(fact.attribute.say), rng, fact.values)


def _led(text: str, rng: random.Random) -> str:
    lead = sentence(rng.choice(small_talk()["lead"]), rng)
    return f"{lead} {text}" if lead[-1] in "?." else f"{lead} {lowered(text)}"


def lowered(text: str) -> str:
    """The sentence as it stands after a comma: a first word that is no name and no "I" loses its capital."""
    first = text.split(" ", 1)[0]
    return text[0].lower() + text[1:] if first in _PLAIN_STARTS else text


def _small(purpose: str, rng: random.Random) -> str:
    return sentence(rng.choice(small_talk()[purpose]), rng)


# A denial of an attribute that might gainsay a fact of another of its group is not said.
_TIED = (
    {"job", "employer"},
    {"pet", "pets"},
    {"hobby", "collect", "sport", "read", "ritual", "skill"},
    {"diet", "dislike", "eat", "food"},
    {"music", "band", "instrument"},
    {"travel", "trip", "want"},
    {"car", "own"},
    {"fear", "dislike"},
    {"married", "children"},
)


def _barred(name: str, held: set[str]) -> bool:
    """Whether a person with these attributes, or with facts that are mere sentences, must not deny having this one."""
    return bool({"open", name} & held) or any(name in group and held & group for group in _TIED)


class _Talk:
    """One dialogue in the making."""

    def __init__(
        self, rng: random.Random, personas: tuple[list[GrammarFact], list[GrammarFact]], openness: float
    ) -> None:
        self.rng = rng
        self.openness = openness
        self.speakers = (_Speaker(personas[0]), _Speaker(personas[1]))
        self.question = _Question(greeting=True)
        self.last: tuple[GrammarFact, ...] = ()
        self.asked: set[str] = set()

    def turn(self, who: int) -> GrammarTurn:
        """The next turn: an answer or a reaction, perhaps a fact, perhaps a question back."""
        rng, me = self.rng, self.speakers[who]
        parts, told = self.answer(me)
        room = 2 if told else 1
        if not told and self.last:
            parts.insert(0, self._reaction())
        if not told and me.untold and rng.random() < self.openness:
            fact = rng.choice(me.untold)
            parts.append(_led(stated(fact, rng), rng) if parts and rng.random() < 0.3 else stated(fact, rng))
            told.append(fact)
            room = 1
        self.question = _Question()
        if rng.random() < (0.65 if told else 0.9) and len(parts) <= room + 1:
            parts.append(self._ask(me, told))
        me.told += told
        self.last = tuple(told)
        return GrammarTurn(" ".join(part for part in parts if part) or _small("short", rng), tuple(told))

    def _reaction(self) -> str:
        rng = self.rng
        fact = self.last[-1]
        if rng.random() < 0.5 and fact.attribute.react:
            return sentence(rng.choice(fact.attribute.react), rng, fact.values)
        return _small("short", rng)

    def answer(self, me: _Speaker) -> tuple[list[str], list[GrammarFact]]:  # noqa: PLR0911 (one case a question)
        """What answers the partner's question, and the facts that it states; nothing where nothing was asked."""
        rng, asked = self.rng, self.question
        if asked.greeting:
            return [_small("greet", rng)], []
        if asked.answers:
            return [sentence(rng.choice(asked.answers), rng)], []
        if asked.check is not None:
            return self._confirm(me, asked.check)
        known = [fact for fact in me.facts if fact.attribute.name in asked.attributes]
        fresh = [fact for fact in known if fact not in me.told]
        if asked.anything and me.untold:
            fresh = me.untold
        if known or fresh:
            fact = rng.choice(fresh or known)
            say = stated(fact, rng)
            if fact in me.told:
                return [f"As I said, {lowered(say)}"], [fact]
            return [_led(say, rng) if rng.random() < 0.2 else say], [fact]
        if asked.attributes or asked.anything:
            return self._without(me, asked.attributes)
        return [], []

    def _confirm(self, me: _Speaker, check: GrammarFact) -> tuple[list[str], list[GrammarFact]]:
        rng = self.rng
        for fact in me.facts:
            if fact.attribute.name == check.attribute.name and fact.attribute.functional:
                same = fact.values == check.values
                return [_small("agree" if same else "deny", rng), stated(fact, rng)], [fact]
            if fact.attribute.name == check.attribute.name and fact.values == check.values:
                return [_small("agree", rng), stated(fact, rng)], [fact]
        if not check.attribute.functional and not any(self._says_same(fact, check) for fact in me.facts):
            denial = rng.choice(check.attribute.denial)
            return [_small("deny", rng) if rng.random() < 0.5 else sentence(denial, rng, check.values)], []
        return self._without(me, ())

    @staticmethod
    def _says_same(fact: GrammarFact, check: GrammarFact) -> bool:
        return bool(set(fact.values.values()) & set(check.values.values()))

    def _without(self, me: _Speaker, asked: tuple[str, ...]) -> tuple[list[str], list[GrammarFact]]:
        """An honest no where the persona has nothing to say, then, if there is one, another fact."""
        rng = self.rng
        held = {fact.attribute.name for fact in me.facts}
        deniable = [name for name in asked if name in attributes() and not _barred(name, held)]
        forms = [form for name in deniable for form in attributes()[name].none]
        parts = [sentence(rng.choice(forms), rng) if forms and rng.random() < 0.7 else _small("pass", rng)]
        if me.untold and rng.random() < self.openness:
            fact = rng.choice(me.untold)
            parts.append(
                f"{_small('but', rng)} {lowered(stated(fact, rng))}" if rng.random() < 0.5 else stated(fact, rng)
            )
            return parts, [fact]
        return parts, []

    def _ask(self, me: _Speaker, told: list[GrammarFact]) -> str:
        """A question: more about what the partner told, the same back, about an attribute, or simply for more."""
        rng = self.rng
        kind = rng.random()
        if self.last and kind < 0.45 and self.last[-1].attribute.about and self.last[-1].text not in self.asked:
            fact = self.last[-1]
            question, answers = rng.choice(fact.attribute.about)
            self.question = _Question(answers=answers)
            self.asked.add(fact.text)
            return sentence(question, rng, fact.values)
        if told and kind < 0.6:
            self.question = _Question(attributes=(told[-1].attribute.name,))
            return _small("back", rng)
        if kind < 0.75:
            self.question = _Question(anything=True)
            return _small("more", rng)
        return self._ask_attribute(1 - self.speakers.index(me))

    def _ask_attribute(self, partner: int) -> str:
        rng, other = self.rng, self.speakers[partner]
        untold = [fact.attribute for fact in other.untold if fact.attribute.ask]
        likely = untold if untold and rng.random() < 0.75 else list(attributes().values())
        attribute: Attribute = rng.choice(likely)
        fact = next((f for f in other.facts if f.attribute is attribute and rng.random() < 0.7), None)
        if fact is not None and attribute.check and rng.random() < 0.12:
            self.question = _Question(check=fact)
            return sentence(rng.choice(attribute.check), rng, fact.values)
        form = rng.choice(attribute.ask)
        relative = {"r": fact.values["r"]} if fact is not None and "r" in fact.values else {"r": "brother"}
        self.question = _Question(attributes=answers_to(form))
        return sentence(form, rng, relative)


def draw_dialogue(
    rng: random.Random, personas: tuple[list[GrammarFact], list[GrammarFact]], turns: int, openness: float = 0.7
) -> list[GrammarTurn]:
    """A dialogue of `turns` turns, at least 4; speaker 0 opens, the last turn ends with ` [END]`.

    `openness` is the chance that a speaker volunteers an untold fact where nothing asked for one.
    """
    talk = _Talk(rng, personas, openness)
    opening = _small("open", rng)
    dialogue = [GrammarTurn(opening)]
    if rng.random() < 0.4:
        fact = rng.choice(personas[0])
        talk.speakers[0].told.append(fact)
        talk.last = (fact,)
        dialogue = [GrammarTurn(f"{opening} {stated(fact, rng)}", (fact,))]
    while len(dialogue) < turns - 2:
        dialogue.append(talk.turn(len(dialogue) % 2))
    answer, told = talk.answer(talk.speakers[len(dialogue) % 2])
    dialogue.append(GrammarTurn(" ".join([*answer, _small("end", rng)]), tuple(told)))
    dialogue.append(GrammarTurn(_small("bye", rng) + END))
    return dialogue
