"""Portrayal: how far the talk shows who its speakers are: what it tells of their profiles, and whether they can be told
apart. By embeddings, and NLI for pairs that are near.

Limitations: a fact that is only hinted at is not expressed; the match of profiles needs facts that `extract` read off
the turns, and is as good as they are; speakers are told apart by what they talk of more than by how, and within one
dialogue, where replies resemble what they answer.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import cache
from itertools import chain, product
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from factory.base.sentences import parts_of
from factory.methods import Calls, Column, EmbeddingModelName, Kit, ModelKind, NliModelName, Params, Scored
from factory.store.records import Detail, Row, Value

_PART = 48
"""Words of a turn that NLI reads at once, as in `consistency`."""
_SHUFFLES = 100
"""Shuffles of the speakers that chance is the mean of."""
_LEAST_TURNS = 2
"""Turns of each speaker, of whom else nothing is left to be recognised by."""
_OF_SPEAKERS = ("density", "precision", "recall", "f1", "identifiability")
Vectors = NDArray[np.float32]
_Pair = tuple[str, str]
"""A premise and a hypothesis."""


class PortrayalParams(Params):
    """Parameters of `portrayal`."""

    method: Literal["portrayal"] = Field("portrayal", description="The method.")
    relevance: float = Field(
        0.4,
        ge=-1,
        le=1,
        description="Least embedding cosine of a turn, or an extracted fact, and a held fact that NLI is asked of. "
        "Ours, and not measured: it is what keeps pairs few.",
    )
    nli: NliModelName = Field("nli", description="The NLI model that says what a turn or a fact states.")
    embedding: EmbeddingModelName = Field("embedding", description="The embedding model.")


class Portrayal:
    """Measures density, the match of given and re-read profiles, and identifiability.

    `density` counts the turns that entail a given or expanded fact of their speaker. `precision` is the share of the
    extracted facts that a held fact entails, `recall` the share of the held facts that an extracted one entails, `f1`
    their harmonic mean, by speaker and then averaged (dialogue-profile consistency both ways: USP, arXiv
    2502.18968). `identifiability` is how often a turn is nearer to the mean
    of its speaker's other turns than to that of the partner's, averaged over speakers, less what comes of shuffling
    who said what.

    >>> from factory.methods.example import dialogue, scored
    >>> found = scored(Portrayal, dialogue(), relevance=0.3).values
    >>> round(found["density"], 2), found["precision"], found["identifiability"]
    (0.33, 0.0, None)
    """

    name = "portrayal"
    version = 1
    Params = PortrayalParams
    reads = frozenset({"facts.seed", "facts.expand", "facts.extract", "turns"})
    columns = (
        Column("density", "double", "Share of turns that entail a fact of their speaker; null without facts.", 0, 1),
        Column(
            "precision",
            "double",
            "Share of the extracted facts that a held one entails; null where none is extracted or held.",
            0,
            1,
            "higher",
        ),
        Column(
            "recall",
            "double",
            "Share of the held facts that an extracted one entails; null where none is extracted or held.",
            0,
            1,
            "higher",
        ),
        Column("f1", "double", "Harmonic mean of both, by speaker; null where either is.", 0, 1, "higher"),
        Column(
            "identifiability",
            "double",
            "Share of the turns whose speaker is recognised by the nearest mean embedding, less chance; null where one "
            "says fewer than two turns.",
            -1,
            1,
        ),
    )
    details: ClassVar = {"speaker": _OF_SPEAKERS, "turn": ("expressed",)}

    def __init__(self, params: PortrayalParams) -> None:
        self.params = params

    @property
    def needs(self) -> frozenset[ModelKind]:
        """NLI and embeddings."""
        return frozenset({"nli", "embedding"})

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """One batch of pairs, if there are turns."""
        each = np.minimum(turns, 1)
        return each, each

    async def score(self, row: Row, kit: Kit) -> Scored:
        """Measure each speaker, then the dialogue."""
        if not row.turns:
            return Scored(missing="input_missing")
        texts, held = [turn.text for turn in row.turns], [one.facts_of("seed", "expand") for one in row.speakers]
        read_off = [one.facts_of("extract") for one in row.speakers]
        vectors = await kit.embedder.encode([*texts, *chain(*held, *read_off)])
        recognised = identifiability(vectors[: len(texts)], [turn.speaker for turn in row.turns])
        pairs = [(turn.text, fact) for turn in row.turns for fact in held[turn.speaker]]
        pairs += [pair for one, other in zip(held, read_off, strict=True) for pair in _both_ways(one, other)]
        places = {text: place for place, text in enumerate([*texts, *chain(*held, *read_off)])}
        near = [pair for pair in dict.fromkeys(pairs) if _cosine(vectors, places, pair) >= self.params.relevance]
        stated = await _entailed(near, kit)
        expressed = [_any(((turn.text, fact) for fact in held[turn.speaker]), stated) for turn in row.turns]
        own = [
            {
                "density": _mean(one for turn, one in zip(row.turns, expressed, strict=True) if turn.speaker == side),
                **_match(held[side], read_off[side], stated),
                "identifiability": recognised[side],
            }
            for side in range(len(row.speakers))
        ]
        values: dict[str, Value | None] = {name: _mean(one[name] for one in own) for name in _OF_SPEAKERS}
        return Scored(
            values | {"density": _mean(expressed)},
            [
                *(Detail(self.name, "speaker", [*one.values()], side) for side, one in enumerate(own)),
                *(
                    Detail(self.name, "turn", [one], turn.speaker, number)
                    for number, (turn, one) in enumerate(zip(row.turns, expressed, strict=True))
                ),
            ],
        )


def _both_ways(facts: Sequence[str], others: Sequence[str]) -> list[_Pair]:
    return [*product(facts, others), *product(others, facts)]


def _cosine(vectors: Vectors, places: Mapping[str, int], pair: _Pair) -> float:
    return float(vectors[places[pair[0]]] @ vectors[places[pair[1]]])


async def _entailed(pairs: Sequence[_Pair], kit: Kit) -> set[_Pair]:
    """The pairs whose premise, or a part of it where it is long, entails the hypothesis: likelier than not to."""
    asked = [(pair, (part, pair[1])) for pair in pairs for part in parts_of(pair[0], _PART)]
    scores = await kit.nli.score([one for _, one in asked])
    return {pair for (pair, _), score in zip(asked, scores, strict=True) if score.entailment > 0.5}


def _any(pairs: Iterable[_Pair], stated: Set[_Pair]) -> float | None:
    """Whether one of the pairs is stated, as 0 or 1; none of none."""
    found = [pair in stated for pair in pairs]
    return float(any(found)) if found else None


def _match(held: Sequence[str], read_off: Sequence[str], stated: Set[_Pair]) -> dict[str, float | None]:
    """How far two profiles match; none where one is empty, which tells nothing."""
    precision = _mean(_any(product(held, [one]), stated) for one in read_off)
    recall = _mean(_any(product(read_off, [one]), stated) for one in held)
    both = None if precision is None or recall is None else 2 * precision * recall / max(precision + recall, 1e-9)
    return {"precision": precision, "recall": recall, "f1": both}


def identifiability(vectors: Vectors, speakers: Sequence[int]) -> list[float | None]:
    """For each of two speakers: the share of its turns whose mean dot product with its other turns is above that with
    the partner's (ties count half), less the mean share over shuffles of who said what. None for both where one has
    fewer than two turns. `vectors` has the shape (turns, dimensions)."""
    counts = [speakers.count(side) for side in (0, 1)]
    if min(counts) < _LEAST_TURNS:
        return [None, None]
    labels = np.array(speakers)[_shuffles(len(speakers))]
    alike = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    np.fill_diagonal(alike, 0)
    found: list[float | None] = []
    for side, (own, others) in enumerate((counts, counts[::-1])):
        mine = labels == side
        nearer = mine @ alike / (own - 1) - ~mine @ alike / others
        shares = ((np.sign(nearer) + 1) / 2 * mine).sum(axis=1) / own
        found.append(float(shares[0] - shares[1:].mean()))
    return found


@cache
def _shuffles(count: int) -> NDArray[np.int64]:
    """Places of so many turns, shape (1 + shuffles, turns): first as they are, then shuffled, always alike."""
    chance = random.Random(count)
    return np.array([range(count), *(chance.sample(range(count), count) for _ in range(_SHUFFLES))])


def _mean(found: Iterable[float | None]) -> float | None:
    """The mean of what is known; none of nothing."""
    known = [one for one in found if one is not None]
    return sum(known) / len(known) if known else None
