"""The corpus: a table of rows, and a second one of dead letters beside it.

Recipes (what each fingerprint stands for), staged files of a running job, and what planning keeps live beside the table
in folders that readers of Delta ignore. Gives up: a row is found by its id by reading the ids of every shard.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import polars as pl
import pyarrow.compute as pc

from factory.records import DEAD_LETTER_SCHEMA, ROW_SCHEMA, DeadLetter, Row, dead_letters_from_table, rows_from_table
from factory.storage import Storage
from factory.table import CorpusError, Table


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
        shards = self.table.shards() if version is None else self.table.shards_at(version)
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
        return [self.table.uri(shard) for shard in self.table.shards()]

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
