"""What a corpus no longer needs: files of old versions, and what dead runs left behind.

What stands in the newest version is never touched, and nothing younger than a day that no version knows, since a run
in progress may be about to commit it. Limitations: versions whose files are gone still stand in the log.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from factory.planning.ledger import LEDGER
from factory.planning.shard import STAGING
from factory.planning.signatures import PASSES
from factory.seeds.store import SEEDS
from factory.store.corpus import RECIPES, Corpus
from factory.store.storage import UNFINISHED, File
from factory.store.table import CorpusError

_ORPHAN_HOURS = 24
_HOUR_S = 3600
_CACHES = ("_ledger", PASSES, SEEDS, RECIPES)


@dataclass(frozen=True, slots=True)
class Garbage:
    """Files that can go: of versions older than asked for, of no version at all, and left by runs that died."""

    old: list[File]
    orphans: list[File]
    left: list[File]

    @property
    def bytes(self) -> int:
        """Their size."""
        return sum(file.size for files in (self.old, self.orphans, self.left) for file in files)


def gc(corpus: Corpus, days: int, *, delete: bool) -> Garbage:
    """Find what versions that were replaced more than `days` ago alone hold, what none holds, and what was staged
    before; and delete it if so asked. Raises CorpusError."""
    if corpus.table.history() == [] == corpus.dead.history():
        raise CorpusError(f"{corpus.root}: there is no corpus here")
    for table in (corpus.table, corpus.dead):  # what another program has taken the place of is no garbage
        table.shards()
    hours, orphan_hours = 24 * days, max(24 * days, _ORPHAN_HOURS)
    old: list[File] = []
    orphans: list[File] = []
    left = [*corpus.storage.files(STAGING), *(file for folder in _CACHES for file in _stray(corpus, folder))]
    left = [file for file in left if file.age_s > _HOUR_S * orphan_hours]
    for table in (corpus.table, corpus.dead):
        replaced = set(table.unneeded(hours, orphans=False))
        unknown = set(table.unneeded(orphan_hours, orphans=True)) - replaced
        there = table.storage.files("shards")
        old += [file for file in there if file.path in replaced]
        orphans += [file for file in there if file.path in unknown]
        if delete:
            held = {shard.path for shard in table.shards()}  # an old version may have been restored just now
            going = [file.path for file in there if file.path in (replaced | unknown) - held]
            table.storage.each(table.storage.delete, going)
    if delete:
        corpus.storage.each(corpus.storage.delete, [file.path for file in left])
    return Garbage(old, orphans, left)


def _stray(corpus: Corpus, folder: str) -> Iterator[File]:
    """Files that a run was writing when it died, and ledgers of other versions of the factory."""
    for file in corpus.storage.files(folder):
        if file.path.endswith(UNFINISHED) or (file.path.startswith("_ledger/") and not file.path.startswith(LEDGER)):
            yield file
