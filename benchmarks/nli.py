"""Pairs a second of the factory's NLI over those of the ways a user would pick, and how many pairs it need not score.

    python -m benchmarks.nli DATA [--model nli-small] [--dialogues 200] [--rounds 3]

DATA is a folder with Synthetic-Persona-Chat's `synthetic_persona_chat_valid.csv` in `dialogues/`, and in `nli/` the
files that benchmarks/nli_small.py reads. The pairs are those that `consistency` makes of those dialogues: every turn
with its speaker's facts and earlier turns. All ways score the pairs that the relevance gate leaves, with one model,
in turns; the factory's gets them as in a run, a dialogue a call, all at once. `apart` is the largest difference of a
probability from CrossEncoder's in float32, `agree` the share of pairs with the same likeliest label.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import time
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import print_machine
from benchmarks.nli_small import held_out, minimal_edits
from factory.methods.scores.consistency import Consistency, ConsistencyParams, pairs_of
from factory.models import resolve
from factory.scorers.embeddings import EmbeddingModel, Embeddings
from factory.scorers.nli import Nli, NliModel, Probabilities
from factory.seeds.archives import find_files
from factory.seeds.fields import SeedFields
from factory.seeds.source import read_file
from factory.store.records import Fact, Row, Seed, SeedRef, Speaker, Turn

LABELS = ("entailment", "neutral", "contradiction")
Pairs = list[tuple[str, str]]
Scores = NDArray[np.float32]


class Way(Protocol):
    """Scores the pairs of dialogues: the three probabilities of each pair, in order."""

    def __call__(self, dialogues: list[Pairs]) -> Scores: ...


class Factory:
    """The factory's scorer, asked for a dialogue at a time, for all at once."""

    def __init__(self, model: str) -> None:
        self._nli = Nli(NliModel(name=model))

    def __call__(self, dialogues: list[Pairs]) -> Scores:
        async def ask() -> list[list[Probabilities]]:
            return await asyncio.gather(*(self._nli.score(pairs) for pairs in dialogues))

        answers = asyncio.run(ask())
        return np.array([[one.entailment, one.neutral, one.contradiction] for found in answers for one in found])


class CrossEncoders:
    """sentence-transformers' CrossEncoder, given all pairs in one call; its default type is the stored weights'."""

    def __init__(self, model: str, dtype: str = "auto") -> None:
        from sentence_transformers import CrossEncoder

        longest = NliModel(name=model).max_length
        self._encoder = CrossEncoder(resolve(model), max_length=longest, device="cpu", model_kwargs={"dtype": dtype})

    def __call__(self, dialogues: list[Pairs]) -> Scores:
        pairs = [pair for found in dialogues for pair in found]
        labels = {label.lower(): column for column, label in self._encoder.model.config.id2label.items()}
        return self._encoder.predict(pairs, apply_softmax=True)[:, [labels[label] for label in LABELS]]


class Pipeline:
    """transformers' text-classification pipeline with its defaults, given all pairs in one call."""

    def __init__(self, model: str) -> None:
        from transformers import pipeline

        self._pipeline = pipeline("text-classification", model=resolve(model), device="cpu", top_k=None)

    def __call__(self, dialogues: list[Pairs]) -> Scores:
        pairs = [{"text": premise, "text_pair": said} for found in dialogues for premise, said in found]
        answers = self._pipeline(pairs, truncation=True, max_length=128)
        scores = ({one["label"].lower(): one["score"] for one in answer} for answer in answers)
        return np.array([[answer[label] for label in LABELS] for answer in scores])


WAYS = {
    "factory": Factory,
    "CrossEncoder": CrossEncoders,
    "CrossEncoder in float32": lambda model: CrossEncoders(model, "float32"),
    "pipeline": Pipeline,
}


def rows_of(data: Path, count: int) -> list[Row]:
    """The first dialogues, as rows that wait for their score."""
    (file,) = find_files("dialogues/synthetic_persona_chat_valid.csv", "spc", data)
    seeds = (seed for seed in read_file(file, SeedFields(), []) if isinstance(seed, Seed))
    return [_row(seed) for seed in itertools.islice(seeds, count)]


def _row(seed: Seed) -> Row:
    speakers = [
        Speaker(seed.id, seed.id, facts=[Fact(text, "seed", seed.id) for text in facts]) for facts in seed.personas
    ]
    turns = [Turn(speaker, text) for speaker, text in seed.turns]
    return Row(
        seed.id, "imported", 0, [SeedRef(seed.id, list(seed.digests), seed.source, seed.line)], speakers, turns=turns
    )


def cosines(pairs: Pairs) -> NDArray[np.float32]:
    """The embedding cosine of each pair."""
    texts = sorted({text for pair in pairs for text in pair})
    vectors = asyncio.run(Embeddings(EmbeddingModel(name="minilm")).encode(texts))
    place = {text: number for number, text in enumerate(texts)}
    first, second = (vectors[[place[pair[side]] for pair in pairs]] for side in (0, 1))
    return (first * second).sum(axis=1)


def print_saved(data: Path, rows: list[Row]) -> list[Pairs]:
    """How many pairs the gates and reuse leave, and what the gate of facts misses; the pairs that are left, a list a
    dialogue."""
    consistency = Consistency(ConsistencyParams())
    found = [list(pairs_of(row)) for row in rows]
    pairs = [(pair.premise, pair.hypothesis) for row in found for pair in row]
    least = np.array([consistency.least(pair.check) for row in found for pair in row])
    near = iter(cosines(pairs) >= least)
    kept = [[(pair.premise, pair.hypothesis) for pair in row if next(near)] for row in found]
    relevant = [pair for row in kept for pair in row]
    print(f"{len(pairs)} pairs; relevant {len(relevant)} ({len(relevant) / len(pairs):.3f} of all); ", end="")
    print(f"different {len(set(relevant))} ({len(set(relevant)) / len(pairs):.3f} of all)")
    labelled = held_out(data) | {"minimal edits": [pair for edit in minimal_edits(data) for pair in edit]}
    for name, known in labelled.items():
        against = [(pair.premise, pair.hypothesis) for pair in known if pair.label == "contradiction"]
        if against:
            missed = int((cosines(against) < consistency.params.relevance).sum())
            print(f"  {name}: {missed} of {len(against)} contradictions below it ({missed / len(against):.3f})")
    return kept


def main() -> None:
    """Measure, and print a line a round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="nli-small")
    parser.add_argument("--dialogues", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print_machine()
    rows = rows_of(given.data, given.dialogues)
    dialogues = print_saved(given.data, rows)
    count = sum(map(len, dialogues))
    ways: dict[str, Way] = {name: way(given.model) for name, way in WAYS.items()}
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    scores = {name: way(dialogues[:10]) for name, way in ways.items()}  # the first call warms up
    for number in range(1, given.rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            scores[name] = way(dialogues)
            speeds[name].append(count / (time.perf_counter() - began))
        told = ", ".join(f"{name} {found[-1]:.0f}" for name, found in speeds.items())
        print(f"round {number}, pairs/s: {told}", flush=True)
    ours, theirs = scores["factory"], scores["CrossEncoder in float32"]
    same = (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean()
    print(f"apart {np.abs(ours - theirs).max():.3f}, agree {same:.4f}, {count} pairs")
    for name in list(ways)[1:]:
        ratios = [one / other for one, other in zip(speeds["factory"], speeds[name], strict=True)]
        print(f"factory / {name}: {statistics.median(ratios):.2f} (median of {given.rounds})")


if __name__ == "__main__":
    main()
