"""Dead letters: what could not be made, and why, kept beside the corpus until it can.

A row is either in the corpus or a dead letter. Letters are committed before the rows they belong with, and a letter
whose row stands finished in the corpus, or is no longer wanted, is taken away by the next run.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from factory.corpus import Shard, slot_digest
from factory.fingerprint import add_digests, blake
from factory.plan import SEED_LETTERS, Plan, Work
from factory.records import DeadLetter, dead_letters_to_table
from factory.seeds import BadSeed


class LetterBook:
    """The dead letters of a run: changes are gathered, and committed together."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._table = plan.corpus.dead
        self._current: dict[int, tuple[list[Shard], list[DeadLetter]]] = {}
        self._changed: set[int] = set()

    def settle_seeds(self) -> None:
        """Make the letters of unreadable seeds those of this reading."""
        letters = [_seed_letter(seed) for seed in self._plan.bad_seeds]
        digest = add_digests(letter.id for letter in letters)
        if digest == add_digests(shard.digest for shard in self._plan.seed_letters):
            return
        add = [self._table.write(dead_letters_to_table(letters), 0, SEED_LETTERS, digest)] if letters else []
        self._table.commit(add, self._plan.seed_letters, f"{len(letters)} unreadable seeds")

    def settle_stale(self) -> None:
        """Take away the letters that the plan found to be out of date."""
        for bucket, valid in self._plan.valid_letters.items():
            shards, letters = self._of(bucket)
            kept = [letter for letter in letters if letter.id in valid]
            if len(kept) < len(letters):
                self._current[bucket] = (shards, kept)
                self._changed.add(bucket)
        self.commit()

    def settle(self, work: Work, letters: Sequence[DeadLetter]) -> None:
        """Replace the letters of the rows in a finished shard by those that it left."""
        tried = {row.row_id for row in work.skeletons} | {letter.id for letter in letters}
        bucket = work.spec.bucket
        shards, held = self._of(bucket)
        before = {letter.id: letter.attempts for letter in held if letter.id in tried}
        if not before and not letters:
            return
        for letter in letters:
            letter.attempts += before.get(letter.id, 0)
        self._current[bucket] = (shards, [letter for letter in held if letter.id not in tried] + list(letters))
        self._changed.add(bucket)

    def commit(self) -> None:
        """Commit what was settled."""
        add, remove = [], []
        for bucket in sorted(self._changed):
            shards, letters = self._current[bucket]
            remove += shards
            written = []
            if letters:
                digest = add_digests(slot_digest(letter.id, letter.fingerprint) for letter in letters)
                table = dead_letters_to_table(letters)
                written = [self._table.write(table, bucket, self._plan.wanted.buckets, digest)]
            self._current[bucket] = (written, letters)
            add += written
        if add or remove:
            self._table.commit(add, remove, f"dead letters of {len(self._changed)} buckets")
        self._changed.clear()

    def _of(self, bucket: int) -> tuple[list[Shard], list[DeadLetter]]:
        if bucket not in self._current:
            self._current[bucket] = self._plan.letters(bucket)
        return self._current[bucket]


def _seed_letter(seed: BadSeed) -> DeadLetter:
    return DeadLetter(
        id=blake("bad_seed", seed.source, str(seed.line), seed.reason),
        row_id=None,
        seed_ids=[],
        source=seed.source,
        line=seed.line,
        stage="seeds",
        reason=seed.reason,
        detail=seed.detail,
        attempts=1,
        fingerprint="",
        failed_at=datetime.now(UTC),
    )
