"""What the candidates of a row's turns are worth: by what stands in the row, or by APC, which takes the models."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from factory.export.errors import ExportError
from factory.export.formats import NOT_ALTERNATING
from factory.export.source import Source
from factory.methods import Embedder, NliScorer
from factory.methods.makers.converse import alternates
from factory.methods.scores.verify import VerifyParams, apc, persona
from factory.scorers.embeddings import EmbeddingModel, Embeddings
from factory.scorers.nli import Nli, NliModel
from factory.store.recipes import kept
from factory.store.records import Row

Scores = list[float | None]
"""Of each candidate of a turn; none for one that coherence set aside."""
Turns = list[tuple[int, Scores]]
_AT_ONCE = 32
"""Rows that the models score together."""


def by_nli(source: Source) -> Iterator[tuple[str, Row, Turns]]:
    """Each row with the scores of its turns that have candidates: P(entailment) - P(contradiction)."""
    for split, row in _with_candidates(source):
        yield (
            split,
            row,
            [
                (
                    number,
                    [
                        None
                        if one.entailment is None or one.contradiction is None
                        else one.entailment - one.contradiction
                        for one in row.turns[number].candidates
                    ],
                )
                for number in _chosen(row)
            ],
        )


def by_apc(source: Source) -> Iterator[tuple[str, Row, Turns]]:
    """The same by APC. Raises ScorerStartError."""
    rows = _with_candidates(source)
    first = next(rows, None)
    if first is None:
        return
    nli, embedder = _models(source, first[1])
    try:
        with asyncio.Runner() as runner:
            batch = [first, *islice(rows, _AT_ONCE - 1)]
            while batch:
                scored = runner.run(_score(batch, nli, embedder))
                for (split, row), turns in zip(batch, scored, strict=True):
                    yield split, row, turns
                batch = list(islice(rows, _AT_ONCE))
    finally:
        nli.close()
        embedder.close()


async def _score(rows: Sequence[tuple[str, Row]], nli: NliScorer, embedder: Embedder) -> list[Turns]:
    return await asyncio.gather(*(apc_of(row, nli, embedder) for _, row in rows))


async def apc_of(row: Row, nli: NliScorer, embedder: Embedder) -> Turns:
    """APC of the candidates that coherence kept, over the facts that their speaker is held to. As in `verify`, NLI
    judges a fact and a reply whose cosine is high enough; other pairs count as neutral."""
    least = VerifyParams().relevance
    found: Turns = []
    for number in _chosen(row):
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


def _chosen(row: Row) -> list[int]:
    """The turns that were chosen from candidates."""
    return [number for number, turn in enumerate(row.turns) if turn.candidates]


def _with_candidates(source: Source) -> Iterator[tuple[str, Row]]:
    for split, row in source.rows():
        if not alternates(row):
            source.leave_out(NOT_ALTERNATING)
        elif not _chosen(row):
            source.leave_out("rows without candidates")
        else:
            yield split, row


def _models(source: Source, row: Row) -> tuple[Nli, Embeddings]:
    """The models that chose among the candidates of a row, whatever chose among those of the others."""
    recipe = next((record.recipe for record in row.stages if record.stage == "converse"), None)
    if recipe is None:
        raise ExportError(f"row {row.row_id}: nothing says which models chose its candidates; use --by nli")
    models = kept(source.corpus, recipe)[0].models
    return Nli(NliModel.model_validate(models["nli"])), Embeddings(EmbeddingModel.model_validate(models["embedding"]))
