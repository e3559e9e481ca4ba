"""Choosing one of several candidate turns: coherence first, then entailment (SimOAP, ACL 2023).

SimOAP samples 2,000 candidates, keeps the 100 nearest to the query by TF-IDF and of those takes the one that the
persona entails most. We follow it with tens of candidates, and add three bounds that it lacks: TF-IDF rewards a
candidate that parrots the query, and entailment one that says the same fact in every turn, so copies and repetitions
are set aside, and so are candidates that contradict the persona or what the speaker said before, while there are
others. As in `consistency`, embeddings choose the facts and turns that a candidate is scored against.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence, Set

from factory.base.sentences import split_sentences
from factory.methods import Kit
from factory.store.records import Candidate

_WORD = r"\w+"
_SAYING = 3
"""Words from which on a sentence counts as saying something ("I am married")."""


async def choose(
    texts: Sequence[str],
    history: Sequence[str],
    facts: Sequence[str],
    kit: Kit,
    *,
    keep: float,
    max_copy: float,
    relevance: float,
    contradiction: float,
) -> list[Candidate]:
    """The texts as candidates, exactly one of them chosen. `history` is the earlier turns, of which they answer the
    last (without any, coherence is not scored), `facts` the speaker's own; `entailment` is the highest over the facts
    of cosine `relevance` or more, `contradiction` over these and the speaker's earlier turns of such a cosine (0
    without any), and only the candidates that coherence kept have them. Every text holds a word."""
    candidates = [Candidate(text, chosen=False) for text in texts]
    kept = candidates
    if history:
        query = history[-1]
        said = {sentence for turn in history for sentence in sentences(turn)}
        similarity = coherence(query, texts)
        for candidate, value in zip(candidates, similarity, strict=True):
            candidate.coherence = value
        order = sorted(range(len(texts)), key=lambda index: -similarity[index])
        original = [index for index in order if copied(query, texts[index]) <= max_copy] or order
        fresh = [index for index in original if not repeats(texts[index], said)] or original
        kept = [candidates[index] for index in fresh[: math.ceil(keep * len(fresh))]]

    held = [*facts, *history[-2::-2]]
    vectors = await kit.embedder.encode([*held, *(candidate.text for candidate in kept)])
    cosines = vectors[len(held) :] @ vectors[: len(held)].T
    near = [(one, place) for one in range(len(kept)) for place in range(len(held)) if cosines[one, place] >= relevance]
    scores = await kit.nli.score([(held[place], kept[one].text) for one, place in near])
    ranks = []
    for one, candidate in enumerate(kept):
        own = [(place, score) for (other, place), score in zip(near, scores, strict=True) if other == one]
        entailed = max((score.entailment for place, score in own if place < len(facts)), default=0.0)
        contradicted = max((score.contradiction for _, score in own), default=0.0)
        candidate.entailment, candidate.contradiction = entailed, contradicted
        ranks.append((True, entailed) if contradicted <= contradiction else (False, -contradicted))
    kept[ranks.index(max(ranks))].chosen = True
    return candidates


def coherence(query: str, texts: Sequence[str]) -> list[float]:
    """Cosine of each text with the query; TF-IDF fitted on the query and the texts, as SimOAP does."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # slow to import, and most workers never choose

    matrix = TfidfVectorizer(token_pattern=_WORD).fit_transform([query, *texts])
    similarities: list[float] = (matrix[1:] @ matrix[:1].T).toarray().ravel().tolist()
    return similarities


def copied(query: str, text: str) -> float:
    """Share of the text's distinct words that the query has too."""
    words, source = (set(re.findall(_WORD, part.lower())) for part in (text, query))
    return len(words & source) / len(words)


def sentences(text: str) -> set[str]:
    """The sentences of a text that say something, as bare words: shorter ones ("I see.") may well come again."""
    words = map(_bare, split_sentences(text))
    return {sentence for sentence in words if len(sentence.split()) >= _SAYING}


def repeats(text: str, said: Set[str]) -> bool:
    """Whether the text says one of these sentences again, on its own or within another ("As for me, I ski")."""
    words = f" {_bare(text)} "
    return any(f" {sentence} " in words for sentence in said)


def _bare(text: str) -> str:
    return " ".join(re.findall(_WORD, text.casefold()))
