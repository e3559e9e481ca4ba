"""Pairs by rule over triples: `python -m factory.training.triples DIALOGUES PAIRS --count N`.

Dialogue NLI (Welleck et al., ACL 2019) labels pairs of persona sentences by their triples of subject, relation and
object: the same triple entails, another object of a relation that has one contradicts. Here the triples are those of
`triples.yaml`; a hypothesis stands among sentences of real talk, as in a turn (DIALOGUES is Synthetic-Persona-Chat as
published), and plain statements of that talk are paired with their contraries. Writes JSON Lines for `train-nli`.
Limitations: English; labels are by rule, so some are wrong; forms are ours, fewer than people's.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from factory.base.words import content
from factory.training.published import HELD, dialogues

TABLE = Path(__file__).parent / "triples.yaml"
_STATEMENT = re.compile(r"(?:I|I'm|I've|My|We)\b")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_CONTRARY = (
    (
        r"^I(?: really| also| just)? (?:love|like|enjoy) ",
        ("I hate ", "I don't like ", "I can't stand "),
        ("I really do like ",),
    ),
    (r"^I(?: really)? hate |^I don't like ", ("I love ", "I really like "), ("I can't stand ",)),
    (r"^I'm (?=an? )", ("I'm not ", "I've never been ", "I've always wanted to be "), ("I am ", "I happen to be ")),
    (r"^I have (?=an? |two |three )", ("I don't have ", "I've never had ", "I wish I had "), ("I've got ", "I own ")),
    (r"^I live in ", ("I've never been to ", "I don't live in "), ("My home is in ", "I'm living in ")),
    (r"^I can ", ("I can't ", "I've never learned to "), ("I know how to ",)),
    (r"^I(?:'ve| have) been to ", ("I've never been to ", "I've always wanted to visit "), ("I have visited ",)),
    (r"^I've never ", ("I have often ", "I've "), ("Not once have I ",)),
    (r"^I don't ", ("I do ", "Sure, I "), ("I do not ",)),
)
"""Openings of plain statements, those that make the contrary, and those that say the same."""


class Pair(NamedTuple):
    """A labelled pair, and the rule behind it."""

    premise: str
    hypothesis: str
    label: str
    rule: str


class Said(NamedTuple):
    """A sentence by what it does with a triple."""

    text: str
    relation: str
    value: Any
    does: str


class Triples:
    """The table, from which sentences are drawn."""

    def __init__(self, table: dict[str, Any], rng: random.Random) -> None:
        self._rng = rng
        self._relations: dict[str, dict[str, Any]] = table["relations"]
        self._related = [frozenset(names) for names in table["related"]]

    def pairs(self) -> Iterator[Pair]:
        """Pairs without end: premise, hypothesis without its surroundings."""
        while True:
            name = self._rng.choice(list(self._relations))
            relation = self._relations[name]
            value, other = self._rng.sample(relation["values"], 2)
            said = self.say(name, value, "said")
            rule = self._rng.choice(
                ("same", "same", "value", "denied", "wished", "none", "beside", "else", "else value")
            )
            label, answer = self._answer(rule, said, other)
            if answer is not None and answer.text != said.text:
                texts = (
                    (answer.text, said.text)
                    if label == "contradiction" and self._rng.random() < 0.5
                    else (said.text, answer.text)
                )
                yield Pair(*texts, label, rule)

    def _answer(self, rule: str, said: Said, other: Any) -> tuple[str, Said | None]:
        """The label of what is said with a sentence of this rule, and the sentence; none if there is no such form."""
        relation, label = self._relations[said.relation], "neutral"
        if rule in ("same", "value"):
            alike = any(said.value in same and other in same for same in relation.get("same", ()))
            if rule == "same":
                return "entailment", self.say(said.relation, said.value, "said")
            label = label if relation["has"] == "many" or alike else "contradiction"
            return label, self.say(said.relation, other, "said")
        if rule == "else":
            name = self._rng.choice([name for name in self._relations if not self._is_related(name, said.relation)])
            does = [does for does in ("denied", "none") if does in self._relations[name]]
            return label, self.say(
                name, self._rng.choice(self._relations[name]["values"]), self._rng.choice(["said", *does])
            )
        if rule == "else value":
            rules = [does for does in ("denied", "wished", "beside") if does in relation]
            return label, self.say(said.relation, other, self._rng.choice(rules)) if rules else None
        return "neutral" if rule == "beside" else "contradiction", self.say(
            said.relation, said.value, rule
        ) if rule in relation else None

    def say(self, name: str, value: Any, does: str) -> Said:
        """A sentence that does this with the value."""
        relation = self._relations[name]
        forms: Sequence[str] = relation["forms"][value] if "forms" in relation else relation[does]
        text = self._rng.choice(forms)
        if "forms" not in relation:
            article = f"an {value}" if str(value)[0] in "aeiouAEIOU" else f"a {value}"
            text = text.replace("{v}", str(value)).replace("{a}", article)
        text = text.replace("{n}", str(self._rng.randint(2, 40)))
        return Said(text[0].upper() + text[1:], name, value, does)

    def _is_related(self, one: str, other: str) -> bool:
        return one == other or any({one, other} <= names for names in self._related)


def contraries(statements: Sequence[str], rng: random.Random) -> Iterator[Pair]:
    """Real statements with what contradicts and what repeats them."""
    for text in statements:
        for opening, contrary, same in _CONTRARY:
            if (found := re.match(opening, text)) is not None:
                rest = text[found.end() :]
                yield Pair(text, rng.choice(contrary) + rest, "contradiction", "contrary")
                yield Pair(text, rng.choice(same) + rest, "entailment", "repeated")
                break


def surrounded(pair: Pair, talk: Sequence[str], rng: random.Random) -> Pair:
    """The pair with real sentences around its hypothesis, which share no content word with the premise, three times of
    five; and now and then without apostrophes, as people type."""
    text, own = pair.hypothesis, content(pair.premise) | content(pair.hypothesis)
    if rng.random() < 0.6:
        for _ in range(rng.choice((1, 1, 2))):
            beside = rng.choice(talk)
            if not own & content(beside):
                text = f"{text} {beside}" if rng.random() < 0.5 else f"{beside} {text}"
    if rng.random() < 0.15:
        text = text.replace("'", rng.choice(("", " ")))
    return pair._replace(hypothesis=text)


def main() -> None:
    """Write the pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dialogues", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--count", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    found = [one for one in dialogues(given.dialogues) if one.number >= HELD]
    sentences = sorted({part for one in found for turn in one.turns for part in _SENTENCE.split(turn) if part})
    talk = [text for text in sentences if not _STATEMENT.match(text)]
    stated = sorted({fact for one in found for persona in one.personas for fact in persona})
    stated += [text for text in sentences if _STATEMENT.match(text) and len(text.split()) < 16]
    made = list(contraries(stated, rng))
    pairs = Triples(yaml.safe_load(TABLE.read_text(encoding="utf-8")), rng).pairs()
    made += [next(pairs) for _ in range(given.count - len(made))]
    rng.shuffle(made)
    with given.pairs.open("w", encoding="utf-8") as file:
        for pair in made:
            file.write(json.dumps(surrounded(pair, talk, rng)._asdict()) + "\n")


if __name__ == "__main__":
    main()
