"""A grammar of persona talk: attributes, their values, and how people state, ask, deny and follow them up.

The tables are YAML (talk, values, small talk); this module draws from them. Values are split once, by hash: a tenth of
each longer list is never drawn for training, so that a held-out persona has facts that no training text contained.
Limitations: a persona is consistent by construction (one value a functional attribute), not always plausible.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import yaml

Split = Literal["train", "held"]

_HERE = Path(__file__).parent
_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
_SLOT = re.compile(r"\{(?:(a|s) )?(\w+)\}")
_SENTENCE = re.compile(r"(^|[.!?] )([a-z])")

# Attributes that may hold several facts of one person, and attributes of which a person gets only one of the group.
REPEATABLE = frozenset(
    {"hobby", "like", "dislike", "eat", "want", "travel", "ritual", "once", "skill", "own", "relative_job"}
)
EXCLUSIVE = (("diet", "eat", "food"), ("city", "home"), ("job", "employer"), ("pet", "pets"), ("married", "children"))
# Open attributes are drawn more often: their facts have the widest range of words, which is what copying must cover.
WEIGHTS = {"ritual": 5, "once": 3, "skill": 3, "hobby": 2, "like": 2, "relative_job": 2, "job": 2}

# Kinds that a wild value may replace: plain lists of words, and what people do.
_REPLACEABLE = frozenset(
    {
        "jobs", "employers", "subjects", "cities", "regions", "homes", "animals", "hobbies",
        "things", "foods", "colors", "music", "genres", "shows", "sports", "instruments",
        "hair", "traits", "beliefs", "diets", "brands", "possessions", "collectibles", "fears",
        "allergens", "languages", "holidays", "ACT", "PAST",
    }
)  # fmt: skip

_SYLLABLES = (
    "ba be bo da de do fa fi ga go ha jo ka ke ki la le li lo ma me mi mo na "
    "ne ni no pa pe ra re ri ro sa se si so ta te ti to va ve vi wa we wi ya "
    "yo za zu bram dor fen gil hol kar len mor nor pil quin rud sel tor ven wick"
)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row of talk.yaml: how an attribute is stated, asked, denied and followed up."""

    name: str
    relation: str
    slots: Mapping[str, str]
    functional: tuple[str, ...]
    object: str
    fact: tuple[str, ...]
    say: tuple[str, ...]
    ask: tuple[str, ...]
    check: tuple[str, ...]
    denial: tuple[str, ...]
    none: tuple[str, ...]
    about: tuple[tuple[str, tuple[str, ...]], ...]
    react: tuple[str, ...]
    opposite: str | None = None


@dataclass(frozen=True, slots=True)
class Wild:
    """How often a fact's value is no value of its kind (a thing out of place, a made-up name), and what it may be then.

    A wild value can be said by copying alone, never from memory. `activities` ("riding a bike") stand for hobbies.
    """

    share: float = 0.0
    words: tuple[str, ...] = ()
    activities: tuple[str, ...] = ()


TAME = Wild()


@dataclass(frozen=True, slots=True)
class GrammarFact:
    """A fact of a persona: its attribute, the slots' values and the sentence of the persona list."""

    attribute: Attribute
    values: Mapping[str, str] = field(hash=False)
    text: str

    @property
    def triple(self) -> str:
        """`I | relation | object`, as `extract` writes it."""
        return f"I | {self.attribute.relation} | {fill(self.attribute.object, self.values)}"


def _read(name: str) -> Any:
    return yaml.safe_load((_HERE / name).read_text(encoding="utf-8"))


@cache
def attributes() -> dict[str, Attribute]:
    """The attributes of talk.yaml, by name."""
    table = {}
    for name, row in _read("talk.yaml").items():
        about = tuple((question, tuple(answers)) for question, answers in row["about"])
        lists = {key: tuple(row[key]) for key in ("functional", "fact", "say", "ask", "check", "none", "react")}
        table[name] = Attribute(
            name, row["relation"], row["slots"], object=row["object"], denial=tuple(row["not"]), about=about,
            opposite=row.get("opposite"), **lists,
        )  # fmt: skip
    return table


@cache
def small_talk() -> dict[str, tuple[str, ...]]:
    """The forms of smalltalk.yaml, by purpose."""
    return {name: tuple(forms) for name, forms in _read("smalltalk.yaml").items()}


@cache
def _lists() -> dict[str, tuple[str, ...]]:
    table: dict[str, list[str]] = _read("values.yaml")
    lists = {name: tuple(dict.fromkeys(values)) for name, values in table.items()}
    lists["MARITAL"] = ("single", "married", "divorced", "engaged", "widowed")
    lists["KIDKIND"] = ("kids", "children", "sons", "daughters")
    lists["SIBLING"] = ("brothers", "sisters", "siblings")
    lists["WAKE"] = ("early bird", "night owl")
    lists["AGE"] = tuple(str(age) for age in range(18, 81))
    lists["KIDS"] = lists["numbers"]
    return lists


@cache
def held_values() -> frozenset[str]:
    """The values kept for held-out personas: of each list of 20 or more, the tenth that hashes lowest."""
    long_lists = (values for name, values in _lists().items() if len(values) >= 20)
    return frozenset(
        value
        for values in long_lists
        for value in sorted(values, key=lambda value: zlib.crc32(value.encode()))[: len(values) // 10]
    )


@cache
def values_of(name: str, split: Split) -> tuple[str, ...]:
    """A list's values of one split; lists under 20 values are not split."""
    values, held = _lists()[name], held_values()
    return values if len(values) < 20 else tuple(v for v in values if (v in held) == (split == "held"))


def coin(rng: random.Random) -> str:
    """A made-up proper name: nothing but copying can say it."""
    return "".join(rng.choice(_SYLLABLES.split()) for _ in range(rng.randint(2, 3))).capitalize()


def draw(kind: str, rng: random.Random, split: Split) -> str:  # noqa: PLR0911 (one case a kind)
    """One value of a kind: a list of values.yaml, or an open kind composed of several."""

    def one(name: str) -> str:
        return rng.choice(values_of(name, split))

    def thing(name: str) -> str:
        return f"{one('kinds')} {one(name)}" if rng.random() < 0.4 else one(name)

    match kind:
        case "NAME":
            return coin(rng) if rng.random() < 0.4 else one("names")
        case "BAND":
            return coin(rng) if rng.random() < 0.3 else f"the {one('adjectives')} {one('nouns')}"
        case "PLACE":
            return one("cities") if rng.random() < 0.6 else one("regions")
        case "ACT":
            return f"{one('verbs')} {thing('objects')}"
        case "PAST":
            verb = one("pasts")
            return f"{verb} some {thing('objects')}" if rng.random() < 0.8 else f"{verb} {coin(rng)}"
        case "ADJUNCT":
            parts = rng.sample([one("places"), one("times"), one("company")], rng.choice([1, 1, 2]))
            return " ".join(parts)
        case "PASTTIME":
            return one("past_times")
        case "people":
            return coin(rng) if rng.random() < 0.3 else one("people")
        case _:
            return one(kind)


def _article(word: str) -> str:
    return "an" if word[:1].lower() in "aeiou" and not word.lower().startswith(("uni", "eu", "one", "uk")) else "a"


def _plural(word: str) -> str:
    if word == "mouse":
        return "mice"
    if word.endswith(("fish", "sheep")):
        return word
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch")) else "s")


def fill(form: str, values: Mapping[str, str]) -> str:
    """A form with its slots filled."""

    def slot(found: re.Match[str]) -> str:
        value = values[found[2]]
        return f"{_article(value)} {value}" if found[1] == "a" else _plural(value) if found[1] == "s" else value

    return _SLOT.sub(slot, form)


def chosen(form: str, rng: random.Random) -> str:
    """A form with its choices drawn."""
    while found := _CHOICE.search(form):
        form = form[: found.start()] + rng.choice(found[1].split("|")) + form[found.end() :]
    return form


def sentence(form: str, rng: random.Random, values: Mapping[str, str] = MappingProxyType({})) -> str:
    """A form with its choices drawn, its slots filled and its sentences begun with a capital."""
    form = chosen(form, rng)
    extra = {"years": str(rng.randint(2, 30)), "n": rng.choice(("two", "three", "four", "five", "six"))}
    return capitalised(fill(form, {**extra, **values}))


def capitalised(text: str) -> str:
    """The text with a capital at the start of each sentence."""
    return _SENTENCE.sub(lambda found: found[1] + found[2].upper(), text.strip())


def variants(form: str) -> Iterator[str]:
    """Every reading of a form's choices."""
    found = _CHOICE.search(form)
    if not found:
        yield form
        return
    for option in found[1].split("|"):
        yield from variants(form[: found.start()] + option + form[found.end() :])


def _wild_value(kind: str, rng: random.Random, split: Split, wild: Wild) -> str:
    if kind == "hobbies" and wild.activities:
        return rng.choice(wild.activities)
    if wild.words and rng.random() < 0.6:
        thing = " ".join(rng.sample(wild.words, rng.choice((1, 1, 2))))
    elif rng.random() < 0.5:
        thing = coin(rng)
    else:
        thing = f"{rng.choice(values_of('kinds', split))} {rng.choice(values_of('objects', split))}"
    if kind == "ACT":
        return f"{rng.choice(values_of('verbs', split))} {thing}"
    return f"{rng.choice(values_of('pasts', split))} some {thing}" if kind == "PAST" else thing


def draw_fact(attribute: Attribute, rng: random.Random, split: Split, wild: Wild = TAME) -> GrammarFact:
    """A fact of an attribute, in any of its forms."""
    values = {slot: draw(kind, rng, split) for slot, kind in attribute.slots.items()}
    kind = attribute.slots.get("v")
    if kind in _REPLACEABLE and rng.random() < wild.share:
        values["v"] = _wild_value(kind, rng, split, wild)
    return GrammarFact(attribute, values, sentence(rng.choice(attribute.fact), rng, values))


def draw_persona(rng: random.Random, size: int, split: Split = "train", wild: Wild = TAME) -> list[GrammarFact]:
    """`size` facts that fit together: no functional attribute twice, no value twice, one of each exclusive group."""
    table = attributes()
    names = list(table)
    weights = [WEIGHTS.get(name, 1) for name in names]
    facts: list[GrammarFact] = []
    taken: set[str] = set()
    spoken: set[str] = set()
    while len(facts) < size:
        name = rng.choices(names, weights)[0]
        if name in taken:
            continue
        fact = draw_fact(table[name], rng, split, wild)
        key = fact.values.get("v", "")
        if key in spoken:
            continue
        spoken.add(key)
        facts.append(fact)
        if name not in REPEATABLE or sum(other.attribute.name == name for other in facts) == 2:
            taken.add(name)
        for group in EXCLUSIVE:
            if name in group:
                taken.update(other for other in group if other != name)
    return facts
