"""Ranking: one true reply among 20, the hits@1 of Persona-Chat."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pyarrow as pa

from factory.methods.exports import MESSAGES, NOT_ALTERNATING, ExportFormat, Record, Source
from factory.methods.makers.converse import alternates
from factory.store.records import Row

OTHERS = 19
"""Persona-Chat (arXiv 1801.07243) ranks the true reply among 19 others."""


class Ranking(ExportFormat):
    """Each turn that answers one, with its prompt and 20 shuffled candidates, of which `label` is the true one's.

    Read by evaluations of hits@1, and by trainers of rankers. Source: Persona-Chat (arXiv 1801.07243). The others are
    drawn from what was said around it in the corpus: a window of at most 512 dialogues of the same split, of which none
    shares a seed with its own, so that none is an answer of the same persona. Every reply is as likely to stand among
    the others as to be the true one, and no fact that was read off it or a later turn stands in the prompt, so no text
    gives itself away. Limitations: which others are drawn changes as a corpus grows; that a drawn one would do as well
    ("I see.") is not looked into.

    >>> from factory.methods.example import dialogue, records
    >>> first, *_ = records(Ranking, [dialogue(number) for number in range(20)])
    >>> len(first["candidates"]), first["candidates"][first["label"]]
    (20, 'I sew 0 hats.')
    """

    name = "ranking"
    block = 256
    schema = pa.schema(
        [
            ("prompt", MESSAGES),
            ("candidates", pa.list_(pa.string())),
            ("label", pa.int64()),
            ("row_id", pa.string()),
            ("turn", pa.int64()),
        ]
    )

    def unfit(self, row: Row) -> str | None:
        """A prompt takes for granted that speakers alternate."""
        return None if alternates(row) else NOT_ALTERNATING

    def records(self, rows: Sequence[Row], source: Source) -> Iterator[Record]:
        """One record a turn, but the first of a dialogue; the window is these rows and the ones before."""
        said = [(turn.text, _ids(row)) for row in (*source.earlier, *rows) for turn in row.turns[1:]]
        for row in rows:
            own = _ids(row)
            for number in range(1, len(row.turns)):
                draw, true = random.Random(f"{row.row_id} {number}"), row.turns[number].text
                others = _others(draw, said, own, true)
                if len(others) < OTHERS:
                    source.leave_out(f"turns without {OTHERS} others to stand beside")
                    continue
                label = draw.randrange(OTHERS + 1)
                yield {
                    "prompt": list(source.prompt(row, number, source.facts_of(row, number % 2, before=number))),
                    "candidates": [*others[:label], true, *others[label:]],
                    "label": label,
                    "row_id": row.row_id,
                    "turn": number,
                }


def _ids(row: Row) -> frozenset[str]:
    return frozenset(id_ for speaker in row.speakers for id_ in (speaker.id, speaker.seed_id))


def _others(
    draw: random.Random, said: Sequence[tuple[str, frozenset[str]]], own: frozenset[str], true: str
) -> list[str]:
    """Distinct texts of others, none of them the true one; fewer than wanted if there are no more."""
    found: dict[str, str] = {}
    for count in (4 * OTHERS, len(said)):  # nearly always a few draws are enough
        for text, ids in draw.sample(said, min(count, len(said))):
            if ids.isdisjoint(own) and text.casefold() != true.casefold():
                found.setdefault(text.casefold(), text)
            if len(found) == OTHERS:
                return list(found.values())
    return list(found.values())
