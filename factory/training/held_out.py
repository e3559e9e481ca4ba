"""Held-out dialogues as what a model is asked for each turn: with its speaker's persona, a stranger's, and none.

The dialogues are those that a training on the corpus leaves out, or all of a file's. Limitations: a turn whose speaker
holds no fact is left out, and so is a dialogue whose speakers do not alternate, of which generation sends no prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from factory.base.arrays import text_keys, texts
from factory.base.fingerprint import key, mix
from factory.base.places import absolute, is_uri
from factory.engines import Message
from factory.methods.makers.broken import END
from factory.methods.makers.converse import alternates, side_of
from factory.methods.prompts import bundled
from factory.planning.wanted import skeleton
from factory.seeds.archives import find_files
from factory.seeds.fields import SeedFields
from factory.seeds.source import BadSeed, first_of, read_file
from factory.store.corpus import Corpus
from factory.store.records import Row, Speaker
from factory.training import TrainingError
from factory.training.chats import ChatSource, rows_of
from factory.training.templates import Templates

Persona = Literal["own", "stranger", "none"]
OTHERS = 19
"""Replies that the true one is ranked among (Persona-Chat, arXiv 1801.07243; ConvAI2)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A turn: the number of its dialogue, the prompts for it by persona, what was said, and the others to rank that
    among (fewer than OTHERS where there are no more); `facts` are those that the speaker holds itself, without
    distractors."""

    dialogue: int
    prompts: Mapping[Persona, tuple[Message, ...]]
    reply: str
    others: tuple[str, ...]
    facts: tuple[str, ...]
    given: bool
    """Whether all of the others came with the turn."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Dialogues, with the template of each, whether a speaker ended it, and the origins of facts in prompts."""

    rows: Sequence[Row]
    templates: Sequence[str]
    ended: Sequence[bool]
    origins: Sequence[str]
    version: int | None
    left_out: Counter[str]

    def asked(self) -> list[Asked]:
        """What is asked, dialogue by dialogue, and in each the turns of one speaker before those of the other."""
        holding = [(row, speaker) for row in self.rows for speaker in row.speakers if self._facts(speaker)]
        pool = _Pool(self.rows)
        return [one for number in range(len(self.rows)) for one in self._of_row(number, holding, pool)]

    def _of_row(self, number: int, holding: Sequence[tuple[Row, Speaker]], pool: _Pool) -> Iterator[Asked]:
        row, template = self.rows[number], self.templates[number]
        own = _persons(row)
        after = next((at for at, (other, _) in enumerate(holding) if other is row), 0)
        others = (one for one in (*holding[after:], *holding[:after]) if own.isdisjoint(_persons(one[0])))
        stranger = next(others, None)
        for side in (0, 1):
            for turn in range(side, len(row.turns), 2):
                facts = self._facts(row.speakers[side], before=turn)
                if not facts or stranger is None:
                    self.left_out["turns without a stranger" if facts else "turns of speakers without facts"] += 1
                    continue
                shown: dict[Persona, list[str]] = {"own": facts, "stranger": self._facts(stranger[1]), "none": []}
                end = f" {END}" if self.ended[number] and turn == len(row.turns) - 1 else ""
                yield Asked(
                    number,
                    {persona: side_of(template, row, turn, held) for persona, held in shown.items()},
                    row.turns[turn].text + end,
                    tuple(one + end for one in pool.others(row, turn)),
                    tuple(self._facts(row.speakers[side], before=turn, distractors=False)),
                    len(given_with(row, turn)) >= OTHERS,
                )

    def _facts(self, speaker: Speaker, before: int | None = None, *, distractors: bool = True) -> list[str]:
        """The facts in a speaker's prompt, but for those that are read off turn `before` or a later one: a reply would
        give itself away."""
        return list(
            dict.fromkeys(
                fact.text
                for fact in speaker.facts
                if fact.origin in self.origins
                and (distractors or fact.origin != "augment")
                and (before is None or fact.turn is None or fact.turn < before)
            )
        )


def held_out(place: str, source: ChatSource, limit: int) -> HeldOut:
    """The first dialogues of a file, if `place` is one, or those of `source` that a training on it leaves out. Raises
    TrainingError, SourceError and CorpusError."""
    if is_uri(place) or Path(place).is_dir():
        return _of_corpus(source, limit)
    seeds, bad = [], list[BadSeed]()
    for file in find_files(place, "auto", Path()):
        for seed in read_file(file, SeedFields(), []):
            if isinstance(seed, BadSeed):
                bad.append(seed)
            elif seed.turns:
                seeds.append(seed)
    if not seeds:
        raise TrainingError(f"{place}: holds no dialogue{first_of(bad)}")
    left_out = Counter({"rows that cannot be read": len(bad)} if bad else {})
    rows = _alternating([skeleton([seed], 0) for seed in seeds], left_out)[:limit]
    return HeldOut(rows, [bundled("converse")] * len(rows), [False] * len(rows), ("seed",), None, left_out)


def _of_corpus(source: ChatSource, limit: int) -> HeldOut:
    corpus = Corpus(absolute(source.corpus))
    newest = corpus.table.version() if corpus.table.shards() else None
    if newest is None:
        raise TrainingError(f"{source.corpus}: there is no corpus here; make one with: factory run JOB")
    version, left_out = newest if source.version is None else source.version, Counter[str]()
    rows = rows_of(source.model_copy(update={"version": version}), held=True)
    found = list(islice((row for row in rows if _alternating([row], left_out)), limit))
    if not found:
        raise TrainingError(
            f"{source.corpus}: of its rows decided {', '.join(source.decisions)} none is held out; --held 1 takes all"
        )
    templates = Templates(corpus)
    shown, ended = [templates.of(row) for row in found], [templates.ended(row) for row in found]
    return HeldOut(found, shown, ended, source.facts, version, left_out)


def _alternating(rows: Sequence[Row], left_out: Counter[str]) -> list[Row]:
    found = [row for row in rows if row.turns and alternates(row)]
    if more := len(rows) - len(found):
        left_out["dialogues whose speakers do not alternate"] += more
    return found


def _persons(row: Row) -> frozenset[str]:
    return frozenset(id_ for speaker in row.speakers for id_ in (speaker.id, speaker.seed_id))


def given_with(row: Row, turn: int) -> list[str]:
    """The replies that a file gives beside a turn, such as ConvAI2's; of what was generated, none."""
    if row.kind != "imported":
        return []
    others = {one.text.casefold(): one.text for one in row.turns[turn].candidates if not one.chosen}
    return list(others.values())


class _Pool:
    """All that is said, to draw other replies from."""

    def __init__(self, rows: Sequence[Row]) -> None:
        said = [(turn.text, _persons(row)) for row in rows for turn in row.turns]
        self._texts, self._persons = [text for text, _ in said], [persons for _, persons in said]
        self._keys = text_keys("other reply", texts(self._texts))

    def others(self, row: Row, turn: int) -> tuple[str, ...]:
        """OTHERS different replies beside a turn: those that its file gives first, then of other people, drawn by hash;
        fewer where there are no more."""
        true, own = row.turns[turn].text, _persons(row)
        found = {text.casefold(): text for text in given_with(row, turn)[:OTHERS]}
        if len(found) < OTHERS:
            for place in np.argsort(mix(key(row.row_id, str(turn)), self._keys), kind="stable").tolist():
                text = self._texts[place]
                if own.isdisjoint(self._persons[place]) and text.casefold() != true.casefold():
                    found.setdefault(text.casefold(), text)
                if len(found) == OTHERS:
                    break
        return tuple(found.values())
