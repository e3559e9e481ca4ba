"""What the scores cost beside `consistency`: `python -m benchmarks.scoring CORPUS`.

Each score that asks no language model measures the corpus's dialogues three times, in turn, on freshly opened models,
and told is the CPU time a dialogue, the best of three; then all of them together, which share the embeddings of turns
and facts, against `consistency` alone. Limitations: one process; embeddings and NLI on the CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from benchmarks.machine import print_machine
from factory.methods import Kit, together
from factory.methods.example import kit
from factory.methods.scores.consistency import Consistency, ConsistencyParams
from factory.methods.scores.lexical import Lexical, LexicalParams
from factory.methods.scores.naturalness import Naturalness, NaturalnessParams
from factory.methods.scores.portrayal import Portrayal, PortrayalParams
from factory.methods.scores.screen import Screen, ScreenParams
from factory.scorers.classifier import Classifier, ClassifierModel
from factory.scorers.embeddings import EmbeddingModel, Embeddings
from factory.scorers.nli import Nli, NliModel
from factory.store.corpus import Corpus
from factory.store.records import Row

ROUNDS = 3
SCORES: dict[str, Any] = {
    "consistency": Consistency(ConsistencyParams()),
    "naturalness": Naturalness(NaturalnessParams()),
    "lexical": Lexical(LexicalParams()),
    "portrayal": Portrayal(PortrayalParams()),
    "screen": Screen(ScreenParams()),
}


async def seconds(scores: Sequence[Any], rows: Sequence[Row], nli: Nli, classifier: Classifier) -> float:
    """CPU time of these scores over all rows, with embeddings that nothing was asked of before."""
    embedder = Embeddings(EmbeddingModel())
    await embedder.encode(["warm"])
    known: Kit = replace(kit(), nli=nli, embedder=embedder, classifier=classifier)
    since = time.process_time()
    await together(chain.from_iterable([one.score(row, known) for one in scores] for row in rows))
    took = time.process_time() - since
    embedder.close()
    return took


async def measure(rows: Sequence[Row]) -> None:
    """Print the table."""
    nli, classifier = Nli(NliModel(name="nli-small")), Classifier(ClassifierModel(name="talk-small"))
    sets = {name: [score] for name, score in SCORES.items()} | {"all together": list(SCORES.values())}
    took: dict[str, list[float]] = {name: [] for name in sets}
    await seconds(sets["all together"], rows[:8], nli, classifier)
    for _ in range(ROUNDS):
        for name, scores in sets.items():
            took[name].append(await seconds(scores, rows, nli, classifier))
    print("| score | ms a dialogue | of consistency, by round |\n| --- | ---: | --- |")
    for name, each in took.items():
        ratios = ", ".join(f"{one / other:.2f}" for one, other in zip(each, took["consistency"], strict=True))
        print(f"| {name} | {1000 * min(each) / len(rows):.1f} | {ratios} |")
    nli.close()
    classifier.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    given = parser.parse_args()
    print_machine()
    asyncio.run(measure(list(Corpus(given.corpus).rows())))
