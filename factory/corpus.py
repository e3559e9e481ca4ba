"""The corpus: a Delta Lake table of immutable Parquet shards, and a second one of dead letters beside it.

Anyone may write a shard file; nobody sees it until the one driver commits it to the Delta log. A shard's name says
which bucket of row ids it holds, how many rows, and the digest of their fingerprints, so that planning compares a whole
corpus with what is wanted from the log alone. Recipes (what each fingerprint stands for) and staged files of a running
job live beside the table in folders that readers of Delta ignore. Gives up: changing one row rewrites its shard.
"""

from __future__ import annotations

import json
import random
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import (
    AddAction,
    CommitProperties,
    RemoveAction,
    Transaction,
    create_table_with_add_actions,
)

from factory.fingerprint import blake
from factory.records import DEAD_LETTER_SCHEMA, ROW_SCHEMA, DeadLetter, Row, dead_letters_from_table, rows_from_table
from factory.storage import Storage

_NAME = re.compile(r"shards/b(\d+)of(\d+)-n(\d+)-([0-9a-f]{32})-[0-9a-f]{12}\.parquet")
_DIGITS = re.compile("[0-9a-f]{8}")


class CorpusError(Exception):
    """The corpus cannot be read or written: where, why and what to do."""


class ConflictError(CorpusError):
    """Another run changed the corpus meanwhile; nothing of this commit was written."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One immutable file: its path from the table's root, its size in bytes, and what its name says."""

    path: str
    size: int
    bucket: int
    buckets: int
    rows: int
    digest: str

    @classmethod
    def parse(cls, path: str, size: int) -> Shard | None:
        """The shard that a path names, or none if it is no shard of ours."""
        match = _NAME.fullmatch(path)
        if match is None:
            return None
        bucket, buckets, rows = (int(match[group]) for group in (1, 2, 3))
        return cls(path, size, bucket, buckets, rows, match[4])


def bucket_of(row_id: str, buckets: int) -> int:
    """The bucket of a row."""
    return int(row_id[:8], 16) % buckets


def slot_digest(row_id: str, fingerprint: str) -> str:
    """What one row adds to its bucket's digest: its slot, and the fingerprint of the last stage it should pass."""
    return blake("slot", row_id, fingerprint)


class Table:
    """One Delta table of shards at `root`, a local path or a URI."""

    def __init__(self, root: str, schema: pa.Schema) -> None:
        self.root = root
        self.schema = schema
        self.storage = Storage(root)
        self._snapshot: DeltaTable | None = None

    def shards(self, version: int | None = None) -> list[Shard]:
        """The committed shards, now or at a version. What `commit` later writes is checked against this moment."""
        try:
            self._snapshot = DeltaTable(self.root, version=version)
        except TableNotFoundError:
            self._snapshot = None
            return []
        except (DeltaError, OSError) as error:
            raise CorpusError(f"{self.root}: cannot read the table: {error}") from error
        actions = pl.DataFrame(self._snapshot.get_add_actions())
        found = {path: Shard.parse(path, size) for path, size in actions.select("path", "size_bytes").iter_rows()}
        shards = [shard for shard in found.values() if shard is not None]
        if len(shards) < len(found):
            raise CorpusError(f"{self.root}: holds files of another program; give the job a corpus of its own")
        return shards

    def version(self) -> int | None:
        """The version that `shards` or `commit` last saw; none while there is no table."""
        return None if self._snapshot is None else self._snapshot.version()

    def write(self, rows: pa.Table, bucket: int, buckets: int, digest: str) -> Shard:
        """Write a shard file, uncommitted. Raises CorpusError if the rows are not in the table's schema."""
        if rows.schema != self.schema:
            raise CorpusError(f"{self.root}: rows have the schema\n{rows.schema}\nexpected\n{self.schema}")
        path = f"shards/b{bucket}of{buckets}-n{rows.num_rows}-{digest}-{uuid.uuid4().hex[:12]}.parquet"
        size = self.storage.write_parquet(path, rows)
        return Shard(path, size, bucket, buckets, rows.num_rows, digest)

    def read(self, shard: Shard, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a shard."""
        return self.storage.read_parquet(shard.path, columns)

    def commit(self, add: Iterable[Shard], remove: Iterable[Shard], message: str) -> None:
        """Add and remove shards in one transaction. Raises ConflictError if another run has committed since `shards`.

        Every commit carries a Delta application transaction, which is what makes two appends conflict.
        """
        now = int(time.time() * 1000)
        version = self.version()
        properties = CommitProperties(
            custom_metadata={"message": message},
            app_transactions=[Transaction("persona-factory", 0 if version is None else version + 1)],
        )
        adds = [AddAction(s.path, s.size, {}, now, True, json.dumps({"numRecords": s.rows})) for s in add]
        removes = [RemoveAction(s.path, True, now, s.size, {}) for s in remove]
        try:
            if self._snapshot is None:
                create_table_with_add_actions(
                    self.root, Schema.from_arrow(self.schema), adds, mode="error", commit_properties=properties
                )
                self._snapshot = DeltaTable(self.root)
            else:
                self._snapshot.create_write_transaction(
                    [*adds, *removes], "append", self._snapshot.schema(), commit_properties=properties
                )
                self._snapshot.update_incremental()
        except (DeltaError, OSError) as error:
            begun_elsewhere = self._snapshot is None and DeltaTable.is_deltatable(self.root)
            if begun_elsewhere or isinstance(error, CommitFailedError):
                message = f"{self.root}: another run is writing here; let it finish, then run again"
                raise ConflictError(message) from error
            raise CorpusError(f"{self.root}: cannot commit: {error}") from error


class Corpus:
    """A corpus at a local path or URI: rows, dead letters, recipes and staged files.

    >>> corpus = Corpus("out/quickstart")
    >>> accepted = [row for row in corpus.rows() if row.decision == "accept"]
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.storage = Storage(root)
        self.table = Table(root, ROW_SCHEMA)
        self.dead = Table(f"{root.rstrip('/')}/_dead_letters", DEAD_LETTER_SCHEMA)

    def rows(
        self, row_id_prefix: str = "", *, version: int | None = None, order: random.Random | None = None
    ) -> Iterator[Row]:
        """The committed rows, shard by shard; with at least 8 digits of a row id, only its bucket is read. `version`
        is the newest without it; `order` shuffles the shards, and the rows of each."""
        shards = self.table.shards(version)
        if order is not None:
            order.shuffle(shards)
        for shard in shards:
            if _DIGITS.match(row_id_prefix) and bucket_of(row_id_prefix, shard.buckets) != shard.bucket:
                continue
            rows = rows_from_table(self.table.read(shard))
            if order is not None:
                order.shuffle(rows)
            for row in rows:
                if row.row_id.startswith(row_id_prefix):
                    yield row

    def dead_letters(self) -> Iterator[DeadLetter]:
        """The committed dead letters."""
        for shard in self.dead.shards():
            yield from dead_letters_from_table(self.dead.read(shard))

    def scan(self) -> pl.LazyFrame:
        """The committed rows as a polars frame, empty if every row failed. Raises CorpusError if there is no corpus."""
        if self.table.shards():
            return pl.scan_delta(self.root)
        if not self.dead.shards():
            raise CorpusError(f"{self.root}: there is no corpus here yet; make one with: factory run JOB")
        return pl.LazyFrame(pl.from_arrow(ROW_SCHEMA.empty_table()))

    def files(self) -> list[str]:
        """The Parquet files of the committed rows, for readers that know no Delta."""
        return [f"{self.root.rstrip('/')}/{shard.path}" for shard in self.table.shards()]

    def save_recipe(self, recipe_id: str, content: dict[str, object]) -> None:
        """Keep what a fingerprint stands for, for `explain`; written once."""
        path = f"_recipes/{recipe_id}.json"
        if not self.storage.exists(path):
            self.storage.write_bytes(path, json.dumps(content, indent=1, ensure_ascii=False).encode())

    def recipe(self, recipe_id: str) -> dict[str, object] | None:
        """What a recipe's id stands for, or none if it was not kept."""
        path = f"_recipes/{recipe_id}.json"
        if not self.storage.exists(path):
            return None
        content: dict[str, object] = json.loads(self.storage.read_bytes(path))
        return content
