"""Choosing one of several candidate turns: coherence first, then entailment (SimOAP, ACL 2023).

SimOAP samples 2,000 candidates, keeps the 100 nearest to the query by TF-IDF and of those takes the one that the
persona entails most. We follow it with tens of candidates, and add bounds that it lacks. TF-IDF rewards a candidate
that parrots the query, and entailment one that says the same fact in every turn: copies and repetitions are set aside,
and a fact that the speaker has told counts no more. Set aside are, too, candidates that contradict the persona or what
the speaker said before, and those that take a fact of the partner for their speaker's own, while there are others. As
in `consistency`, embeddings choose the facts and turns that a candidate is scored against.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence, Set

import numpy as np
from numpy.typing import NDArray

from factory.base.sentences import split_sentences
from factory.methods import Kit, together
from factory.store.records import Candidate

_WORD = r"\w+"
_SAYING = 3
"""Words from which on a sentence counts as saying something ("I am married")."""
_TOLD = 0.6
"""Cosine from which on an earlier turn is taken to have told a fact (ours)."""


async def choose(
    texts: Sequence[str],
    history: Sequence[str],
    facts: Sequence[str],
    partner: Sequence[str],
    kit: Kit,
    *,
    keep: float,
    max_copy: float,
    relevance: float,
    contradiction: float,
) -> list[Candidate]:
    """The texts as candidates, exactly one of them chosen. `history` is the earlier turns, of which they answer the
    last (without any, coherence is not scored), `facts` the speaker's own, `partner` those of the partner. `entailment`
    is the highest over the own facts of cosine `relevance` or more that are not told yet, `contradiction` over the own
    facts and the speaker's earlier turns of such a cosine, `taken` the highest entailment of a partner's fact by the
    candidate, if it entails no own one as much (each 0 without any); only the candidates that coherence kept have them.
    Every text holds a word."""
    candidates = [Candidate(text, chosen=False) for text in texts]
    kept = _coherent(candidates, history, keep, max_copy) if history else candidates
    await _judge(kept, history, facts, partner, kit, relevance=relevance)
    wrong = [max(candidate.contradiction or 0, candidate.taken or 0) for candidate in kept]
    ranks = [
        (True, candidate.entailment or 0) if bad <= contradiction else (False, -bad)
        for candidate, bad in zip(kept, wrong, strict=True)
    ]
    kept[ranks.index(max(ranks))].chosen = True
    return candidates


def _coherent(candidates: list[Candidate], history: Sequence[str], keep: float, max_copy: float) -> list[Candidate]:
    """The share of the candidates that is nearest to the last turn, without copies and repetitions if others are
    left."""
    query, texts = history[-1], [candidate.text for candidate in candidates]
    said = {sentence for turn in history for sentence in sentences(turn)}
    similarity = coherence(query, texts)
    for candidate, value in zip(candidates, similarity, strict=True):
        candidate.coherence = value
    order = sorted(range(len(texts)), key=lambda index: -similarity[index])
    original = [index for index in order if copied(query, texts[index]) <= max_copy] or order
    fresh = [index for index in original if not repeats(texts[index], said)] or original
    return [candidates[index] for index in fresh[: math.ceil(keep * len(fresh))]]


async def _judge(
    kept: Sequence[Candidate],
    history: Sequence[str],
    facts: Sequence[str],
    partner: Sequence[str],
    kit: Kit,
    *,
    relevance: float,
) -> None:
    """Fill entailment, contradiction and what is taken over."""
    earlier, spoken, own, both = history[-2::-2], [one.text for one in kept], len(facts), len(facts) + len(partner)
    known = [*facts, *partner, *earlier]
    vectors = await kit.embedder.encode([*known, *spoken])
    near = vectors[len(known) :] @ vectors[: len(known)].T >= relevance
    told = (vectors[:own] @ vectors[both : len(known)].T).max(axis=1, initial=-1) >= _TOLD
    held, stated = near.copy(), near[:, :both]
    held[:, own:both] = False
    (entailed, contradicted), (states, _) = await together([
        _scored(kit, held, lambda one, place: (known[place], spoken[one])),
        _scored(kit, stated, lambda one, place: (spoken[one], known[place])),
    ])  # fmt: skip
    entailment = np.where(told, 0, entailed[:, :own]).max(axis=1, initial=0)
    by_own, by_partner = states[:, :own].max(axis=1, initial=0), states[:, own:].max(axis=1, initial=0)
    taken = np.where(by_partner > by_own, by_partner, 0)
    for place, candidate in enumerate(kept):
        candidate.entailment, candidate.taken = float(entailment[place]), float(taken[place])
        candidate.contradiction = float(contradicted[place].max(initial=0))


async def _scored(
    kit: Kit, mask: NDArray[np.bool_], pair: Callable[[int, int], tuple[str, str]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """P(entailment) and P(contradiction) of the pairs that the mask names, in its shape; 0 elsewhere."""
    places = [(int(one), int(other)) for one, other in np.argwhere(mask)]
    scores = await kit.nli.score([pair(*place) for place in places])
    entailed, contradicted = np.zeros(mask.shape), np.zeros(mask.shape)
    for place, score in zip(places, scores, strict=True):
        entailed[place], contradicted[place] = score.entailment, score.contradiction
    return entailed, contradicted


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
