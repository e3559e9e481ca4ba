"""NLI pairs of persona talk from the grammar: premise = a persona fact or an earlier turn, hypothesis = an utterance.

Labels follow by rule, as in Dialogue NLI (Welleck et al., 2019): the same values entail, another value of a functional
slot and a denial contradict, everything else is neutral; here that includes what talk is mostly made of, questions,
reactions and small talk about the very same value. A fifth of the forms of each attribute (template families) and a
tenth of the values are held out for the development figures. Limitations: rules give a few wrong labels, and no pair is
hard to infer.
"""

from __future__ import annotations

import random

from factory.training.dialogues import lowered
from factory.training.grammar import (
    REPEATABLE,
    Attribute,
    GrammarFact,
    Split,
    attributes,
    draw,
    draw_fact,
    sentence,
    small_talk,
)
from factory.training.labelled import LABELS, LabelledPair

# Attributes whose values or denials bear on one another, so that a pair of them is no safe neutral.
RELATED = (
    {"city", "home", "origin"},
    {"job", "employer", "study"},
    {"pet", "pets", "like", "dislike", "fear", "allergy"},
    {"food", "eat", "diet", "like", "dislike", "allergy"},
    {"music", "band"},
    {"hobby", "collect", "like", "dislike", "sport", "read", "watch", "ritual", "skill"},
    {"married", "children"},
    {"travel", "trip", "want"},
    {"wake", "like", "dislike"},
    {"season", "like", "dislike"},
    {"car", "own", "like", "dislike"},
    {"sport", "like", "dislike"},
)

# Attributes that sound alike and go together whatever their values: a nurse may work for any employer.
COMPATIBLE = (
    ("job", "employer"),
    ("city", "origin"),
    ("city", "home"),
    ("city", "travel"),
    ("origin", "travel"),
    ("pet", "pets"),
    ("food", "eat"),
    ("music", "band"),
    ("hobby", "sport"),
    ("hobby", "ritual"),
    ("watch", "sport"),
    ("married", "children"),
    ("car", "own"),
    ("study", "employer"),
)


def _forms(forms: tuple[str, ...], held: bool) -> tuple[str, ...]:
    """The forms of one side of the template split: every fifth form, and the last of three or four, is held out."""
    kept = tuple(form for index, form in enumerate(forms) if (index % 5 == min(4, len(forms) - 1)) == held)
    return kept if kept and len(forms) > 2 else forms


def state(fact: GrammarFact, rng: random.Random, held: bool, spoken: bool = True) -> str:
    """The fact in a form of one side of the template split, as said in talk or as listed in a persona."""
    forms = fact.attribute.say if spoken else fact.attribute.fact
    values = dict(fact.values)
    if "n" in values and rng.random() < 0.4:
        values["n"] = rng.choice(_ALSO[values["n"]])
    return sentence(rng.choice(_forms(forms, held)), rng, values)


def dressed(text: str, fact: GrammarFact, rng: random.Random, split: Split) -> str:  # noqa: PLR0911 (one case a dress)
    """The statement as a turn: often with more said around it that has no bearing on the fact."""
    talk = small_talk()
    if rng.random() < 0.15 and text.endswith("."):
        text = f"{text[:-1]} {draw('ADJUNCT', rng, split)}."
    other = draw_fact(_unrelated(fact.attribute, rng), rng, split)
    aside = rng.choice((other.attribute.none or other.attribute.say) if rng.random() < 0.5 else other.attribute.say)
    match rng.randrange(12):
        case 0:
            return f"{sentence(rng.choice(talk['lead']), rng)} {lowered(text)}"
        case 1:
            return f"{sentence(rng.choice(talk['short']), rng)} {text}"
        case 2:
            return f"{text} {sentence(rng.choice(talk['back']), rng)}"
        case 3:
            return f"{text} {sentence(rng.choice(other.attribute.ask), rng, _ANY)}"
        case 4:
            return f"{sentence(aside, rng, other.values)} {text}"
        case 5:
            return f"{text} {sentence(aside, rng, other.values)}"
        case 6 if text.endswith("."):
            join = rng.choice((" and", ", but", " because", ", and"))
            return f"{text[:-1]}{join} {lowered(sentence(aside, rng, other.values))}"
        case 7:
            return f"{sentence(rng.choice(other.attribute.ask), rng, _ANY)} {text}"
        case _:
            return text


_ANY = {"r": "brother"}
_ALSO = {
    "two": ("2", "a pair of", "a couple of"),
    "three": ("3",),
    "four": ("4",),
    "five": ("5",),
    "six": ("6", "half a dozen"),
    "seven": ("7",),
}


def _other_values(fact: GrammarFact, slots: tuple[str, ...], rng: random.Random, split: Split) -> GrammarFact:
    values = dict(fact.values)
    for slot in slots:
        while values[slot] == fact.values[slot]:
            values[slot] = draw(fact.attribute.slots[slot], rng, split)
    return GrammarFact(fact.attribute, values, sentence(rng.choice(fact.attribute.fact), rng, values))


def _contradiction(fact: GrammarFact, rng: random.Random, held: bool, split: Split) -> tuple[str, str]:
    attribute = fact.attribute
    rules = ["denial"]
    if attribute.functional:
        rules += ["value"] * 3
    if attribute.none:
        rules.append("none")
    if attribute.opposite:
        rules += ["opposite"] * 2
    rule = rng.choice(rules)
    if rule == "value":
        other = _other_values(fact, (rng.choice(attribute.functional),), rng, split)
        return state(other, rng, held, rng.random() < 0.8), rule
    if rule == "opposite":
        opposite = GrammarFact(attributes()[str(attribute.opposite)], fact.values, "")
        return state(opposite, rng, held, rng.random() < 0.8), rule
    forms = attribute.none if rule == "none" else _forms(attribute.denial, held)
    return sentence(rng.choice(forms), rng, fact.values), rule


def _unrelated(attribute: Attribute, rng: random.Random) -> Attribute:
    barred = {attribute.name}.union(*(group for group in RELATED if attribute.name in group))
    return rng.choice([other for name, other in attributes().items() if name not in barred])


def _neutral(  # noqa: PLR0911, PLR0912 (one case a rule)
    fact: GrammarFact, rng: random.Random, held: bool, split: Split
) -> tuple[str, str]:
    attribute, talk = fact.attribute, small_talk()
    rules = ["unrelated"] * 3 + ["question", "react", "about", "idle", "answer", "other question", "no"]
    if attribute.name in (REPEATABLE | {"watch", "read", "sport", "collect", "language"}) - {"relative_job"}:
        rules += ["same topic"] * 4
    if attribute.name in ("job", "relative_job"):
        rules += ["other person"] * 4
    partners = [other for pair in COMPATIBLE if attribute.name in pair for other in pair if other != attribute.name]
    rules += ["compatible"] * min(6, 4 * len(partners))
    rule = rng.choice(rules)
    match rule:
        case "compatible":
            other = draw_fact(attributes()[rng.choice(partners)], rng, split)
            return state(other, rng, held), rule
        case "unrelated":
            return state(draw_fact(_unrelated(attribute, rng), rng, split), rng, held), rule
        case "same topic":
            other = _other_values(fact, ("v",), rng, split)
            return state(other, rng, held), rule
        case "other person":
            return _other_person(fact, rng, held, split), rule
        case "question":
            return sentence(rng.choice(attribute.ask + attribute.check), rng, {**_ANY, **fact.values}), rule
        case "other question":
            other = draw_fact(rng.choice(list(attributes().values())), rng, split)
            return sentence(
                rng.choice(other.attribute.ask + other.attribute.check), rng, {**_ANY, **other.values}
            ), rule
        case "react":
            # A reaction to the partner, who may have named the same value or another one.
            source = fact if rng.random() < 0.5 else _other_values(fact, ("v",), rng, split)
            return sentence(rng.choice(attribute.react), rng, source.values), rule
        case "about":
            return sentence(rng.choice(attribute.about)[0], rng, fact.values), rule
        case "answer":
            return sentence(rng.choice(rng.choice(attribute.about)[1]), rng, fact.values), rule
        case "no":
            denied = _unrelated(attribute, rng)
            other = draw_fact(denied, rng, split)
            return sentence(rng.choice(denied.none + denied.denial), rng, other.values), rule
        case _:
            purpose = rng.choice(("open", "greet", "more", "short", "idle", "pass", "end", "bye"))
            return sentence(rng.choice(talk[purpose]), rng), rule


def _other_person(fact: GrammarFact, rng: random.Random, held: bool, split: Split) -> str:
    """The same kind of statement about somebody else: my brother's job says nothing of mine, or of my sister's."""
    table = attributes()
    if fact.attribute.name == "relative_job" and rng.random() < 0.5:
        return state(_other_values(fact, ("r", "v"), rng, split), rng, held)
    other = table["relative_job" if fact.attribute.name == "job" else "job"]
    values = dict(draw_fact(other, rng, split).values)
    if rng.random() < 0.5:
        values["v"] = fact.values["v"]
    return state(GrammarFact(other, values, ""), rng, held)


def _without(rng: random.Random, held: bool, split: Split) -> LabelledPair:
    """A pair whose premise denies an attribute altogether: I do not own any pets."""
    attribute = rng.choice([attribute for attribute in attributes().values() if len(attribute.none) > 1])
    fact = draw_fact(attribute, rng, split)
    premise = sentence(rng.choice(attribute.none), rng)
    label = rng.choice(LABELS)
    if label == "entailment":
        hypothesis = sentence(rng.choice(attribute.none), rng)
    elif label == "contradiction":
        hypothesis = state(fact, rng, held)
    else:
        other = draw_fact(_unrelated(attribute, rng), rng, split)
        forms = other.attribute.none or other.attribute.denial
        hypothesis = sentence(rng.choice(forms), rng, other.values) if rng.random() < 0.6 else state(other, rng, held)
    return LabelledPair(premise, dressed(hypothesis, fact, rng, split), label, "none as premise")


def draw_pair(rng: random.Random, split: Split = "train", held_forms: bool = False) -> LabelledPair:
    """One labelled pair; `split` chooses the values, `held_forms` the side of the template split of both sentences."""
    if rng.random() < 0.08:
        return _without(rng, held_forms, split)
    attribute = rng.choice(list(attributes().values()))
    fact = draw_fact(attribute, rng, split)
    premise = state(fact, rng, held_forms, spoken=rng.random() < 0.3)
    label = rng.choices(LABELS, (30, 40, 30))[0]
    if label == "entailment":
        hypothesis, rule = state(fact, rng, held_forms, rng.random() < 0.8), "paraphrase"
    elif label == "contradiction":
        hypothesis, rule = _contradiction(fact, rng, held_forms, split)
    else:
        hypothesis, rule = _neutral(fact, rng, held_forms, split)
    return LabelledPair(premise, dressed(hypothesis, fact, rng, split), label, rule)
