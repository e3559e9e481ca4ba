"""Pairs of real talk, labelled by a larger NLI model: `python -m factory.training.taught DIALOGUES PAIRS --by MODEL`.

A small model lacks people's own ways to contradict a fact, for which no labels may be had; a larger one that learned
from the same labelled pairs says them. Pairs are a persona fact and a turn of its speaker, two turns of a speaker, and
a fact and somebody's sentence that share a word, all of Synthetic-Persona-Chat as published (DIALOGUES). Those of which
the model is sure are written as JSON Lines for `train-nli`, no more neutral ones than others. Limitations: what the
larger model gets wrong is learned, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from factory.base.sentences import split_sentences
from factory.base.words import content
from factory.scorers.nli import Nli, NliModel
from factory.training.published import HELD, Dialogue, dialogues

SURE = 0.8
_SHARED = 60_000
"""Pairs that share a word that are drawn from."""


def candidates(found: Sequence[Dialogue], rng: random.Random) -> list[tuple[str, str]]:
    """Pairs whose label is not known, in a random order."""
    pairs = {*_own(found), *_sharing(found, rng)}
    return rng.sample(sorted(pairs), len(pairs))


def _own(found: Sequence[Dialogue]) -> Iterator[tuple[str, str]]:
    for one in found:
        for side in (0, 1):
            said = one.turns[side::2]
            yield from ((fact, turn) for fact in one.personas[side] for turn in said)
            yield from ((before, turn) for number, turn in enumerate(said) for before in said[:number])


def _sharing(found: Sequence[Dialogue], rng: random.Random) -> Iterator[tuple[str, str]]:
    sentences = sorted({part for one in found for turn in one.turns for part in split_sentences(turn)})
    facts = sorted({fact for one in found for persona in one.personas for fact in persona})
    by_word: defaultdict[str, list[str]] = defaultdict(list)
    for text in [*sentences, *facts]:
        for word in content(text):
            by_word[word].append(text)
    pairs = [
        (fact, other)
        for fact in facts
        for word in content(fact)
        for other in rng.sample(by_word[word], min(40, len(by_word[word])))
        if other != fact
    ]
    yield from rng.sample(pairs, min(_SHARED, len(pairs)))


async def labelled(pairs: Sequence[tuple[str, str]], model: str) -> list[dict[str, str]]:
    """Those of which the model is sure, with its label."""
    nli = Nli(NliModel(name=model))
    rows = []
    for (premise, hypothesis), found in zip(pairs, await nli.score(pairs), strict=True):
        shares = {"entailment": found.entailment, "neutral": found.neutral, "contradiction": found.contradiction}
        label = max(shares, key=lambda name: shares[name])
        if shares[label] >= SURE:
            rows.append({"premise": premise, "hypothesis": hypothesis, "label": label, "labelled_by": model})
    nli.close()
    neutral = [row for row in rows if row["label"] == "neutral"]
    others = [row for row in rows if row["label"] != "neutral"]
    return [*others, *neutral[: len(others)]]


def main() -> None:
    """Write the pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dialogues", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--by", required=True, help="the larger NLI model: a folder, or a Hugging Face id")
    parser.add_argument("--count", type=int, default=40_000, help="pairs that it is asked about")
    given = parser.parse_args()
    rng = random.Random(7)
    found = [one for one in dialogues(given.dialogues) if one.number >= HELD]
    rows = asyncio.run(labelled(candidates(found, rng)[: given.count], given.by))
    rng.shuffle(rows)
    given.pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
