"""A side of a comparison: rows of a corpus, or dialogues of files that seeds are read from.

Limitations: of many dialogues a sample, the same each time; those of files are all read to draw it.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from factory.planning.wanted import skeleton
from factory.seeds.archives import find_files
from factory.seeds.fields import SeedFields
from factory.seeds.files import SourceError
from factory.seeds.source import BadSeed, read_file
from factory.store.corpus import Corpus
from factory.store.records import Decision, Row, rows_from_table, score_columns
from factory.store.table import CorpusError
from factory.views.slots import sample

FEWEST = 10
"""Dialogues that a side needs. Of fewer, intervals tell nothing (ours)."""
_COLUMNS = ("row_id", "kind", "sample", "seeds", "speakers", "turns", "decision", "stages")


@dataclass
class Side:
    """Where it is, the version of a corpus, how many dialogues it has, those that are taken, and how many could not be
    read. `made` says by score what its values were made with, as JSON."""

    place: str
    version: int | None
    total: int
    rows: list[Row]
    made: dict[str, set[str]] = field(default_factory=dict)
    unread: int = 0


def side_at(place: str, version: int | None, decisions: Sequence[Decision], most: int) -> Side:
    """At most so many dialogues of a corpus that are so decided, or of files. Raises CorpusError or SourceError if
    there are fewer than ten."""
    side = None if Path(place).is_file() else _corpus(place, version, decisions, most)
    if side is None and version is not None:
        raise CorpusError(f"{place}: there is no corpus here, so it has no version {version}")
    side = side or _files(place, most)
    if len(side.rows) < FEWEST:
        what = f"decided {', '.join(decisions)} " if side.version is not None else ""
        raise CorpusError(f"{place}: {len(side.rows)} dialogues {what}are too few to compare; {FEWEST} are needed")
    return side


def _corpus(place: str, version: int | None, decisions: Sequence[Decision], most: int) -> Side | None:
    corpus = Corpus(place)
    corpus.table.shards()
    if corpus.table.version() is None:
        return None
    decided = pl.col("decision").fill_null("accept").is_in(list(decisions))  # without `select` nothing was refused
    scores = tuple(score_columns(corpus.table.layout))
    rows = corpus.to_polars(columns=[*_COLUMNS, *scores], version=version).filter(decided)
    slots = rows.select("row_id").collect(engine="streaming")["row_id"]
    chosen = rows.filter(pl.col("row_id").is_in(sample(slots, most, 0))).sort("row_id")
    taken = rows_from_table(chosen.collect(engine="streaming").to_arrow())
    made: dict[str, set[str]] = {}
    for row in taken:
        for record in row.stages:
            made.setdefault(record.stage, set()).add(record.recipe)
    told = {stage: {_told(corpus.recipe(recipe)) for recipe in recipes} for stage, recipes in made.items()}
    return Side(place, corpus.table.version() if version is None else version, len(slots), taken, told)


def _told(recipe: Mapping[str, object] | None) -> str:
    """What a score was made with itself, apart from what it was made of."""
    own = ("method", "version", "params", "prompt", "models")
    return json.dumps({name: (recipe or {}).get(name) for name in own}, sort_keys=True)


def _files(place: str, most: int) -> Side:
    side = Side(place, None, 0, [])

    def dialogues() -> Iterator[Row]:
        for file in find_files(place, "auto", Path()):
            for seed in read_file(file, SeedFields(), []):
                if isinstance(seed, BadSeed):
                    side.unread += 1
                elif seed.turns:
                    side.total += 1
                    yield skeleton([seed], 0)

    side.rows = heapq.nsmallest(most, dialogues(), key=lambda row: row.row_id)
    if not side.rows:
        raise SourceError(f"{place}: holds no corpus and no dialogues that can be read")
    return side
