"""Naturalness: signs of bad talk that consistency does not see, each a column of its own.

By rule: drift into another language or into none (py3langid, a naive Bayes over byte n-grams), a speaker that loops,
repeats what the partner said, recites its persona, or talks like an assistant. By a small classifier of replies: words
without sense, and replies to something else. By NLI: a fact of the partner's that a speaker takes for its own. By
embeddings: how near replies are to what they answer. A filter that knows contradiction alone accepts all of these.
Limitations: thresholds belong to a register, to be found on talk that one trusts; assistants' phrases and the bundled
classifier are English.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from factory.base.sentences import parts_of
from factory.base.words import content
from factory.methods import (
    Calls,
    ClassifierName,
    Column,
    EmbeddingModelName,
    Kit,
    ModelKind,
    NliModelName,
    Params,
    Scored,
)
from factory.methods.signs import WORD, alike, is_assistants, pairs_of_words, recited
from factory.store.records import Detail, Row

_VALUES = ("language", "loop", "parroting", "recital", "assistant", "senseless", "unrelated", "taken", "relatedness")
_LEAST_WORDS, _LEAST_LETTERS = 5, 12
"""Words, or letters of other scripts than Latin, of a turn whose language can be told: of 1,370 turns of
Synthetic-Persona-Chat with five words none has P(English) below 0.1, of those with four 0.2 %."""
_THIRD = 2
"""Times that a short turn was said before it is a loop: people say "Thank you!" twice."""
_LOOP_PAIRS = 4
"""Pairs of words of a turn that can be stuck. Of 553 people's dialogues no turn repeats more than a quarter of its own
(Synthetic-Persona-Chat, eight turns each), so the share counts twice: 0.375 of them make the jobs' 0.75."""
_BEFORE, _WORDS_BEFORE, _WORDS = 3, 40, 48
"""Turns before a reply, and the last of their words, that it is read with; and words of a turn that are read at once:
together less than the 128 tokens that the classifier reads."""


def context(turns: Sequence[str], number: int) -> str:
    """What was said before a turn, as the classifier reads it."""
    before = " | ".join(turns[max(number - _BEFORE, 0) : number]).split()
    return " ".join(before[-_WORDS_BEFORE:])


class NaturalnessParams(Params):
    """Parameters of `naturalness`."""

    method: Literal["naturalness"] = Field("naturalness", description="The method.")
    language: str = Field("en", min_length=2, description="The language of the talk, by its ISO 639-1 code.")
    classifier: ClassifierName = Field(
        "talk", description="Classifier of replies: how far one is `natural`, `senseless`, or `unrelated`."
    )
    nli: NliModelName = Field("nli", description="The NLI model that says what a turn states.")
    embedding: EmbeddingModelName = Field("embedding", description="The embedding model of `relatedness`.")


class Naturalness:
    """Measures a dialogue turn by turn, in nine ways; the worst turn counts, but for `assistant` and
    `relatedness`, of which the mean does, and `unrelated`, of which that of the worse half does.

    `language` is the probability that a turn is in the language of the job; `loop` how far its pairs of words are those
    of an earlier turn of its speaker (Dice), or twice the share of them that it says again itself; `parroting` the same
    with the partner's turn before it; `recital` the share of the speaker's given and expanded facts that it states,
    beyond the first, times the share of its content words that are theirs; `assistant` whether it has a phrase of
    assistants; `senseless` and `unrelated` how probable the classifier finds that its words make no sense, and that it
    replies to something else than the three turns before it, the latter times 1 - the cosine with the turns before and
    after it; `relatedness` that with the one before; `taken` the P(entailment) of a fact of the partner's with a word
    of the turn, if the turn entails none of its speaker's as much. Turns of fewer than four words repeat nothing, but
    for a speaker who says one for the third time.

    >>> from factory.methods.example import dialogue, scored
    >>> row = dialogue()
    >>> row.turns[2].text = "I sew. How can I help you today?"
    >>> found = scored(Naturalness, row).values
    >>> {name: round(found[name], 2) for name in ("language", "assistant", "senseless", "relatedness")}
    {'language': 0.98, 'assistant': 0.33, 'senseless': 0.05, 'relatedness': 0.34}
    """

    name = "naturalness"
    version = 4
    Params = NaturalnessParams
    reads = frozenset({"turns", "facts.seed", "facts.expand"})
    columns = (
        Column(
            "language",
            "double",
            "Lowest probability that a turn of five words or more is in the language of the job; 1 if all are shorter.",
            0,
            1,
            "higher",
        ),
        Column(
            "loop",
            "double",
            "Highest share of pairs of words that a turn and an earlier one of its speaker have in common (Dice), or "
            "twice the share that a turn itself says again; 1 if a turn is said for the third time.",
            0,
            1,
            "lower",
        ),
        Column(
            "parroting",
            "double",
            "Highest share of pairs of words that a turn and the partner's before it have in common (Dice).",
            0,
            1,
            "lower",
        ),
        Column(
            "recital",
            "double",
            "Highest share of a speaker's facts, of three or more, that one turn states, but for the first, times the "
            "share of the turn's content words that are of these.",
            0,
            1,
            "lower",
        ),
        Column("assistant", "double", "Share of the turns with a phrase of assistants.", 0, 1, "lower"),
        Column("senseless", "double", "Highest probability that a turn's words make no sense.", 0, 1, "lower"),
        Column(
            "unrelated",
            "double",
            "Mean over the worse half of the turns but the first: probability that a turn with sense replies to "
            "something else, times 1 - its cosine with the turns before and after it.",
            0,
            1,
            "lower",
        ),
        Column(
            "relatedness", "double", "Mean cosine of a turn with the one before it; 1 of one turn.", -1, 1, "higher"
        ),
        Column(
            "taken", "double", "Highest probability that a turn states a fact of the partner's alone.", 0, 1, "lower"
        ),
    )
    labels = ("natural", "senseless", "unrelated")
    """What its classifier must tell apart."""
    details: ClassVar = {"turn": _VALUES}

    def __init__(self, params: NaturalnessParams) -> None:
        self.params = params

    @property
    def needs(self) -> frozenset[ModelKind]:
        """The classifier, NLI and embeddings."""
        return frozenset({"classifier", "nli", "embedding"})

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """Two batches of all turns, and one of what may be taken over."""
        each = np.ones_like(turns)
        return 2 * each, 3 * each

    async def score(self, row: Row, kit: Kit) -> Scored:
        """Measure each turn, then the dialogue."""
        if not row.turns:
            return Scored(missing="input_missing")
        texts = [turn.text for turn in row.turns]
        replies, taking = await _replies(texts, kit), await _taken(row, kit)
        vectors = await kit.embedder.encode(texts)
        near = [min(max(float(one @ other), -1.0), 1.0) for one, other in pairwise(vectors)]  # float32 goes beyond
        far = _far(vectors)
        said = [pairs_of_words(turn.text) for turn in row.turns]
        found = [
            (
                _probability(turn.text, self.params.language),
                _loop(row, number, said),
                alike(said[number], said[number - 1]) if number else 0.0,
                recited(turn.text, row.speakers[turn.speaker].facts_of("seed", "expand")),
                float(is_assistants(turn.text)),
                replies[number][0],
                replies[number][1] * far[number],
                taking[number],
                near[number - 1] if number else None,
            )
            for number, turn in enumerate(row.turns)
        ]
        language, loop, parroting, recital, assistant, senseless, unrelated, taken, _ = zip(*found, strict=True)
        return Scored(
            {
                "language": min((one for one in language if one is not None), default=1.0),
                "loop": max(loop),
                "parroting": max(parroting),
                "recital": max(recital),
                "assistant": sum(assistant) / len(assistant),
                "senseless": max(senseless),
                "unrelated": _worse_half(unrelated[1:]),
                "taken": max(taken),
                "relatedness": sum(near) / len(near) if near else 1.0,
            },
            [
                Detail(self.name, "turn", list(values), row.turns[number].speaker, number)
                for number, values in enumerate(found)
            ],
        )


def _far(vectors: NDArray[np.float32]) -> list[float]:
    """1 - the cosine of each turn with the one before and the one after it together, at most 1; 0 of the first. With
    the one before alone random replies stand out less (ConvAI2, 200 dialogues: AUC 0.89 against 0.92)."""
    far = [0.0]
    for number in range(1, len(vectors)):
        around = vectors[number - 1 : number + 2 : 2].sum(axis=0)
        cosine = float(vectors[number] @ around) / max(float(np.linalg.norm(around)), 1e-9)
        far.append(1 - min(max(cosine, 0.0), 1.0))
    return far


def _worse_half(values: Sequence[float]) -> float:
    """The mean of the higher half of the values; 0 of none."""
    half = sorted(values, reverse=True)[: (len(values) + 1) // 2]
    return sum(half) / max(len(half), 1)


async def _replies(turns: Sequence[str], kit: Kit) -> list[tuple[float, float]]:
    """How senseless and how unrelated each turn is: of one that is read in parts, the worst and the best of them."""
    parts = [(number, part) for number, turn in enumerate(turns) for part in parts_of(turn, _WORDS)]
    found = await kit.classifier.score([(context(turns, number), part) for number, part in parts])
    each: list[list[dict[str, float]]] = [[] for _ in turns]
    for (number, _), one in zip(parts, found, strict=True):
        each[number].append(one)
    return [
        (max(one["senseless"] for one in of), min(_unrelated(one) for one in of) if number else 0.0)
        for number, of in enumerate(each)
    ]


def _unrelated(found: dict[str, float]) -> float:
    """How probable it is that a reply with sense is one to something else."""
    return found["unrelated"] / max(found["unrelated"] + found["natural"], 1e-9)


async def _taken(row: Row, kit: Kit) -> list[float]:
    """How far each turn states a fact of the partner's, and none of its speaker's as much."""
    personas = [speaker.facts_of("seed", "expand") for speaker in row.speakers]
    asked: list[tuple[int, bool, str]] = []
    for number, turn in enumerate(row.turns):
        said = content(turn.text)
        near = [[fact for fact in persona if content(fact) & said] for persona in personas]
        if near[1 - turn.speaker]:
            asked += [(number, side == turn.speaker, fact) for side, facts in enumerate(near) for fact in facts]
    stated = [[0.0, 0.0] for _ in row.turns]
    scores = await kit.nli.score([(row.turns[number].text, fact) for number, _, fact in asked])
    for (number, own, _), score in zip(asked, scores, strict=True):
        stated[number][own] = max(stated[number][own], score.entailment)
    return [by_partner if by_partner > by_own else 0.0 for by_partner, by_own in stated]


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    found = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # As it comes, in half precision, it takes five times as long, and sums differ between processors.
    found.nb_ptc, found.nb_pc = found.nb_ptc.astype(np.float64), found.nb_pc.astype(np.float64)
    return found


def _probability(text: str, language: str) -> float | None:
    """How probable it is that a text is in a language; none where it is too short to tell."""
    other = sum(letter.isalpha() and letter > "ɏ" for letter in text)
    if len(WORD.findall(text)) < _LEAST_WORDS and other < _LEAST_LETTERS:
        return None
    return next((float(one[1]) for one in _identifier().rank(text) if one[0] == language), 0.0)


def _loop(row: Row, number: int, said: Sequence[frozenset[tuple[str, str]]]) -> float:
    """How alike a turn is to an earlier one of its speaker, or how far it is stuck; 1 if it is said for the third
    time."""
    earlier = [other for other in range(number) if row.turns[other].speaker == row.turns[number].speaker]
    words = WORD.findall(row.turns[number].text.casefold())
    if sum(WORD.findall(row.turns[other].text.casefold()) == words for other in earlier) >= _THIRD:
        return 1.0
    return max([_stuck(words), *(alike(said[number], said[other]) for other in earlier)])


def _stuck(words: Sequence[str]) -> float:
    """Twice the share of a text's pairs of words that it has said before, at most 1."""
    pairs = list(pairwise(words))
    return min(2 * (1 - len(set(pairs)) / len(pairs)), 1.0) if len(pairs) >= _LOOP_PAIRS else 0.0
