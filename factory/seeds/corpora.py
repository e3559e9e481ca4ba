"""Seeds that are the personas of a corpus at a version: of rows without turns, and of the speakers of dialogues.

Each speaker with facts is a persona. Its facts are all that were said of it, by its seed, by makers or by itself, but
none of other speakers (distractors); its id is that of the row, with the speaker's number behind it where there are
two. Attributes stay, and `parent` becomes one more: the id of the seed. What is read goes by the content of the corpus,
so that a version that changes some rows changes those seeds. Limitations: seeds come in the order of the shards, which
a remade row leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from factory.base.fingerprint import blake
from factory.base.places import absolute
from factory.seeds.files import SourceError
from factory.seeds.made import MadeSource
from factory.store.corpus import Corpus
from factory.store.records import OF_CORPUS, Decision, Row, Speaker

_VERSION = "1"
"""Raised when the same rows would give other seeds."""
_COLUMNS = ("row_id", "kind", "sample", "seeds", "speakers", "decision")


class CorpusSource(BaseModel):
    """The personas of a corpus."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: str = Field(
        min_length=1, description="Where the corpus lies: a path (from the job file) or a URI, as in its own job."
    )
    version: int | None = Field(None, ge=0, description="Its version; the newest when the job is planned, unless set.")
    decisions: tuple[Decision, ...] | None = Field(
        None, min_length=1, description="Rows so decided; those that are accepted, or not decided at all, unless set."
    )


def source_of(wanted: CorpusSource, base: Path, own: str) -> MadeSource:
    """What reads it, for a job whose corpus is `own`. Raises SourceError if there is no such corpus, or it is that one;
    CorpusError for a version that is not there."""
    place = absolute(wanted.corpus, base)
    if place == absolute(own, base):
        raise SourceError(f"{wanted.corpus}: is the job's own corpus; personas of it are seeds of another job")
    corpus = Corpus(place)
    newest = corpus.table.shards()
    version = corpus.table.version() if wanted.version is None else wanted.version
    if version is None:
        raise SourceError(f"{wanted.corpus}: there is no corpus with rows here; run the job that makes it first")
    shards = newest if wanted.version is None else corpus.table.shards_at(version)
    recipe = blake("seeds of a corpus", _VERSION, repr(wanted.decisions), *sorted(shard.path for shard in shards))
    name = f"{wanted.corpus} at version {version}"
    return MadeSource(name, recipe, _Personas(name, corpus, version, wanted.decisions), OF_CORPUS)


@dataclass(frozen=True, slots=True)
class _Personas:
    name: str
    corpus: Corpus
    version: int
    decisions: tuple[Decision, ...] | None

    def rows(self) -> Iterator[dict[str, Any]]:
        """The personas, as rows of JSON Lines. Raises ValueError if there are none."""
        decisions = ("accept", None) if self.decisions is None else self.decisions
        found = False
        for row in self.corpus.rows(version=self.version, columns=_COLUMNS):
            for number, speaker in enumerate(row.speakers) if row.decision in decisions else ():
                if facts := [fact.text for fact in speaker.facts if fact.source_id == speaker.seed_id]:
                    found = True
                    yield _persona(row, number, speaker, facts)
        if not found:
            raise ValueError("no row with a persona is accepted; see: factory status")


def _persona(row: Row, number: int, speaker: Speaker, facts: list[str]) -> dict[str, Any]:
    told = {name: value for name, value in speaker.attributes.items() if name != "turns"}
    named = {} if speaker.name is None else {"name": speaker.name}
    own = row.row_id if len(row.speakers) == 1 else f"{row.row_id}-{number}"
    return told | named | {"id": own, "facts": facts, "parent": speaker.seed_id}
