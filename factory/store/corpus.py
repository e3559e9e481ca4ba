"""A corpus: a table of rows and a table of dead letters beside it, and its rows as other libraries load them.

Recipes (what each fingerprint stands for), staged files of a running job, and what planning keeps are beside the table
in folders that readers of Delta ignore. Limitations: a row is found by its id by reading the ids of every shard.
"""

from __future__ import annotations

import json
import random
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import polars as pl
import pyarrow.compute as pc
import pyarrow.parquet as pq

from factory.base.fingerprint import blake
from factory.base.places import absolute, is_uri
from factory.store.dead_letters import DEAD_LETTER_SCHEMA, DeadLetter, dead_letters_from_table
from factory.store.failures import Only, matching
from factory.store.records import ROW_SCHEMA, Decision, Row, fitted, row_schema, rows_from_table, score_columns
from factory.store.shards import Shard
from factory.store.storage import Storage
from factory.store.table import CorpusError, Table, chosen

if TYPE_CHECKING:
    import datasets
    import ray.data

    from factory.store.loading import CorpusDataset

RECIPES = "_recipes"
"""The folder of what was made by: a file for each recipe, named by its id."""

_SIGNS = re.compile(r"[^\w /.,@+=-]")


class Corpus:
    """A corpus at a local path or URI: rows, dead letters, recipes and staged files.

    >>> corpus = Corpus("out/quickstart")
    >>> accepted = [row for row in corpus.rows() if row.decision == "accept"]
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.storage = Storage(root)
        self.table = Table(root, ROW_SCHEMA)
        self.dead = Table(f"{root.rstrip('/')}/_dead_letters", DEAD_LETTER_SCHEMA, rows=self.table)

    def rows(
        self,
        row_id_prefix: str = "",
        *,
        version: int | None = None,
        order: random.Random | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[Row]:
        """The committed rows whose id begins so, shard by shard. `version` is the newest without it; `order` shuffles
        the shards, and the rows of each. Of `columns`, as `Storage.read_parquet` takes them, those that are not named
        are empty; the ones that a row cannot be without must be among them."""
        shards = self.table.shards() if version is None else self.table.shards_at(version)
        layout = score_columns(self.table.layout)
        if order is not None:
            order.shuffle(shards)
        for shard in shards:
            if row_id_prefix:
                found = pc.starts_with(self.table.read(shard, ["row_id"])["row_id"], row_id_prefix)
                if not pc.any(found).as_py():
                    continue
            table = self.table.read(shard, columns)
            if columns is None:
                held = score_columns(table.schema)
                table = fitted(table, row_schema({name: layout.get(name, kind) for name, kind in held.items()}))
            rows = rows_from_table(table)
            if order is not None:
                order.shuffle(rows)
            for row in rows:
                if row.row_id.startswith(row_id_prefix):
                    yield row

    def dead_letters(self, **only: Unpack[Only]) -> Iterator[DeadLetter]:
        """The committed dead letters, shard by shard: all, or those that `factory.store.failures.Only` asks for.

        >>> refused = list(Corpus("out/quickstart").dead_letters(stage="converse", reason="turn_refusal"))
        """
        for shard in self.dead.shards():
            letters = pl.DataFrame(self.dead.read(shard)).filter(matching(only))
            yield from dead_letters_from_table(letters.to_arrow())

    def scan_dead_letters(self, **only: Unpack[Only]) -> pl.LazyFrame:
        """The same as a polars frame."""
        files = [self.dead.uri(shard) for shard in self.dead.shards()]
        if not files:
            return pl.LazyFrame(pl.from_arrow(DEAD_LETTER_SCHEMA.empty_table()))
        return pl.scan_parquet(files, glob=False).filter(matching(only))

    def scan(self) -> pl.LazyFrame:
        """The committed rows as a polars frame, empty if every row failed. Raises CorpusError if there is no corpus."""
        shards = self.table.shards()
        if not shards and not self.dead.shards():
            raise CorpusError(f"{self.root}: there is no corpus here yet; make one with: factory run JOB")
        return self.table.frame(shards)

    def files(self) -> list[str]:
        """The Parquet files of the committed rows, for readers that know no Delta. Files that were written before a
        score was added lack its column (DuckDB: `union_by_name=true`)."""
        return [self.table.uri(shard) for shard in self.table.shards()]

    def to_polars(
        self,
        *,
        columns: Sequence[str] | None = None,
        decisions: Sequence[Decision] | None = None,
        version: int | None = None,
    ) -> pl.LazyFrame:
        """The rows as a polars frame, whose `collect` reads what is asked of it. Like the loaders below: all columns
        without `columns`, all rows without `decisions`, the newest version without `version`; what is loaded stays as
        it is when the corpus changes. Each score of that version is a column, null in the rows that were not scored.
        Raises CorpusError for a column or version that is not there."""
        rows = self.table.frame(self._shards_at(version))
        names = chosen(self.table.layout, columns).names
        return (rows if decisions is None else rows.filter(pl.col("decision").is_in(list(decisions)))).select(names)

    def to_datasets(
        self,
        *,
        columns: Sequence[str] | None = None,
        decisions: Sequence[Decision] | None = None,
        version: int | None = None,
    ) -> datasets.Dataset:
        """The rows as a dataset of Hugging Face's `datasets`, kept in its cache as Arrow files and mapped from there;
        shards of an object store are copied into that cache first."""
        import datasets

        shards = self._shards_at(version)
        schema = chosen(self.table.layout, columns)
        wanted = self.to_polars(columns=["row_id"], decisions=decisions, version=version)
        if wanted.head(1).collect().is_empty():  # which it cannot load
            return datasets.Dataset(schema.empty_table())
        copies = Path(datasets.config.HF_DATASETS_CACHE) / "persona-factory" / blake("corpus", absolute(self.root))
        files = [str(self._local(shard, copies)) for shard in shards]
        # It fills in what a file lacks, but reads no single column that a file lacks.
        scores = set(schema.names).difference(ROW_SCHEMA.names)
        lacking = scores and any(scores.difference(pq.read_schema(file).names) for file in files)
        read = self.table.layout if lacking else schema
        rows = datasets.Dataset.from_parquet(
            files,
            columns=None if lacking else schema.names,
            features=datasets.Features.from_arrow_schema(read),
            filters=None if decisions is None else [("decision", "in", list(decisions))],
        )
        return rows.select_columns(schema.names)

    def to_ray(
        self,
        *,
        columns: Sequence[str] | None = None,
        decisions: Sequence[Decision] | None = None,
        version: int | None = None,
    ) -> ray.data.Dataset:
        """The rows as a dataset of Ray Data, read by its workers."""
        import ray.data

        files = [shard.path for shard in self._shards_at(version)]
        schema = chosen(self.table.layout, columns)
        if not files:
            return ray.data.from_arrow(schema.empty_table())
        rows = ray.data.read_parquet(files, filesystem=self.storage.tree(), schema=self.table.layout)
        if decisions is not None:
            rows = rows.filter(expr=ray.data.expressions.col("decision").is_in(list(decisions)))
        return rows.select_columns(schema.names)

    def to_torch(
        self,
        *,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
        epoch: int = 0,
        columns: Sequence[str] | None = None,
        decisions: Sequence[Decision] | None = None,
        version: int | None = None,
    ) -> CorpusDataset:
        """The rows of one rank as an iterable dataset of PyTorch: shuffled, each row in exactly one rank, resumed to
        the row (`factory.store.loading`)."""
        from factory.store.loading import CorpusDataset

        return CorpusDataset(
            self.root, self._pinned(version), rank=rank, world_size=world_size, seed=seed, epoch=epoch,
            columns=columns, decisions=decisions,
        )  # fmt: skip

    def _pinned(self, version: int | None) -> int | None:
        """The version, or the newest; none where every row has failed. Raises CorpusError if there is no such one."""
        if version is not None:
            self.table.shards_at(version)
            return version
        self.scan()
        return self.table.version()

    def _shards_at(self, version: int | None) -> list[Shard]:
        pinned = self._pinned(version)
        return [] if pinned is None else self.table.shards_at(pinned)

    def _local(self, shard: Shard, copies: Path) -> Path:
        """The shard on the local disk: copied once if it is elsewhere, and linked once from there if its name holds
        what `datasets` might take for a pattern, a variable or a chain of addresses."""
        here, copy = self.table.uri(shard), copies / Path(shard.path).name
        if not is_uri(here) and not _SIGNS.search(here):
            return Path(here)
        if copy.exists():
            return copy
        copies.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=copies) as folder:
            found = Path(folder) / copy.name
            if is_uri(here):
                self.storage.local(shard.path, Path(folder))
            else:
                found.symlink_to(here)
            return found.replace(copy)

    def save_recipe(self, recipe_id: str, content: dict[str, object]) -> bool:
        """Keep what a fingerprint stands for, for `explain`; written once. Whether it was written now."""
        path = f"{RECIPES}/{recipe_id}.json"
        if self.storage.exists(path):
            return False
        self.storage.write_bytes(path, json.dumps(content, indent=1, ensure_ascii=False).encode())
        return True

    def recipes(self) -> list[str]:
        """The ids of the recipes that were kept."""
        return [Path(path).stem for path in self.storage.list(RECIPES)]

    def recipe(self, recipe_id: str) -> dict[str, object] | None:
        """What a recipe's id stands for, or none if it was not kept."""
        path = f"{RECIPES}/{recipe_id}.json"
        if not self.storage.exists(path):
            return None
        content: dict[str, object] = json.loads(self.storage.read_bytes(path))
        return content
