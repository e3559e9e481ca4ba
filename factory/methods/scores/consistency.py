"""Consistency: what was said against who says it. It stores probabilities and decides nothing.

Relevance by embedding chooses which pairs reach the NLI model: generic NLI finds contradiction in unrelated
sentences, and pays for each. A pair that is not scored counts as neutral. Generic NLI is weak on persona talk: trained
on SNLI, it is right on 46 % of Dialogue NLI (Welleck et al., ACL 2019), so know your model's error rates:
`factory calibrate`. A turn that is longer than such models read is scored in parts. Limitations: each pair is judged
without its context, so a contradiction may be none in context (CAFFEINE, EACL 2024, finds that of 65 % of flagged
pairs); a part is without the rest of its turn, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import chain, islice, product
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from factory.base.sentences import parts_of, split_sentences
from factory.methods import Calls, Column, EmbeddingModelName, Kit, ModelKind, NliModelName, Params, Scored
from factory.scorers.nli import Probabilities
from factory.store.records import Detail, Fact, Row, Value

Check = Literal["turn_persona", "turn_turn", "extracted_persona", "extracted_turn", "extracted_extracted"]
Cosine = Callable[[str, str], float]
_CHECKS: tuple[Check, ...] = get_args(Check)
_VALUES = ("similarity", "entailment", "neutral", "contradiction")
_OF_TURNS: frozenset[Check] = frozenset({"turn_persona", "turn_turn"})
_OF_EXTRACTED: frozenset[Check] = frozenset({"extracted_persona", "extracted_extracted"})
_OF_FACTS = ("contradiction", "c_score", "apc", "coverage")
_PART = 48
"""Words of a text that are scored at once: two texts of so many are within the 128 tokens that NLI models are trained
on (PAML, ACL 2019), at up to 1.3 tokens a word."""


class ConsistencyParams(Params):
    """Parameters of `consistency`."""

    method: Literal["consistency"] = Field("consistency", description="The method.")
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
    nli: NliModelName = Field(
        "nli", description="The NLI model: one of its own, if it should not be the one that makers ask."
    )
    embedding: EmbeddingModelName = Field("embedding", description="The embedding model that says what NLI scores.")


class Consistency:
    """Scores pairs of what a speaker says and the facts it holds or what it said before, by NLI.

    Pairs are each turn with its speaker's facts (`turn_persona`), given or expanded, and with the speaker's earlier
    turns (`turn_turn`), and each extracted fact with the same facts (`extracted_persona`), with the turn it was read
    off (`extracted_turn`, where the fact is the hypothesis) and with the speaker's other extracted facts
    (`extracted_extracted`). Of a turn in parts, the part counts that contradicts most, if one does, or else the one
    entailed most. The C score grows with the
    profile, so `profile_length` stands beside it. Of APC a relevant fact must be entailed, an irrelevant one not
    contradicted; relevance is a cosine here, a trained classifier there (arXiv 2405.07726). What is measured against
    facts is null where no speaker holds any.

    >>> from factory.methods.example import dialogue, scored
    >>> row = dialogue()
    >>> row.turns[2].text = "I never ski."
    >>> values = scored(Consistency, row).values
    >>> values["contradiction"], values["coverage"]
    (0.9, 0.5)
    """

    name = "consistency"
    version = 2
    Params = ConsistencyParams
    reads = frozenset({"facts.seed", "facts.expand", "facts.extract", "turns"})
    columns = (
        Column("contradiction", "double", "Highest P(contradiction) of a turn and an own fact.", 0, 1, "lower"),
        Column("self_contradiction", "double", "Highest P(contradiction) of two turns of a speaker.", 0, 1, "lower"),
        Column(
            "extracted_contradiction",
            "double",
            "Highest P(contradiction) of an extracted fact with a held one or another extracted one.",
            0,
            1,
            "lower",
        ),
        Column(
            "extracted_entailment",
            "double",
            "Lowest P(entailment) of an extracted fact by its turn; 1 if none was extracted.",
            0,
            1,
            "higher",
        ),
        Column(
            "c_score",
            "double",
            "Mean over turns of the sum over own facts of +1 (entailed), 0, -1 (PAML, ACL 2019), to be read beside "
            "profile_length.",
            better="higher",
        ),
        Column("profile_length", "double", "Mean over turns of the facts their speaker holds.", 0),
        Column(
            "apc",
            "double",
            "Mean over turns of the expected number of satisfied constraints (APC, NeurIPS 2024).",
            0,
            better="higher",
        ),
        Column("entailed_share", "double", "Share of the turns' scored pairs that are entailed.", 0, 1, "higher"),
        Column("contradicted_share", "double", "Share of the turns' scored pairs that contradict.", 0, 1, "lower"),
        Column("coverage", "double", "Share of the facts that some own turn expresses.", 0, 1, "higher"),
        Column("pairs", "int", "Pairs of turns with facts and with earlier turns that NLI scored.", 0),
    )
    details = dict.fromkeys(_CHECKS, _VALUES)

    def __init__(self, params: ConsistencyParams) -> None:
        self.params = params

    @property
    def needs(self) -> frozenset[ModelKind]:
        """Embeddings say what is relevant, NLI scores it."""
        return frozenset({"nli", "embedding"})

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """One batch of pairs, if there are turns."""
        each = np.minimum(turns, 1)
        return each, each

    def least(self, check: Check) -> float:
        """The cosine that a pair must have to be scored."""
        return self.params.turn_relevance if check == "turn_turn" else self.params.relevance

    async def score(self, row: Row, kit: Kit) -> Scored:
        """Score the row's pairs: one call to each model. What is measured against facts is null where no speaker holds
        any."""
        if not row.turns:
            return Scored(missing="input_missing")
        pairs = list(pairs_of(row))
        parts = {text: parts_of(text, _PART) for text in _texts(row, pairs)}
        whole = sorted(set(chain.from_iterable(parts.values())))
        vectors, place = await kit.embedder.encode(whole), {text: number for number, text in enumerate(whole)}
        cosines = vectors @ vectors.T

        def cosine(one: str, other: str) -> float:
            return max(float(cosines[place[a], place[b]]) for a, b in product(parts[one], parts[other]))

        relevant = [pair for pair in pairs if self._is_relevant(pair, cosine)]
        asked = [list(_asked(pair, parts)) for pair in relevant]
        judged = iter(await kit.nli.score(list(chain.from_iterable(asked))))
        scored = [
            ScoredPair(pair, cosine(pair.premise, pair.hypothesis), counting(pair.check, islice(judged, len(some))))
            for pair, some in zip(relevant, asked, strict=True)
        ]
        values: dict[str, Value | None] = dict(measures(row, scored, cosine, self.params.coverage_similarity))
        if not any(persona(row, speaker) for speaker in range(len(row.speakers))):
            values |= dict.fromkeys(_OF_FACTS)
        return Scored(values, [one.detail() for one in scored])

    def _is_relevant(self, pair: Pair, cosine: Cosine) -> bool:
        """A fact is scored against its own turn however far they are apart."""
        return pair.check == "extracted_turn" or cosine(pair.premise, pair.hypothesis) >= self.least(pair.check)


def _asked(pair: Pair, parts: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    """What NLI is asked for a pair. Of a turn that a fact was read off, each sentence is asked by itself, too: beside
    others NLI misses what one of them entails."""
    yield from product(parts[pair.premise], parts[pair.hypothesis])
    if pair.check == "extracted_turn" and len(sentences := split_sentences(pair.premise)) > 1:
        yield from product(chain.from_iterable(parts_of(one, _PART) for one in sentences), parts[pair.hypothesis])


def _texts(row: Row, pairs: Iterable[Pair]) -> set[str]:
    return {turn.text for turn in row.turns}.union(*((pair.premise, pair.hypothesis) for pair in pairs))


def counting(check: Check, found: Iterable[Probabilities]) -> Probabilities:
    """Of the parts of a pair: the one that contradicts most, if that is the likeliest for it, or else the one entailed
    most. A fact that was read off a turn needs one part that entails it."""
    known = list(found)
    one, best = max(known, key=lambda part: part.contradiction), max(known, key=lambda part: part.entailment)
    return one if check != "extracted_turn" and verdict(one) == "contradiction" else best


class Pair(NamedTuple):
    """A premise and a hypothesis that may be worth scoring. `fact` is the place of the premise among the speaker's
    facts of its origin, `other` that of the premise among the turns or of the hypothesis among the extracted facts.
    What is read off a turn has the turn."""

    check: Check
    speaker: int
    turn: int
    premise: str
    hypothesis: str
    other: int | None = None
    origin: str | None = None
    fact: int | None = None


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """A pair, the cosine of its embeddings and the three NLI probabilities."""

    pair: Pair
    similarity: float
    found: Probabilities

    def detail(self) -> Detail:
        """As it is stored: texts by their places."""
        pair, found = self.pair, self.found
        return Detail(
            score=Consistency.name,
            kind=pair.check,
            values=[self.similarity, found.entailment, found.neutral, found.contradiction],
            speaker=pair.speaker,
            turn=pair.turn,
            other=pair.other,
            origin=pair.origin,
            fact=pair.fact,
        )


def pairs_of(row: Row) -> Iterator[Pair]:
    """Every turn against its speaker's facts (given or expanded) and earlier turns, and every extracted fact against
    the same facts, its turn and the facts extracted before it."""
    held = [list(held_facts(row, speaker)) for speaker in range(len(row.speakers))]
    for number, turn in enumerate(row.turns):
        for origin, place, fact in held[turn.speaker]:
            yield Pair("turn_persona", turn.speaker, number, fact, turn.text, None, origin, place)
        for before, earlier in enumerate(row.turns[:number]):
            if earlier.speaker == turn.speaker:
                yield Pair("turn_turn", turn.speaker, number, earlier.text, turn.text, before)
    for speaker in range(len(row.speakers)):
        extracted = facts_of(row, speaker, "extract")
        for other, found in enumerate(extracted):
            at = found.turn or 0
            for origin, place, fact in held[speaker]:
                yield Pair("extracted_persona", speaker, at, fact, found.text, other, origin, place)
            yield Pair("extracted_turn", speaker, at, row.turns[at].text, found.text, other)
            for place, known in enumerate(extracted[:other]):
                yield Pair("extracted_extracted", speaker, at, known.text, found.text, other, "extract", place)


def scored_pairs(row: Row, score: str = "consistency") -> list[ScoredPair]:
    """The pairs that a score of this method stored with a row, with their texts."""
    return [
        ScoredPair(_stored(row, detail), *_values(detail))
        for detail in row.details
        if detail.score == score and detail.kind in _CHECKS
    ]


def _stored(row: Row, detail: Detail) -> Pair:
    speaker, turn = detail.speaker or 0, detail.turn or 0
    premise, hypothesis = "", row.turns[turn].text
    if detail.origin is not None and detail.fact is not None:
        premise = facts_of(row, speaker, detail.origin)[detail.fact].text
    if detail.kind == "extracted_turn":
        premise = hypothesis
    if detail.other is not None and detail.kind == "turn_turn":
        premise = row.turns[detail.other].text
    elif detail.other is not None:
        hypothesis = facts_of(row, speaker, "extract")[detail.other].text
    check = next(check for check in _CHECKS if check == detail.kind)
    return Pair(check, speaker, turn, premise, hypothesis, detail.other, detail.origin, detail.fact)


def _values(detail: Detail) -> tuple[float, Probabilities]:
    similarity, *found = (value or 0.0 for value in detail.values)
    return similarity, Probabilities(*found)


def facts_of(row: Row, speaker: int, origin: str) -> list[Fact]:
    """A speaker's facts of one origin."""
    return [fact for fact in row.speakers[speaker].facts if fact.origin == origin]


def held_facts(row: Row, speaker: int) -> Iterator[tuple[str, int, str]]:
    """The facts a speaker is held to, those it was given and those that expand them, not those read off its turns nor
    its distractors: origin, place among those of the origin, and text."""
    for origin in ("seed", "expand"):
        for place, fact in enumerate(facts_of(row, speaker, origin)):
            yield origin, place, fact.text


def persona(row: Row, speaker: int) -> list[str]:
    """The texts of the facts a speaker is held to."""
    return [text for _, _, text in held_facts(row, speaker)]


def verdict(found: Probabilities) -> Literal["neutral", "entailment", "contradiction"]:
    """The likeliest of the three labels."""
    if found.neutral >= max(found.entailment, found.contradiction):
        return "neutral"
    return "entailment" if found.entailment > found.contradiction else "contradiction"


def measures(
    row: Row, scored: Iterable[ScoredPair], cosine: Cosine, coverage_similarity: float
) -> dict[str, float | int]:
    """The values of a whole dialogue, from its scored pairs and the cosines of its facts and turns. `pairs` counts the
    pairs of turns with facts and with earlier turns, which the shares are of; without pairs, or facts, a share is 0."""
    scored = list(scored)
    of_turns = [one for one in scored if one.pair.check in _OF_TURNS]
    supported = [one.found.entailment for one in scored if one.pair.check == "extracted_turn"]
    of_turn = {(one.pair.turn, one.pair.premise): one for one in of_turns if one.pair.check == "turn_persona"}
    labels = [verdict(one.found) for one in of_turns]
    signs = [_SIGN[verdict(one.found)] for one in of_turn.values()]
    turns = len(row.turns)
    return {
        "contradiction": _highest(scored, {"turn_persona"}),
        "self_contradiction": _highest(scored, {"turn_turn"}),
        "extracted_contradiction": _highest(scored, _OF_EXTRACTED),
        "extracted_entailment": min(supported, default=1.0),
        "c_score": sum(signs) / turns,
        "profile_length": sum(len(persona(row, turn.speaker)) for turn in row.turns) / turns,
        "apc": sum(_apc(row, number, of_turn, cosine) for number in range(turns)) / turns,
        "entailed_share": labels.count("entailment") / max(len(labels), 1),
        "contradicted_share": labels.count("contradiction") / max(len(labels), 1),
        "coverage": _coverage(row, of_turn, cosine, coverage_similarity),
        "pairs": len(labels),
    }


def _highest(scored: Iterable[ScoredPair], checks: Set[Check]) -> float:
    """The highest P(contradiction) of the pairs of some checks; 0 where none was relevant enough to be scored."""
    return max((one.found.contradiction for one in scored if one.pair.check in checks), default=0.0)


_SIGN = {"entailment": 1, "neutral": 0, "contradiction": -1}
_ByTurn = dict[tuple[int, str], ScoredPair]


def _apc(row: Row, number: int, of_turn: _ByTurn, cosine: Cosine) -> float:
    """APC of one turn; its query is the turn before (turn 0: itself)."""
    turn, query = row.turns[number], row.turns[max(number - 1, 0)].text
    found = {fact: one.found for fact in persona(row, turn.speaker) if (one := of_turn.get((number, fact)))}
    return apc((cosine(fact, query), found.get(fact)) for fact in persona(row, turn.speaker))


def apc(statements: Iterable[tuple[float, Probabilities | None]]) -> float:
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
                or ((number, fact) in of_turn and verdict(of_turn[number, fact].found) == "entailment")
            )
            for number, turn in enumerate(row.turns)
        )
        for speaker in range(len(row.speakers))
        for fact in persona(row, speaker)
    ]
    return sum(expressed) / max(len(expressed), 1)
