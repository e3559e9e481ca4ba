"""Rows of a corpus, by chance or by their slots. Limitations: only corpora, since files of dialogues have no slots."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import polars as pl

from factory.base.fingerprint import blake
from factory.store.corpus import Corpus
from factory.store.records import Decision, Row, rows_from_table, score_columns
from factory.store.table import CorpusError

_COLUMNS = ("row_id", "kind", "sample", "seeds", "speakers", "turns", "decision", "stages")


def is_there(place: str) -> bool:
    """Whether there is a corpus. Raises CorpusError for one of another version of the factory."""
    corpus = Corpus(place)
    corpus.table.shards()
    return corpus.table.version() is not None


class Held:
    """The rows of one version of a corpus that are so decided; rows that nothing decided count as accepted. Raises
    CorpusError where there is no corpus."""

    def __init__(self, place: str, decisions: Sequence[Decision], version: int | None = None) -> None:
        if not is_there(place):
            raise CorpusError(f"{place}: there is no corpus here")
        corpus = Corpus(place)
        corpus.table.shards()
        self.place = place
        self.version = corpus.table.version() if version is None else version
        columns = (*_COLUMNS, *score_columns(corpus.table.layout))
        decided = pl.col("decision").fill_null("accept").is_in(list(decisions))
        self._rows = corpus.to_polars(columns=columns, version=version).filter(decided)
        self.slots = frozenset(self._rows.select("row_id").collect(engine="streaming")["row_id"])

    def rows(self, slots: Collection[str]) -> list[Row]:
        """The rows of these slots, by their ids."""
        chosen = self._rows.filter(pl.col("row_id").is_in(list(slots))).sort("row_id")
        return list(rows_from_table(chosen.collect(engine="streaming").to_arrow()))


def sample(slots: Iterable[str], most: int, seed: int) -> list[str]:
    """At most so many of the slots, by chance, the same for one seed."""
    return sorted(sorted(slots, key=lambda slot: blake("slots", str(seed), slot))[:most])
