"""The corpus: a Delta Lake table of immutable Parquet shards, and a second one of dead letters beside it.

Anyone may write a shard file; nobody sees it until the one driver commits it to the Delta log. Recipes (what each
fingerprint stands for), staged files of a running job, and what planning keeps live beside the table in folders that
readers of Delta ignore. Gives up: changing one row rewrites its shard.
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
import pyarrow.compute as pc
from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import (
    AddAction,
    CommitProperties,
    RemoveAction,
    Transaction,
    create_table_with_add_actions,
)

from factory.records import DEAD_LETTER_SCHEMA, ROW_SCHEMA, DeadLetter, Row, dead_letters_from_table, rows_from_table
from factory.storage import Storage

_NAME = re.compile(r"shards/n(\d+)-[0-9a-f]{32}\.parquet")


class CorpusError(Exception):
    """The corpus cannot be read or written: where, why and what to do."""


class ConflictError(CorpusError):
    """Another run changed the corpus meanwhile; nothing of this commit was written."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One immutable file: its path from the table's root, its size in bytes, and its rows, which its name tells."""

    path: str
    size: int
    rows: int

    @classmethod
    def parse(cls, path: str, size: int) -> Shard | None:
        """The shard that a path names, or none if it is no shard of ours."""
        match = _NAME.fullmatch(path)
        return None if match is None else cls(path, size, int(match[1]))


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

    def write(self, rows: pa.Table) -> Shard:
        """Write a shard file, uncommitted. Raises CorpusError if the rows are not in the table's schema."""
        if rows.schema != self.schema:
            raise CorpusError(f"{self.root}: rows have the schema\n{rows.schema}\nexpected\n{self.schema}")
        path = f"shards/n{rows.num_rows}-{uuid.uuid4().hex}.parquet"
        return Shard(path, self.storage.write_parquet(path, rows), rows.num_rows)

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
        """The committed rows whose id begins so, shard by shard. `version` is the newest without it; `order` shuffles
        the shards, and the rows of each."""
        shards = self.table.shards(version)
        if order is not None:
            order.shuffle(shards)
        for shard in shards:
            if row_id_prefix:
                found = pc.starts_with(self.table.read(shard, ["row_id"])["row_id"], row_id_prefix)
                if not pc.any(found).as_py():
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
