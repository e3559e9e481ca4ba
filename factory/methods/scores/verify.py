"""Verify: score what was said against who says it. It stores probabilities and decides nothing.

Relevance by embedding chooses which pairs reach the NLI model: generic NLI finds contradiction in unrelated
sentences, and pays for each. A pair that is not scored counts as neutral. Limitations: each pair is judged without its
context, so a contradiction may be none in context (CAFFEINE, EACL 2024, finds that of 65 % of flagged pairs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from factory.methods import Kit, Role
from factory.scorers.nli import Probabilities
from factory.store.records import Check, Consistency, PairScore, Row

Cosine = Callable[[str, str], float]


class VerifyParams(BaseModel):
    """Parameters of `verify`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    relevance: float = Field(
        0.12,
        ge=-1,
        le=1,
        description="Least embedding cosine of a fact and a turn, or an extracted fact, that NLI scores. Ours, "
        "measured with all-MiniLM-L6-v2: 0.12 passes 59 % of turn and own-fact pairs of Synthetic-Persona-Chat (arXiv "
        "2312.10007), and hides 0.7 % of the contradictions of unseen persona pairs; 0.3 passes 13 %, and hides 11 %.",
    )
    turn_relevance: float = Field(
        0.3,
        ge=-1,
        le=1,
        description="Least embedding cosine of two turns of one speaker that NLI scores. Ours, measured as above: 0.3 "
        "passes 20 % of them.",
    )
    coverage_similarity: float = Field(
        0.6,
        ge=-1,
        le=1,
        description="A fact is expressed by a turn with this cosine, entailed or not. Ours, measured as above: NLI "
        "finds 70 to 90 % of such pairs entailed, depending on the model.",
    )


class Verify:
    """Fills `scores` and `consistency`."""

    name = "verify"
    version = 2

    def __init__(self, params: VerifyParams) -> None:
        self.params = params

    @property
    def needs(self) -> frozenset[Role]:
        """Embeddings say what is relevant, NLI scores it."""
        return frozenset({"nli", "embedding"})

    @staticmethod
    def clear(row: Row) -> None:
        """Take the scores off the row."""
        row.scores, row.consistency = [], None

    def least(self, check: Check) -> float:
        """The cosine that a pair must have to be scored."""
        return self.params.turn_relevance if check == "turn_turn" else self.params.relevance

    async def run(self, row: Row, kit: Kit) -> None:
        """Score the row's pairs: one call to each model."""
        self.clear(row)
        pairs = list(pairs_of(row))
        texts = sorted({turn.text for turn in row.turns}.union(*((pair.premise, pair.hypothesis) for pair in pairs)))
        vectors = await kit.embedder.encode(texts)
        cosines, place = vectors @ vectors.T, {text: index for index, text in enumerate(texts)}

        def cosine(one: str, other: str) -> float:
            return float(cosines[place[one], place[other]])

        relevant = [pair for pair in pairs if cosine(pair.premise, pair.hypothesis) >= self.least(pair.check)]
        judged = await kit.nli.score([(pair.premise, pair.hypothesis) for pair in relevant])
        row.scores = [
            PairScore(
                **pair._asdict(),
                similarity=cosine(pair.premise, pair.hypothesis),
                entailment=found.entailment,
                neutral=found.neutral,
                contradiction=found.contradiction,
            )
            for pair, found in zip(relevant, judged, strict=True)
        ]
        row.consistency = consistency(row, cosine, self.params.coverage_similarity)


class Pair(NamedTuple):
    """A premise and a hypothesis that may be worth scoring."""

    check: Check
    speaker: int
    turn: int
    premise: str
    hypothesis: str
    premise_turn: int | None = None


def pairs_of(row: Row) -> Iterator[Pair]:
    """Every turn against its speaker's facts (given or expanded) and earlier turns, and every extracted fact against
    the same facts."""
    for number, turn in enumerate(row.turns):
        for fact in persona(row, turn.speaker):
            yield Pair("turn_persona", turn.speaker, number, fact, turn.text)
        for before, earlier in enumerate(row.turns[:number]):
            if earlier.speaker == turn.speaker:
                yield Pair("turn_turn", turn.speaker, number, earlier.text, turn.text, before)
    for place, speaker in enumerate(row.speakers):
        for extracted in speaker.facts:
            if extracted.turn is not None:
                for fact in persona(row, place):
                    yield Pair("extracted_persona", place, extracted.turn, fact, extracted.text)


def persona(row: Row, speaker: int) -> list[str]:
    """The facts a speaker is held to: those it was given, not those read off its turns nor its distractors."""
    return row.speakers[speaker].facts_of("seed", "expand")


def verdict(score: PairScore) -> Literal["neutral", "entailment", "contradiction"]:
    """The likeliest of the three labels."""
    if score.neutral >= max(score.entailment, score.contradiction):
        return "neutral"
    return "entailment" if score.entailment > score.contradiction else "contradiction"


def consistency(row: Row, cosine: Cosine, coverage_similarity: float) -> Consistency:
    """The scores of a whole dialogue, from its `scores` and the cosines of its facts and turns. `pairs` counts the
    pairs of turns with facts and with earlier turns, which the shares are of; without pairs, or facts, a share is 0."""
    scored = [score for score in row.scores if score.check != "extracted_persona"]
    of_turn = {(score.turn, score.premise): score for score in scored if score.check == "turn_persona"}
    labels = [verdict(score) for score in scored]
    signs = [_SIGN[verdict(score)] for score in of_turn.values()]
    turns = len(row.turns)
    return Consistency(
        c_score=sum(signs) / turns,
        profile_length=sum(len(persona(row, turn.speaker)) for turn in row.turns) / turns,
        apc=sum(_apc(row, number, of_turn, cosine) for number in range(turns)) / turns,
        entailed_share=labels.count("entailment") / max(len(labels), 1),
        contradicted_share=labels.count("contradiction") / max(len(labels), 1),
        coverage=_coverage(row, of_turn, cosine, coverage_similarity),
        pairs=len(labels),
    )


_SIGN = {"entailment": 1, "neutral": 0, "contradiction": -1}
_ByTurn = dict[tuple[int, str], PairScore]


def _apc(row: Row, number: int, of_turn: _ByTurn, cosine: Cosine) -> float:
    """APC of one turn; its query is the turn before (turn 0: itself)."""
    turn, query = row.turns[number], row.turns[max(number - 1, 0)].text
    scored = [(cosine(fact, query), of_turn.get((number, fact))) for fact in persona(row, turn.speaker)]
    return apc(scored)


def apc(statements: Iterable[tuple[float, Probabilities | PairScore | None]]) -> float:
    """APC of a reply (NeurIPS 2024): over the statements s, the sum of (1 - P_rel)(1 - P_contradict) + P_rel P_entail.

    Each is given by the cosine of s with the query, which stands for P_rel (theirs is a trained classifier's), and what
    NLI makes of s and the reply; none counts as neutral."""
    total = 0.0
    for cosine, score in statements:
        relevance = min(max(cosine, 0.0), 1.0)
        entailed, contradicted = (score.entailment, score.contradiction) if score else (0.0, 0.0)
        total += (1 - relevance) * (1 - contradicted) + relevance * entailed
    return total


def _coverage(row: Row, of_turn: _ByTurn, cosine: Cosine, coverage_similarity: float) -> float:
    """Share of both speakers' facts that an own turn expresses: the fact entails it, or is as good as the same."""
    expressed = [
        any(
            turn.speaker == speaker
            and (
                cosine(fact, turn.text) >= coverage_similarity
                or ((number, fact) in of_turn and verdict(of_turn[number, fact]) == "entailment")
            )
            for number, turn in enumerate(row.turns)
        )
        for speaker in range(len(row.speakers))
        for fact in persona(row, speaker)
    ]
    return sum(expressed) / max(len(expressed), 1)
