"""Fits the weights of the gate `telling`: `python -m factory.training.telling CSV`, on Synthetic-Persona-Chat.

A sentence tells something that holds most words of a fact that `extractor_pairs` finds in its turn, of the persona or a
statement of its own. Personas' facts are further sentences that do. Most weights of an L1 penalty are nought, and left
out. It prints, for a few thresholds, the share of turns that pass and of facts that are kept, on dialogues that were
not learned. Limitations: the labels are those of nli-small and of rules, so a fact that neither knows may be lost
unseen.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from factory.base.sentences import split_sentences
from factory.methods.makers.telling import INTERCEPT, WEIGHTS, features, telling, words_of
from factory.scorers.nli import Nli, NliModel
from factory.training.extractor_pairs import Told, stems, told
from factory.training.published import HELD, Dialogue, dialogues

_PENALTY = 0.3
_SMALLEST = 0.02
_SHARED = 0.6
_THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


def fit(sentences: Sequence[tuple[list[str], bool]]) -> dict[str, float]:
    """The weights of each feature that has one, from the words of sentences and whether they tell something."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    columns = CountVectorizer(analyzer=lambda words: features(words) - {INTERCEPT}, binary=True, min_df=3)
    known = columns.fit_transform([words for words, _ in sentences])
    model = LogisticRegression(solver="liblinear", l1_ratio=1, C=_PENALTY, max_iter=1000)
    model.fit(known, np.array([tells for _, tells in sentences]))
    weights = dict(zip(columns.get_feature_names_out(), model.coef_[0], strict=True))
    kept = {name: float(weight) for name, weight in weights.items() if abs(weight) >= _SMALLEST}
    return {INTERCEPT: float(model.intercept_[0])} | kept


def sentences_of(turn: Told) -> list[tuple[list[str], bool]]:
    """The words of each sentence of a turn, and whether it holds most of those of one of the turn's facts."""
    wanted = [stems(fact) for fact in turn.facts or ()]
    return [
        (words, any(len(fact & stems(sentence)) >= _SHARED * len(fact) for fact in wanted))
        for sentence in split_sentences(turn.turn)
        if (words := words_of(sentence))
    ]


def kept(turns: Sequence[Told], threshold: float) -> tuple[float, float, float]:
    """At a threshold: the share of turns that pass; of facts of personas that some turn tells, of those that a turn
    which passes tells; and the same of all facts, with the statements of the turns."""
    passed = {one.turn for one in turns if telling(one.turn) >= threshold}
    share = sum(one.turn in passed for one in turns) / len(turns)
    return share, _kept(turns, passed, "of_persona"), _kept(turns, passed, "facts")


def _kept(turns: Sequence[Told], passed: set[str], of: Literal["of_persona", "facts"]) -> float:
    told = [(one.turn, (one.dialogue, fact)) for one in turns for fact in getattr(one, of) or ()]
    return len({fact for turn, fact in told if turn in passed}) / len({fact for _, fact in told})


async def _labelled(found: Sequence[Dialogue]) -> list[Told]:
    nli = Nli(NliModel(name="nli-small"))
    try:
        return await told(found, nli)
    finally:
        nli.close()


def main(path: Path) -> None:
    """Write the weights, and tell what they keep of dialogues that no model of ours is trained on."""
    found = dialogues(path)
    turns = asyncio.run(_labelled(found))
    learned = [sentence for one in turns if one.dialogue >= HELD for sentence in sentences_of(one)]
    facts = {fact for one in found if one.number >= HELD for persona in one.personas for fact in persona}
    weights = fit(learned + [(words_of(fact), True) for fact in sorted(facts)])
    lines = [f"{weight:.2f}\t{name}\n" for name, weight in weights.items()]
    WEIGHTS.write_text("".join(lines), encoding="utf-8")
    held = [one for one in turns if one.dialogue < HELD]
    print(f"{len(weights)} weights; {len(held):,} turns of dialogues that were not learned")
    for threshold in _THRESHOLDS:
        passed, of_persona, of_all = kept(held, threshold)
        print(f"{threshold:.2f}: {passed:.3f} of turns pass; facts of personas {of_persona:.3f}, all {of_all:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
