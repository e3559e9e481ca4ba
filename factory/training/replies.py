"""The replies that taught the bundled model talk-small: people's, and what stands in their place when talk goes wrong.

`python -m factory.training.replies CSV OUT.jsonl` writes pairs of what was said before and a reply, labelled `natural`
(Synthetic-Persona-Chat), `senseless` (words out of order, of another place, or of no language) or `unrelated` (a reply
to something else), for `factory train-nli`. Half of the pairs are cut to a sentence a turn, since other people say less
at once, and half are written as carelessly as people chat. Limitations: English; faults by rule, which are plainer than
those of models.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path

from factory.base.sentences import split_sentences
from factory.methods.scores.naturalness import context
from factory.training.published import HELD, dialogues

SEED = 11
_TERSE, _CARELESS = 0.5, 0.5
_SLIPS: tuple[tuple[str, str, float], ...] = (
    (r"(?<=\w)[.!]$", "", 0.6), (r"[.!] ", " ", 0.4), (r",", "", 0.6), (r"\?", "", 0.3), (r"['’]", "", 0.4),
    (r"\bI'm\b", "i am", 0.3), (r"\b[Yy]ou're\b", "your", 0.3), (r"\bI'm\b|\bI am\b", "am", 0.1),
    (r"\bI've\b", "i have", 0.3),
    (r"^(?:I|It's|That's) (?=\w)", "", 0.15), (r" (?:a|an|the) ", " ", 0.15), (r" (?:so|really|very|just) ", " ", 0.2),
    (r"\b(?:too|to)\b", "to", 0.2), (r"\bgoing to\b", "gonna", 0.3), (r"\b[Yy]ou\b", "u", 0.05), (r"\band\b", "&", 0.1),
)  # fmt: skip
"""Patterns, what stands in their place, and how often in a careless text."""
_WINDOW = (4, 12)
"""Words of a stretch that is put out of order: less than many a turn has, so that its ends stay whole."""
_STRANGE = 0.5
"""Share of the words of a turn that others take the place of."""
_CONSONANTS, _VOWELS = ("b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "st", "t", "v", "z"), "aeiou"
_FAR = 3
"""Turns between a reply and one of the same dialogue that stands in its place."""


class Talk:
    """All that is drawn from: the turns of people, and which word they say after which."""

    def __init__(self, turns: Sequence[Sequence[str]], chance: random.Random) -> None:
        self.chance = chance
        self.turns = turns
        self.words = [word for turn in chain.from_iterable(turns) for word in turn.split()]
        self.next: defaultdict[str, list[str]] = defaultdict(list)
        for one, other in pairwise(self.words):
            self.next[one].append(other)

    def senseless(self, text: str) -> str:
        """The text, or one as long, without sense: one of five kinds."""
        kinds = (self.disordered, self.disordered, self.strange, self.strung, self.drawn, self.babble)
        return self.chance.choice(kinds)(text.split())

    def disordered(self, words: list[str]) -> str:
        """A stretch of the words in another order."""
        length = min(len(words), self.chance.randint(*_WINDOW))
        first = self.chance.randint(0, len(words) - length)
        stretch = words[first : first + length]
        other = self.chance.sample(stretch, length)
        return " ".join([*words[:first], *(other if other != stretch else other[::-1]), *words[first + length :]])

    def strange(self, words: list[str]) -> str:
        """Words from anywhere in the place of half of them."""
        return " ".join(self.chance.choice(self.words) if self.chance.random() < _STRANGE else word for word in words)

    def strung(self, words: list[str]) -> str:
        """As many words, each of which people say after the one before it."""
        said = [self.chance.choice(self.words)]
        for _ in words[1:]:
            said.append(self.chance.choice(self.next.get(said[-1]) or self.words))
        return " ".join(said)

    def drawn(self, words: list[str]) -> str:
        """As many words from anywhere."""
        return " ".join(self.chance.choices(self.words, k=len(words)))

    def babble(self, words: list[str]) -> str:
        """As many words of syllables."""
        return " ".join(
            "".join(
                self.chance.choice(_CONSONANTS) + self.chance.choice(_VOWELS)
                for _ in range(self.chance.randint(1, 3))
            )
            for _ in words
        )  # fmt: skip

    def unrelated(self, own: Sequence[str], number: int) -> str:
        """A turn of another dialogue, or one of this that stands elsewhere."""
        far = [turn for place, turn in enumerate(own) if abs(place - number) > _FAR and place % 2 == number % 2]
        if far and self.chance.random() < 1 / 3:
            return self.chance.choice(far)
        return self.chance.choice(self.chance.choice(self.turns))


def careless(text: str, chance: random.Random) -> str:
    """The text with the slips of people who chat."""
    for pattern, other, share in _SLIPS:
        if chance.random() < share:
            text = re.sub(pattern, other, text)
    return text


def pairs(turns: Sequence[Sequence[str]], chance: random.Random) -> list[dict[str, str]]:
    """For each turn of each dialogue a pair of every kind that it allows, in a drawn order."""
    talk, found = Talk(turns, chance), list[dict[str, str]]()
    for own in turns:
        for number, turn in enumerate(own):
            kinds = {"natural": turn}
            if len(turn.split()) >= _WINDOW[0]:
                kinds["senseless"] = talk.senseless(turn)
            if number:
                kinds["unrelated"] = talk.unrelated(own, number)
            before = [*own[:number]]
            if chance.random() < _TERSE:
                before = [chance.choice(split_sentences(one)) for one in before[:-1]]
                before += [split_sentences(one)[-1] for one in own[max(number - 1, 0) : number]]
                kinds = {kind: chance.choice((text, split_sentences(text)[0])) for kind, text in kinds.items()}
            if chance.random() < _CARELESS:
                before = [careless(one, chance) for one in before]
                kinds = {kind: careless(text, chance) for kind, text in kinds.items()}
            premise = context(before, number)
            found += [{"premise": premise, "hypothesis": text, "label": kind} for kind, text in kinds.items()]
    chance.shuffle(found)
    return found


def main(path: Path, output: Path) -> None:
    """Write the pairs as JSON Lines."""
    found = pairs([one.turns for one in dialogues(path) if one.number >= HELD], random.Random(SEED))
    output.write_text("\n".join(json.dumps(pair, ensure_ascii=False) for pair in found) + "\n", encoding="utf-8")
    print(f"{len(found)} pairs")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
