"""Lexical: what talk is like by its words alone: questions, repetition, copies, rare words, style. Asks no model.

See et al. (NAACL 2019, arXiv 1902.08654) control how much a model asks, repeats itself and says what is specific, and
people prefer the conversations that come of it; most of these measures are theirs. Limitations: a question is told by
its mark, in the scripts that have one; words are what spaces and punctuation part; rare words and style are English;
the share of distinct pairs of words falls with the length of a dialogue.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from factory.base.sentences import split_sentences
from factory.methods import Calls, Column, Kit, ModelKind, Params, Scored
from factory.methods.scores.lexical.specificity import specificity, words_of
from factory.methods.scores.lexical.style import style_matching
from factory.store.records import Detail, Row

_QUESTION = re.compile("[?？؟]")
_COPIED = 3
"""Words in a row that are copied from a fact. Two are shared by all talk of the same thing (ours)."""
_OF_TURNS = ("partner_repetition", "within_repetition", "copy_ratio", "specificity")
_OF_SPEAKERS = ("question_rate", "own_repetition", *_OF_TURNS, "distinct", "readability")
_Bigrams = list[tuple[str, str]]


class LexicalParams(Params):
    """Parameters of `lexical`."""

    method: Literal["lexical"] = Field("lexical", description="The method.")


class Lexical:
    """Measures both speakers together, each by itself, and what can be told of a single turn.

    >>> from factory.methods.example import dialogue, scored
    >>> found = scored(Lexical, dialogue()).values
    >>> {name: round(found[name], 2) for name in ("question_rate", "partner_repetition", "specificity", "distinct")}
    {'question_rate': 0.33, 'partner_repetition': 0.0, 'specificity': 0.34, 'distinct': 1.0}
    """

    name = "lexical"
    version = 1
    Params = LexicalParams
    reads = frozenset({"turns", "facts.seed", "facts.expand"})
    columns = (
        Column("question_rate", "double", "Share of the turns that ask a question (See et al., NAACL 2019).", 0, 1),
        Column(
            "own_repetition",
            "double",
            "Share of the bigrams of speakers' later turns that they have said in an earlier one (external repetition "
            "in See et al., NAACL 2019); null where nobody speaks twice.",
            0,
            1,
            "lower",
        ),
        Column(
            "partner_repetition",
            "double",
            "Share of the bigrams of turns that the partner has said before (See et al., NAACL 2019); null where "
            "nobody answers.",
            0,
            1,
            "lower",
        ),
        Column(
            "within_repetition",
            "double",
            "Share of the bigrams of turns that stand in the same turn before (internal repetition in See et al., "
            "NAACL 2019).",
            0,
            1,
            "lower",
        ),
        Column(
            "copy_ratio",
            "double",
            "Share of the trigrams of turns that a given or expanded fact of the speaker has; null where no fact has "
            "three words. Choosing by entailment (SimOAP, ACL 2023) favours copies.",
            0,
            1,
            "lower",
        ),
        Column(
            "specificity",
            "double",
            "Mean NIDF of the words (See et al., NAACL 2019), by counts of Synthetic-Persona-Chat.",
            0,
            1,
        ),
        Column("distinct", "double", "Share of distinct bigrams among all (Li et al., NAACL 2016).", 0, 1, "higher"),
        Column(
            "readability",
            "double",
            "Automated readability index, a US school grade: 4.71 letters a word + 0.5 words a sentence - 21.43 "
            "(Senter and Smith, 1967).",
        ),
        Column(
            "alignment",
            "double",
            "How alike both speakers use function words (style matching; Gonzales et al., 2010); null where one uses "
            "none.",
            0,
            1,
        ),
    )
    details: ClassVar = {"speaker": _OF_SPEAKERS, "turn": _OF_TURNS}

    def __init__(self, params: LexicalParams) -> None:
        self.params = params

    @property
    def needs(self) -> frozenset[ModelKind]:
        """No model."""
        return frozenset()

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """None."""
        each = np.zeros_like(turns)
        return each, each

    async def score(self, row: Row, kit: Kit) -> Scored:  # noqa: ARG002
        """Measure the turns of both speakers together, of each by itself, and one by one."""
        if not row.turns:
            return Scored(missing="input_missing")
        turns = list(_read(row))
        own = [[one for one in turns if one.speaker == speaker] for speaker in range(len(row.speakers))]
        words = [list(chain.from_iterable(one.words for one in some)) for some in own]
        found = _values(turns)
        return Scored(
            {**found, "alignment": style_matching(words[0], words[1])},
            [
                *(
                    Detail(self.name, "speaker", [*_values(some).values()], speaker=speaker)
                    for speaker, some in enumerate(own)
                ),
                *(
                    Detail(self.name, "turn", [_values([one])[name] for name in _OF_TURNS], one.speaker, number)
                    for number, one in enumerate(turns)
                ),
            ],
        )


@dataclass(frozen=True, slots=True)
class _Turn:
    """A turn as it is measured: of each of its bigrams whether its speaker, the partner or the turn itself has said it
    before, if they have spoken, and of each of its trigrams whether a fact has it, if there are facts."""

    speaker: int
    asks: bool
    words: list[str]
    bigrams: _Bigrams
    by_self: list[bool]
    by_partner: list[bool]
    within: list[bool]
    copied: list[bool]
    sentences: int


def _read(row: Row) -> Iterator[_Turn]:
    held = [
        {gram for fact in one.facts_of("seed", "expand") for gram in _copyable(words_of(fact))} for one in row.speakers
    ]
    before: list[set[tuple[str, str]]] = [set() for _ in row.speakers]
    spoken = [False for _ in row.speakers]
    for turn in row.turns:
        words, own, other = words_of(turn.text), turn.speaker, 1 - turn.speaker
        bigrams = list(pairwise(words))
        yield _Turn(
            speaker=own,
            asks=_QUESTION.search(turn.text) is not None,
            words=words,
            bigrams=bigrams,
            by_self=[one in before[own] for one in bigrams if spoken[own]],
            by_partner=[one in before[other] for one in bigrams if spoken[other]],
            within=list(_again(bigrams)),
            copied=[one in held[own] for one in _copyable(words) if held[own]],
            sentences=len(split_sentences(turn.text)),
        )
        before[own].update(bigrams)
        spoken[own] = True


def _copyable(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(words[start : start + _COPIED]) for start in range(len(words) - _COPIED + 1))


def _again(bigrams: _Bigrams) -> Iterator[bool]:
    seen: set[tuple[str, str]] = set()
    for one in bigrams:
        yield one in seen
        seen.add(one)


def _values(turns: Sequence[_Turn]) -> dict[str, float | None]:
    """The values of some turns together, in the order of `_OF_SPEAKERS`."""
    words = list(chain.from_iterable(one.words for one in turns))
    bigrams = list(chain.from_iterable(one.bigrams for one in turns))
    return {
        "question_rate": _mean(one.asks for one in turns),
        "own_repetition": _mean(chain.from_iterable(one.by_self for one in turns)),
        "partner_repetition": _mean(chain.from_iterable(one.by_partner for one in turns)),
        "within_repetition": _mean(chain.from_iterable(one.within for one in turns)),
        "copy_ratio": _mean(chain.from_iterable(one.copied for one in turns)),
        "specificity": _mean(map(specificity, words)),
        "distinct": len(set(bigrams)) / len(bigrams) if bigrams else None,
        "readability": _readability(words, sum(one.sentences for one in turns)),
    }


def _readability(words: Sequence[str], sentences: int) -> float | None:
    if not words:
        return None
    letters = sum(letter.isalnum() for word in words for letter in word)
    return 4.71 * letters / len(words) + 0.5 * len(words) / sentences - 21.43


def _mean(found: Iterable[float]) -> float | None:
    """The mean, or the share that holds; none of none."""
    held = list(found)
    return sum(held) / len(held) if held else None
