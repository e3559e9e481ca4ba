"""What the candidates of a row's turns are worth: by what stands in the row, or by APC, which takes the models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from factory.methods import Embedder, NliScorer
from factory.methods.exports import ExportError, Source
from factory.methods.makers.converse import Converse
from factory.methods.scores.consistency import ConsistencyParams, apc, persona
from factory.store.records import Row

Scores = list[float | None]
"""Of each candidate of a turn; none for one that coherence set aside."""
Turns = list[tuple[int, Scores]]


def by_nli(row: Row) -> Turns:
    """The scores of the row's turns that have candidates: P(entailment) - P(contradiction)."""
    return [
        (
            number,
            [
                None if one.entailment is None or one.contradiction is None else one.entailment - one.contradiction
                for one in row.turns[number].candidates
            ],
        )
        for number in with_candidates(row)
    ]


def by_apc(rows: Sequence[Row], source: Source) -> list[Turns]:
    """The same by APC. Raises ScorerStartError, and ExportError where nothing tells which models chose."""
    scorers = source.scorers(rows[0], Converse.name)
    if scorers is None:
        raise ExportError(f"row {rows[0].row_id}: nothing says which models chose its candidates; use --by nli")
    return scorers.together(apc_of(row, scorers.nli, scorers.embedder) for row in rows)


async def apc_of(row: Row, nli: NliScorer, embedder: Embedder) -> Turns:
    """APC of the candidates that coherence kept, over the facts that their speaker is held to. As in `consistency`, NLI
    judges a fact and a reply whose cosine is high enough; other pairs count as neutral."""
    least = ConsistencyParams().relevance
    found: Turns = []
    for number in with_candidates(row):
        turn, facts = row.turns[number], persona(row, row.turns[number].speaker)
        kept = [place for place, one in enumerate(turn.candidates) if one.entailment is not None]
        texts = [turn.candidates[place].text for place in kept]
        query = [row.turns[number - 1].text] if number else []
        vectors = await embedder.encode([*facts, *texts, *query])
        own, said = vectors[: len(facts)], vectors[len(facts) : len(facts) + len(texts)]
        relevance = own @ vectors[-1] if number else np.zeros(len(facts))
        near = np.argwhere(said @ own.T >= least).tolist()
        judged = await nli.score([(facts[fact], texts[reply]) for reply, fact in near])
        of_pair = {(reply, fact): score for (reply, fact), score in zip(near, judged, strict=True)}
        scores: Scores = [None] * len(turn.candidates)
        for reply, place in enumerate(kept):
            scores[place] = apc((float(relevance[fact]), of_pair.get((reply, fact))) for fact in range(len(facts)))
        found.append((number, scores))
    return found


def with_candidates(row: Row) -> list[int]:
    """The turns that were chosen from candidates."""
    return [number for number, turn in enumerate(row.turns) if turn.candidates]
