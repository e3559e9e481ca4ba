"""A Delta Lake table of immutable Parquet shards: the corpus's rows, or its dead letters.

Anyone may write a shard file; nobody sees it until the one driver commits it to the Delta log. Limitations: changing
one row rewrites its shard; a commit whose outcome cannot be learned ends the run, and the next one sees what came of
it.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate, takewhile
from pathlib import Path
from typing import Any

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

from factory.base.places import Alias, absolute, escaped, in_shell, is_uri, plain, printable, refusal
from factory.base.stores import ANSWER_S, CONNECT_S, RETRIES, RETRIES_S
from factory.store.records import ScoreColumns, joined
from factory.store.shards import Shard
from factory.store.storage import Storage, StorageError

_CLIENT = {
    "connect_timeout": f"{CONNECT_S}s",
    "timeout": f"{ANSWER_S}s",
    "max_retries": str(RETRIES),
    "retry_timeout": f"{RETRIES_S}s",
}
"""Of the Delta log's client in an object store, whose own time-outs add up to three minutes a request."""

_PROPERTIES = {
    "delta.dataSkippingNumIndexedCols": "0",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
}
"""Of a new table. No column has its least and greatest values told: the client would keep room for them in memory,
some 2 KB a shard. And the log forgets nothing by itself, neither a version (the client would after 30 days) nor which
versions held a file (after 7): what goes is `factory gc`'s to say."""

_APPLICATION = "persona-factory"
"""Whose commits are ours, in the log."""

_ATTEMPTS = 5
_PATIENCE_S = 60.0
"""How often the log in an object store is read or written until it works, and seconds after which no attempt begins:
the client itself does not try again where an answer breaks off."""

_DENIED = re.compile(r"necessary privileges|authentication credentials|\b40[13] ")

_MARK = "commit"
"""What in the log every commit of ours has, and no other program's."""

CONFLICT = "another run is writing here; let it finish, then run again"


class CorpusError(Exception):
    """The corpus cannot be read or written: where, why and what to do."""


class ConflictError(CorpusError):
    """Another run changed the corpus meanwhile; nothing of this commit was written."""


def chosen(layout: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    """These columns of a table, or all. Raises CorpusError for one that it does not have."""
    if wrong := set(columns or ()).difference(layout.names):
        raise CorpusError(f"no column {', '.join(sorted(wrong))}; there are {', '.join(layout.names)}")
    return layout if columns is None else pa.schema([layout.field(name) for name in columns])


class Table:
    """One Delta table of shards at `root`, a local path or a URI; `rows` is the table whose versions lead those of this
    one, if it is not its own. Raises CorpusError or StorageError for a place that cannot be used."""

    def __init__(self, root: str, schema: pa.Schema, rows: Table | None = None) -> None:
        self.root, self.schema = root, schema
        self._leading = rows
        self._place = absolute(root)
        if refused := refusal(self._place, of_table=True):
            raise CorpusError(f"{printable(root)}: {refused}")
        self.storage = Storage(root)
        self._columns: ScoreColumns = {}
        self._alias: Alias | None = None
        self._snapshot: DeltaTable | None = None
        self._rows = 0

    def shards(self) -> list[Shard]:
        """The committed shards, now. What `commit` later writes is checked against this moment."""
        standing = self.standing()
        if self._snapshot is not None:
            self._refuse_foreign(standing, self._snapshot)
        return standing

    def standing(self) -> list[Shard]:
        """The same, but where another program wrote files, these are among the shards, with no rows."""
        self._snapshot = self._open()
        found = [] if self._snapshot is None else self._files(self._snapshot)
        self._rows = sum(shard.rows for shard in found)
        return found

    def newest(self, shards: int, rows: int) -> tuple[list[Shard], float]:
        """Of the shards that `shards` last saw those that were committed last: so many at most, and no more once they
        hold so many rows. With it, when the newest of the others was committed, in seconds since 1970, 0 if there is
        none: what was made since stands in no other."""
        if self._snapshot is None:
            return [], 0.0
        times = self.committed()
        ordered = sorted(self._files(self._snapshot), key=lambda shard: (-times[shard.path], shard.path))
        before = [0, *accumulate(shard.rows for shard in ordered)]
        count = min(shards, bisect_left(before, rows))
        return ordered[:count], times[ordered[count].path] / 1000 if ordered[count:] else 0.0

    def committed(self) -> dict[str, int]:
        """When each of the shards that `shards` last saw was committed, in milliseconds since 1970, by its path."""
        if self._snapshot is None:
            return {}
        return dict(self._actions(self._snapshot).select("path", "modification_time").iter_rows())

    def shards_at(self, version: int) -> list[Shard]:
        """The shards of a version. Raises CorpusError if there is none such, or its files are gone."""
        newest = self._open()
        if newest is None or not 0 <= version <= newest.version():
            there = "no corpus" if newest is None else f"no version {version}; the newest is {newest.version()}"
            raise CorpusError(f"{self.root}: there is {there}; see: factory log {in_shell(self.root)}")
        snapshot = self._open(version)
        if snapshot is None:
            raise CorpusError(
                f"{self.root}: version {version} is gone from the log; see: factory log {in_shell(self.root)}"
            )
        shards, files = self._shards(snapshot), set(self.storage.list("shards"))
        if any(shard.path not in files for shard in shards):
            raise CorpusError(
                f"{self.root}: files of version {version} are gone (factory gc or forget, or another program's vacuum)"
            )
        return shards

    def history(self) -> list[dict[str, Any]]:
        """What is known of each version, newest first: its number, time in milliseconds and what `commit` noted."""
        snapshot = self._open()
        with self._reading():
            return [] if snapshot is None else snapshot.history()

    def unneeded(self, hours: int, *, orphans: bool) -> list[str]:
        """Paths of shards that only versions hold which were replaced more than `hours` ago; with `orphans` also of
        those that no version holds and that are as old. None of them stands in the newest version."""
        snapshot = self._open()
        if snapshot is None:
            return []
        with self._reading():
            found = snapshot.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=orphans)
        return [path for path in found if path.startswith("shards/")]

    def _open(self, version: int | None = None) -> DeltaTable | None:
        failure: Exception | None = None
        for _ in self._attempts():
            try:
                return self._of_this_layout(DeltaTable(self._address(), version=version, storage_options=_CLIENT))
            except TableNotFoundError:
                return None
            except (DeltaError, OSError) as error:
                failure = error
                if _DENIED.search(str(error)):
                    break
        raise CorpusError(f"{self.root}: cannot read the table: {self._cause(failure)}") from failure

    def _address(self) -> str:
        """The table as the Delta client has to be told of it: of a local folder it cannot read some names at all."""
        if is_uri(self._place):
            return escaped(self._place)
        if plain(self._place):
            return self._place
        if self._alias is None:
            self._alias = Alias({name: f"{self._place}/{name}" for name in ("_delta_log", "shards")})
        return self._alias.path

    def _of_this_layout(self, snapshot: DeltaTable) -> DeltaTable:
        """The snapshot, unless another version of the factory has committed it: structs may be scores, no more."""
        found = pa.schema(snapshot.schema().to_arrow())
        common = Schema.from_arrow(pa.schema([one for one in found if one.name in self.schema.names]))
        grown = {one.name: one.type for one in found if one.name not in self.schema.names}
        fits = common == Schema.from_arrow(self.schema) and all(map(pa.types.is_struct, grown.values()))
        if not fits and snapshot.transaction_version(_APPLICATION) is not None:
            raise CorpusError(
                f"{self.root}: made by another version of the factory, with other columns; give the job a new "
                "path, or use the version that made this one"
            )
        self._columns = grown
        return snapshot

    @property
    def layout(self) -> pa.Schema:
        """The schema of the version that was opened last: what all rows have, and the scores' columns."""
        return pa.schema([*self.schema, *(pa.field(name, kind) for name, kind in self._columns.items())])

    def grow(self, columns: ScoreColumns, run: str) -> None:
        """Give the table the columns of scores that it lacks, and fields that such a column lacks; no file is touched.
        Raises ConflictError, or CorpusError, as `with_columns` does."""
        if self._snapshot is not None:  # another version may have been opened since
            self._of_this_layout(self._snapshot)
        before, self._columns = self._columns, self.with_columns(columns)
        lacking = {name: kind for name, kind in self._columns.items() if kind != before.get(name)}
        if not lacking or self._snapshot is None:  # the first commit makes the table with them
            return
        fields = Schema.from_arrow(pa.schema([pa.field(name, kind) for name, kind in lacking.items()])).fields
        version, message = self._snapshot.version() + 1, f"columns of {', '.join(sorted(lacking))}"
        properties = self._noted(message, self._rows, uuid.uuid4().hex, version, {"run": run})
        try:
            self._snapshot.alter.add_columns(fields, commit_properties=properties)
        except CommitFailedError as error:
            raise ConflictError(f"{self.root}: {CONFLICT}") from error
        except (DeltaError, OSError) as error:
            raise CorpusError(f"{self.root}: cannot commit: {self._cause(error)}") from error
        self._snapshot = self._open(version)

    def with_columns(self, columns: ScoreColumns) -> ScoreColumns:
        """The columns of scores, these added. Raises CorpusError for a field that the table has with another type."""
        grown = joined(self._columns, columns)
        for name, kind in columns.items():
            if wrong := [one.name for one in kind if grown[name].field(one.name).type != one.type]:
                raise CorpusError(
                    f"{self.root}: {name}.{wrong[0]} is stored as {grown[name].field(wrong[0]).type}, and would now be "
                    f"{kind.field(wrong[0]).type}; give the score another name in the job file"
                )
        return grown

    @staticmethod
    def _noted(message: str, rows: int, mark: str, version: int, notes: Mapping[str, object]) -> CommitProperties:
        """What the log is told of a version."""
        noted = {"message": message, "rows": str(rows), _MARK: mark} | {key: str(note) for key, note in notes.items()}
        return CommitProperties(custom_metadata=noted, app_transactions=[Transaction(_APPLICATION, version)])

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError) as error:
            raise CorpusError(f"{self.root}: cannot read the table: {self._cause(error)}") from error

    def _attempts(self) -> Iterator[int]:
        """Numbers of attempts, after pauses from 0.1 s to 6.4 s; one attempt on a local disk."""
        began = time.monotonic()
        for attempt in range(_ATTEMPTS if is_uri(self._place) else 1):
            if attempt:
                time.sleep(0.025 * 4**attempt)
            if time.monotonic() - began < _PATIENCE_S:
                yield attempt

    def _actions(self, snapshot: DeltaTable) -> pl.DataFrame:
        with self._reading():
            return pl.DataFrame(snapshot.get_add_actions())

    def _files(self, snapshot: DeltaTable) -> list[Shard]:
        found = self._actions(snapshot).select("path", "size_bytes").iter_rows()
        return [Shard.parse(path, size) or Shard(path, size, 0) for path, size in found]

    def _shards(self, snapshot: DeltaTable) -> list[Shard]:
        found = self._files(snapshot)
        self._refuse_foreign(found, snapshot)
        return found

    def _refuse_foreign(self, files: Sequence[Shard], snapshot: DeltaTable) -> None:
        """Raises CorpusError if one of the files of a version is no shard of ours."""
        if all(Shard.parse(file.path, file.size) for file in files):
            return
        history = [entry for entry in self.history() if entry["version"] <= snapshot.version()]
        foreign = list(takewhile(lambda entry: _MARK not in entry, history))
        leading = self._leading or self
        last = next((entry["version"] for entry in leading.history() if _MARK in entry), None)
        if len(foreign) == len(history) or last is None:
            raise CorpusError(f"{self.root}: holds files of another program; give the job another path")
        first = foreign[-1]
        raise CorpusError(
            f"{self.root}: another program has rewritten the table since version {first['version']} "
            f"({first['operation']}); the last version by the factory is {last}, and this leads back to it: "
            f"factory restore {in_shell(leading.root)} {last}"
        )

    def version(self) -> int | None:
        """The version that `shards` or `commit` last saw; none while there is no table."""
        return None if self._snapshot is None else self._snapshot.version()

    def moved(self) -> bool:
        """Whether another run has committed since `shards` or `commit` last looked."""
        newest = self._open()
        return newest is not None and newest.version() != self.version()

    def write(self, rows: pa.Table) -> Shard:
        """Write a shard file, uncommitted. Raises CorpusError if the rows are not in the table's schema."""
        common = pa.schema(list(rows.schema)[: len(self.schema)])
        if common != self.schema:
            raise CorpusError(f"{self.root}: rows have the schema\n{common}\nexpected\n{self.schema}")
        path = f"shards/n{rows.num_rows}-{uuid.uuid4().hex}.parquet"
        return Shard(path, self.storage.write_parquet(path, rows), rows.num_rows)

    def read(self, shard: Shard, columns: Sequence[str] | None = None, dictionaries: Sequence[str] = ()) -> pa.Table:
        """The rows of a shard, as `Storage.read_parquet` takes columns."""
        return self.storage.read_parquet(shard.path, columns, dictionaries=dictionaries)

    def uri(self, shard: Shard) -> str:
        """The shard's address, for readers that know no Delta."""
        return f"{self._place}/{shard.path}"

    def frame(self, shards: Sequence[Shard]) -> pl.LazyFrame:
        """The rows of shards as a polars frame. Columns that a shard was written without are null."""
        empty = pl.DataFrame(self.layout.empty_table())
        if not shards:
            return empty.lazy()
        return pl.scan_parquet(
            [self.uri(shard) for shard in shards],
            glob=False, schema=empty.schema, missing_columns="insert", extra_columns="ignore",
            cast_options=pl.ScanCastOptions(missing_struct_fields="insert", extra_struct_fields="ignore"),
        )  # fmt: skip

    def commit(self, add: Sequence[Shard], remove: Sequence[Shard], message: str, **notes: object) -> None:
        """Add and remove shards in one transaction. Raises ConflictError if another run has committed since `shards`.

        Every commit carries a Delta application transaction, which is what makes two appends conflict. The version's
        rows, the message and the notes go into the log.
        """
        now = int(time.time() * 1000)
        rows = self._rows + sum(shard.rows for shard in add) - sum(shard.rows for shard in remove)
        version = 0 if self._snapshot is None else self._snapshot.version() + 1
        mark = uuid.uuid4().hex
        properties = self._noted(message, rows, mark, version, notes)
        adds = [AddAction(s.path, s.size, {}, now, True, json.dumps({"numRecords": s.rows})) for s in add]
        removes = [RemoveAction(s.path, True, now, s.size, {}) for s in remove]
        failure: Exception | None = None
        for _ in self._attempts():
            try:
                self._write_log(adds, removes, properties)
                if self.version() != version:  # another commit has come since, and what follows must not pass over it
                    self._snapshot = self._open(version)
            except (DeltaError, OSError) as error:
                failure = error
                # The error may be of the answer alone, or of what follows a commit: the log knows.
                ours = self._stands(version, mark, failure)
                if ours is False or (ours is None and isinstance(error, CommitFailedError)):
                    raise ConflictError(f"{self.root}: {CONFLICT}") from error
                if ours is None:
                    if _DENIED.search(str(error)):
                        break
                    continue
                self._snapshot = self._open(version)
            self._rows = rows
            return
        raise CorpusError(f"{self.root}: cannot commit: {self._cause(failure)}") from failure

    def _write_log(self, adds: list[AddAction], removes: list[RemoveAction], properties: CommitProperties) -> None:
        if self._snapshot is None:
            if not is_uri(self._place):
                Path(self._place, "_delta_log").mkdir(parents=True, exist_ok=True)
            create_table_with_add_actions(
                self._address(),
                Schema.from_arrow(self.layout),
                adds,
                mode="error",
                configuration=_PROPERTIES,
                commit_properties=properties,
                storage_options=_CLIENT,
            )
            self._snapshot = DeltaTable(self._address(), storage_options=_CLIENT)
        else:
            self._snapshot.create_write_transaction(
                [*adds, *removes], "append", self._snapshot.schema(), commit_properties=properties
            )
            self._snapshot.update_incremental()

    def _stands(self, version: int, mark: str, failure: Exception) -> bool | None:
        """Whether a version of the log is the one with this mark; none if there is no such version."""
        try:
            return mark.encode() in self.storage.read_bytes(f"_delta_log/{version:020}.json")
        except FileNotFoundError:
            return None
        except StorageError as error:
            raise CorpusError(f"{self.root}: cannot commit: {self._cause(failure)}") from error

    def _cause(self, error: Exception | None) -> str:
        """What the Delta log's client says, on one line, and what to do."""
        told = str(error) if self._alias is None else str(error).replace(self._alias.path, self._place)
        text = re.sub(r"\s*\x1b\[\d+m↳\x1b\[0m\s*", ": ", told)
        cause = " ".join(re.sub(r"<\?xml.*", "", text, flags=re.DOTALL).split()).rstrip(" :")
        if _DENIED.search(cause):
            return f"{cause}; check the credentials, and that they allow to list, read, write and delete there"
        return f"{cause}; what was committed stays; check that the place can be reached, then run again"
