"""The versions of a corpus: what each was, and going back to one.

Each commit notes in the Delta log how many rows it left and which version of the dead letters belongs to it.
Limitations: a version lasts only as long as its files (see `factory.planning.garbage`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from factory.store.corpus import Corpus
from factory.store.shards import Shard
from factory.store.table import CorpusError, Table


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the corpus. `rows`, and the `run` that made it, are none where the log does not tell."""

    version: int
    time: datetime
    rows: int | None
    message: str
    run: str | None


def log(corpus: Corpus) -> list[Version]:
    """The versions, newest first. Raises CorpusError if there is no corpus."""
    history = corpus.table.history()
    if not history and corpus.dead.shards():
        raise CorpusError(f"{corpus.root}: no row has been made yet, so there is no version; factory letters says why")
    if not history:
        raise CorpusError(f"{corpus.root}: there is no corpus here yet; make one with: factory run JOB")
    return [
        Version(
            entry["version"],
            datetime.fromtimestamp(entry["timestamp"] / 1000, UTC),
            int(entry["rows"]) if "rows" in entry else None,
            entry.get("message", entry["operation"].lower()),
            entry.get("run"),
        )
        for entry in history
    ]


class _PinnedTable(Table):
    """A table to be read as it was at a version; at none it is empty."""

    def __init__(self, table: Table, version: int | None) -> None:
        super().__init__(table.root, table.schema)
        self._pinned = version

    def shards(self) -> list[Shard]:
        """Those of the version."""
        return [] if self._pinned is None else self.shards_at(self._pinned)

    def version(self) -> int | None:
        """The version."""
        return self._pinned


def at(corpus: Corpus, version: int) -> Corpus:
    """The corpus to be read as it was at a version, with the dead letters of then. Raises CorpusError, also when it is
    read, if there is no such version or its files are gone."""
    pinned = Corpus(corpus.root)
    pinned.table = _PinnedTable(corpus.table, version)
    pinned.table.shards()
    pinned.dead = _PinnedTable(corpus.dead, _letters_version(corpus, version))
    return pinned


def letters_at(corpus: Corpus, version: int) -> list[Shard]:
    """The shards of the dead letters that belong to a version of the corpus."""
    letters = _letters_version(corpus, version)
    return [] if letters is None else corpus.dead.shards_at(letters)


def _letters_version(corpus: Corpus, version: int) -> int | None:
    noted = (entry for entry in corpus.table.history() if entry["version"] <= version and "letters" in entry)
    letters = next(noted, {"letters": "None"})["letters"]
    return None if letters == "None" else int(letters)


def restore(corpus: Corpus, version: int) -> Version:
    """Commit an old version again, with its dead letters, as the newest, which is returned. That may replace what
    another program has written to the table.

    What the job wants does not go back with it: a run makes the difference again. Raises CorpusError if there is no
    such version or its files are gone (also if a `gc` at the same time deletes them: restore another version then),
    ConflictError if a run is writing meanwhile.
    """
    rows, letters = corpus.table.shards_at(version), letters_at(corpus, version)
    message = f"version {version} restored"
    _commit(corpus.dead, letters, message)
    _commit(corpus.table, rows, message, letters=corpus.dead.version())
    corpus.table.shards_at(corpus.table.version() or 0)
    return replace(log(corpus)[0], rows=sum(shard.rows for shard in rows))


def _commit(table: Table, wanted: Sequence[Shard], message: str, **notes: object) -> None:
    now = table.standing()
    if now or wanted:
        table.commit(without(wanted, now), without(now, wanted), message, **notes)


def without(shards: Sequence[Shard], others: Sequence[Shard]) -> list[Shard]:
    """The shards that are not among the others."""
    paths = {shard.path for shard in others}
    return [shard for shard in shards if shard.path not in paths]
