"""From dumps of comments to seeds, in tasks of Ray: dialogues by thread, or personas by author.

First each file is read, a task each: its comments are chosen, and written in parts, each bucketed by the hash of the
thread or author. Then each bucket is read from all parts, a task each, and written as one file of seeds. Parts and
buckets appear whole, each followed by a note of what it holds; so a killed command is repeated, continues behind what
has a note, and ends in the same bytes. The driver sees notes only. Limitations: a file is read by one task, so that the
largest one decides how long the first step takes at least; a resumed task unpacks what was read before; all files are
read before the first dialogue is written.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import ray
from ray.exceptions import RayError, RayTaskError

from factory.base.arrays import arrow, texts
from factory.methods.screening.many import personal_data, without
from factory.running.cluster import joined
from factory.running.pool import RunError
from factory.seeds.archives import find_files
from factory.seeds.buckets import packed, part
from factory.seeds.comments import COMMENTS, FIELDS, Choice, read_comments, with_column
from factory.seeds.files import BadRow, FileFormat, SeedFile, SourceError
from factory.seeds.plain_dialogues import DIALOGUES
from factory.seeds.threads import PERSONAS, dialogues, personas
from factory.store.storage import Storage, StorageError

Personal = Literal["keep", "replace", "drop"]

_WORK = "_threads"
_PLAN, _DONE = f"{_WORK}/plan.json", f"{_WORK}/done.json"
_PARTS, _BUCKETS = f"{_WORK}/parts", f"{_WORK}/buckets"
_PART = 1 << 27
"""Bytes of chosen comments in a part, about: of a dump of Reddit's, those of 1 GB or more."""
_BUCKET, _MOST_BUCKETS = 1 << 27, 2048
"""Bytes of a dump for each bucket, as many buckets as there may be: each takes a file of the result, and a small piece
of every part."""
_UNPACKED = {".zst": 10, ".gz": 6, ".bz2": 8, ".xz": 10, ".parquet": 4}
"""How many times larger the JSON of a file is, about."""
_SETTINGS = {"num_cpus": 1, "max_retries": 5, "scheduling_strategy": "SPREAD"}
_AT_ONCE = 16
"""Parts that are read at once where they are in an object store."""
_VERSION = 1
"""Raised when the same comments would be written otherwise."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a dump: which comments, how many answers a path goes down, and what to do with comments that
    hold personal data: keep them, put placeholders into them, or drop them."""

    choice: Choice = field(default_factory=Choice)
    depth: int = 10
    personal: Personal = "keep"


@dataclass(slots=True)
class Rebuilt:
    """What was written: seeds, and files of them; bytes that were read (unpacked; of Parquet, none are counted); counts
    of comments by what became of them, and of cut paths; of the files that broke off, where; seconds of all tasks, and
    of those that screening took."""

    seeds: int = 0
    files: int = 0
    bytes: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    cpu_s: float = 0.0
    screening_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the bytes of the result depend on."""

    version: int
    writer: str
    wish: dict[str, Any]
    files: list[list[str]]
    buckets: int


@dataclass(frozen=True, slots=True)
class _Done:
    """What is there of a file: so many parts, which end at this place."""

    parts: int
    end: int


def rebuild(  # noqa: PLR0917 -- one call, by name
    sources: Sequence[str],
    to: str,
    wish: Wish = Wish(),
    form: FileFormat = "auto",
    address: str | None = None,
    report: Callable[[str, int], None] = lambda *_: None,
) -> Rebuilt:
    """Write the seeds that the comments of dumps hold into a folder; what an earlier, killed call did is not done
    again. Raises SourceError, StorageError or RunError."""
    files = [file for source in sources for file in find_files(source, form, Path.cwd())]
    storage = Storage(to)
    plan = _plan(files, wish)
    if _goes_on(storage, plan) and storage.exists(_DONE):
        _clear(storage)  # a kill may have come before
        return _rebuilt([json.loads(storage.read_bytes(_DONE))])
    storage.write_bytes(_PLAN, _json(asdict(plan)))
    with joined(None, address or os.environ.get("RAY_ADDRESS")):
        parts = _read_all(storage, to, files, plan, wish, report)
        notes = [note for of_file in parts for note in of_file]
        if not any(note["kept"] for note in notes):
            raise SourceError(_nothing(sources, notes))
        notes += _write_all(storage, to, [note["part"] for note in notes if note["kept"]], plan, wish, report)
    done = _rebuilt(notes)
    storage.write_bytes(_DONE, _json(asdict(done)))
    _clear(storage)
    return done


def _clear(storage: Storage) -> None:
    storage.delete_folder(_PARTS)
    storage.delete_folder(_BUCKETS)


def _plan(files: Sequence[SeedFile], wish: Wish) -> _Plan:
    found, size = [], 0
    for file in files:
        told = _info(file)
        size += told.size * next((times for end, times in _UNPACKED.items() if file.name.lower().endswith(end)), 1)
        found.append([file.name, file.recipe or f"{told.size} bytes, {told.mtime_ns}"])
    buckets = min(_MOST_BUCKETS, max(1, size // _BUCKET))
    return _Plan(_VERSION, f"pyarrow {pa.__version__}", json.loads(_json(asdict(wish))), found, buckets)


def _info(file: SeedFile) -> pafs.FileInfo:
    if file.opened is not None:
        raise SourceError(f"{file.name}: a dump is not read out of an archive: unpack it, and name the files in it")
    if file.files is None and "://" in file.uri:
        raise SourceError(f"{file.name}: dumps are read from disks and object stores: download it, and name the file")
    files, path = file.files or pafs.LocalFileSystem(), file.uri.partition("://")[2] if file.files else file.uri
    try:
        return files.get_file_info(os.path.abspath(path) if file.files is None else path)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{file.name}: cannot be read: {error}") from error


def _goes_on(storage: Storage, plan: _Plan) -> bool:
    """Whether the folder holds what this plan began. Raises StorageError if it holds anything else."""
    if not storage.exists(_PLAN):
        if storage.files(""):
            raise StorageError("the folder for the seeds is not empty: name a new one with --to")
        return False
    before = json.loads(storage.read_bytes(_PLAN))
    if differing := [name for name, value in asdict(plan).items() if before.get(name) != value]:
        what = {"wish": "options", "writer": "a version of pyarrow", "files": "files"}.get(differing[0], differing[0])
        raise StorageError(
            f"the folder holds what was begun with other {what}: give the same again, or name a new folder with --to"
        )
    return True


def _read_all(  # noqa: PLR0917
    storage: Storage, to: str, files: Sequence[SeedFile], plan: _Plan, wish: Wish, report: Callable[[str, int], None]
) -> list[list[dict[str, Any]]]:
    """The notes of the parts of each file."""
    notes: list[list[dict[str, Any]]] = [[] for _ in files]
    for path in storage.list(_PARTS):
        if path.endswith(".json"):
            notes[int(path.rpartition("/")[2].partition("-")[0])].append(json.loads(storage.read_bytes(path)))
    calls = [
        (to, number, _Done(len(of_file), of_file[-1]["end"] if of_file else 0), file, plan.buckets, wish, _PART)
        for number, (file, of_file) in enumerate(zip(files, notes, strict=True))
        if not (of_file and of_file[-1]["last"])
    ]
    read = sum(note["bytes"] for of_file in notes for note in of_file)
    for number, more in _each(_read_file, calls):
        notes[number] += more
        read += sum(note["bytes"] for note in more)
        report("bytes read", read)
    return notes


def _write_all(  # noqa: PLR0917
    storage: Storage, to: str, parts: list[str], plan: _Plan, wish: Wish, report: Callable[[str, int], None]
) -> list[dict[str, Any]]:
    """The notes of the buckets."""
    paths = [path for path in storage.list(_BUCKETS) if path.endswith(".json")]
    notes = [json.loads(storage.read_bytes(path)) for path in paths]
    there = {note["bucket"] for note in notes}
    seeds, all_parts = sum(note["seeds"] for note in notes), ray.put(parts)
    calls = [(to, bucket, all_parts, wish) for bucket in range(plan.buckets) if bucket not in there]
    for note in _each(_write_bucket, calls):
        notes.append(note)
        seeds += note["seeds"]
        report("seeds written", seeds)
    return notes


def _each(do: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
    """What the calls return, in the order in which they end, twice as many at once as there are processors."""
    task, waiting = ray.remote(do).options(**_SETTINGS), []
    most = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    try:
        for call in calls:
            waiting.append(task.remote(*call))
            if len(waiting) >= most:
                yield _first(waiting)
        while waiting:
            yield _first(waiting)
    except RayTaskError as error:
        if isinstance(error.cause, SourceError | StorageError | ImportError):
            raise error.cause from error
        raise
    except RayError as error:
        told = " ".join(str(error).split())
        raise RunError(f"a worker was lost again and again: {told}; run again to continue") from error


def _first(waiting: list[Any]) -> Any:
    done, waiting[:] = ray.wait(waiting)
    return ray.get(done[0])


def _read_file(  # noqa: PLR0917 -- a task
    to: str, number: int, done: _Done, file: SeedFile, buckets: int, wish: Wish, size: int
) -> tuple[int, list[dict[str, Any]]]:
    """Write the parts of a file, each of about so many bytes, behind those that are there; their notes."""
    writer, start = _PartWriter(Storage(to), number, done, buckets, wish, size), done.end
    try:
        for read in read_comments(file, wish.choice, start):
            writer.add(read.batch, read.dropped, read.end, counted=file.format != "parquet")
    except BadRow as bad:
        writer.damage = f"{file.name}: {bad}"
    writer.write(last=True)
    return number, writer.notes


class _PartWriter:
    """Writes the parts of one file."""

    def __init__(self, storage: Storage, file: int, done: _Done, buckets: int, wish: Wish, size: int) -> None:  # noqa: PLR0917
        self._storage, self._file, self._buckets, self._wish, self._most = storage, file, buckets, wish, size
        self._parts, self._end = done.parts, done.end
        self.notes: list[dict[str, Any]] = []
        self.damage: str | None = None
        self._clear()

    def _clear(self) -> None:
        self._held: list[pa.RecordBatch] = []
        self._size, self._bytes, self._screening = 0, 0, 0.0
        self._dropped, self._clock = Counter[str](), time.process_time()

    def add(self, batch: pa.RecordBatch, dropped: Counter[str], end: int | None, *, counted: bool) -> None:
        """Take comments, and write a part once there are enough."""
        self._dropped += dropped
        began = time.process_time()
        batch = _screened(batch, self._wish.personal, self._dropped)
        self._screening += time.process_time() - began
        if len(batch):
            self._held.append(batch)
            self._size += batch.nbytes
        if end is not None:
            self._bytes += counted and end - self._end
            self._end = end
            if self._size >= self._most:
                self.write(last=False)

    def write(self, *, last: bool) -> None:
        """Write what is held as a part, then its note."""
        by = self._wish.choice.by
        path = f"{_PARTS}/{self._file:05}-{self._parts + len(self.notes):05}"
        if self._held:
            content = packed(self._held, COMMENTS[by], FIELDS[by][0], self._buckets)
            self._storage.write_bytes(f"{path}.part", content)
        note = {
            "part": f"{path}.part", "end": self._end, "last": last, "bytes": self._bytes,
            "kept": sum(map(len, self._held)), "counts": dict(self._dropped),
            "cpu_s": time.process_time() - self._clock, "screening_s": self._screening, "damaged": self.damage,
        }  # fmt: skip
        self._storage.write_bytes(f"{path}.json", _json(note))
        self.notes.append(note)
        self._clear()


def _screened(batch: pa.RecordBatch, how: Personal, dropped: Counter[str]) -> pa.RecordBatch:
    if how == "keep" or not len(batch):
        return batch
    found = list(personal_data(batch["body"]))
    if not found:
        return batch
    if how == "drop":
        dropped["personal_data"] += len(found)
        return batch.take(arrow(np.delete(np.arange(len(batch)), [place for place, _, _ in found])))
    dropped["replaced"] += len(found)
    bodies = batch["body"].to_pylist()
    for place, text, finds in found:
        bodies[place] = without(text, finds)
    return with_column(batch, "body", texts(bodies))


def _write_bucket(to: str, bucket: int, parts: list[str], wish: Wish) -> dict[str, Any]:
    """Write the seeds of a bucket, out of all parts, then its note."""
    clock, storage, counts = time.process_time(), Storage(to), Counter[str]()
    schema, seeds = DIALOGUES if wish.choice.by == "thread" else PERSONAS, 0
    if comments := _bucket(storage, bucket, parts):
        batch, *others = pa.concat_tables(comments).combine_chunks().to_batches()
        if others:
            raise SourceError(f"bucket {bucket} holds more than 2 GiB of text: lower --max-characters")
        found = dialogues(batch, wish.depth, counts) if schema is DIALOGUES else personas(batch, counts)
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
            for some in found:
                seeds += len(some)
                writer.write_batch(some)
        if seeds:
            kind = "dialogues" if schema is DIALOGUES else "personas"
            storage.write_bytes(f"{kind}-{bucket:05}.parquet", sink.getvalue())
    note = {
        "bucket": bucket, "seeds": seeds, "files": int(seeds > 0), "counts": dict(counts),
        "cpu_s": time.process_time() - clock,
    }  # fmt: skip
    storage.write_bytes(f"{_BUCKETS}/{bucket:05}.json", _json(note))
    return note


def _bucket(storage: Storage, bucket: int, parts: list[str]) -> list[pa.Table]:
    """The comments of a bucket, in the order of the files."""
    files = storage.tree()

    def read(path: str) -> pa.Table | None:
        with files.open_input_file(path) as file:
            return part(file, bucket)

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return [table for table in threads.map(read, parts) if table is not None]


def _rebuilt(notes: Iterable[dict[str, Any]]) -> Rebuilt:
    found, counts = Rebuilt(), Counter[str]()
    for note in notes:
        found.seeds += note.get("seeds", 0)
        found.files += note.get("files", 0)
        found.bytes += note.get("bytes", 0)
        counts.update(note["counts"])
        found.cpu_s += note["cpu_s"]
        found.screening_s += note.get("screening_s", 0.0)
        damaged = note.get("damaged") or []
        found.damaged += [damaged] if isinstance(damaged, str) else damaged
    found.counts = {name: count for name, count in counts.most_common() if count}
    return found


def _nothing(sources: Sequence[str], notes: list[dict[str, Any]]) -> str:
    counts = _rebuilt(notes).counts
    why = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
    damaged = "".join(f"\n  {note['damaged']}" for note in notes if note["damaged"])
    return (
        f"{', '.join(sources)}: no comment that could be kept ({why or 'no rows at all'}); a comment has "
        f"{', '.join(FIELDS['thread'])}, and stands on a line as JSON, or in a row of Parquet{damaged}"
    )


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=1).encode()
