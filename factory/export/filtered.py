"""A job's own dialogues filtered: the rows of its seed files as they stand there, each with what was decided of it.

The files are read again, so a row keeps all its columns and its place among the others, and nothing is stored twice.
Limitations: the files must still be there, as they were when the job was run; the decisions of all dialogues are held
in memory, some hundred bytes each; a row that holds several dialogues is left out.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from pydantic_core import to_json

from factory.methods.exports import ExportError
from factory.planning.plan import plan
from factory.seeds.lines import FileRow
from factory.seeds.made import files_of
from factory.seeds.source import BadSeed, read_rows_with_seeds
from factory.spec.job import Job
from factory.spec.sources import sources_of
from factory.store.corpus import Corpus
from factory.store.records import PARTS, Decision, Seed, row_id, score_columns
from factory.store.storage import StorageError

ADDED = "factory"
"""The column that a row gets: its row's id, decision, reasons and scores."""
_TURNS = PARTS.index("turns")


class _Verdict(NamedTuple):
    turns: str
    decision: Decision | None
    told: bytes


@dataclass
class Filtered:
    """What was written: rows, and how many were left out, by reason."""

    to: str
    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def write_filtered(
    job: Job, to: Path, decisions: Sequence[Decision], report: Callable[[str, int], None] = lambda *_: None
) -> Filtered:
    """Write the rows of a job's dialogues that are so decided as JSON Lines, with gzip if `to` ends with .gz; without
    `select`, all count as accepted. Raises ExportError if the file is there, the job has rows to make or to decide, or
    nothing is left; and PlanError, SourceError, CorpusError or StorageError."""
    if to.exists():
        raise ExportError(f"{to}: is there already; delete it, or name another place")
    if waiting := plan(job, report=report).summary.rows:
        raise ExportError(f"{job.corpus}: rows still to be made or decided: {waiting:,}; run the job first")
    result = Filtered(str(to))
    partial = to.with_name(f"{to.name}.partial")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with _opened(partial, packed=to.suffix == ".gz") as file:
            for line in _lines(job, decisions, result.left_out):
                file.write(line + b"\n")
                result.rows += 1
                report("rows written", result.rows)
        if not result.rows:
            why = ", ".join(f"{count:,} {reason}" for reason, count in result.left_out.items())
            raise ExportError(f"{job.corpus}: no dialogue is left to write: {why or 'the seeds hold none'}")
        partial.rename(to)
    except StorageError:
        raise
    except OSError as error:
        raise ExportError(f"{to}: cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return result


def _opened(path: Path, *, packed: bool) -> IO[bytes]:
    return gzip.open(path, "wb") if packed else path.open("wb")  # type: ignore[return-value]


def _lines(job: Job, decisions: Sequence[Decision], left_out: Counter[str]) -> Iterator[bytes]:
    verdicts = _verdicts(Corpus(job.corpus))
    for source, file in files_of(sources_of(job.seeds, job.base, job.corpus), job.base):
        for row, seeds in read_rows_with_seeds(file, source.fields):
            found = _verdict(seeds, verdicts)
            if isinstance(found, str):
                left_out[found] += 1
            elif (found.decision or "accept") not in decisions:
                left_out[f"rows decided {found.decision}"] += 1
            else:
                yield _written(row or {}, found)


def _verdicts(corpus: Corpus) -> dict[str, _Verdict]:
    """What was decided of each imported dialogue, by row id."""
    corpus.table.shards()  # which opens the version that `layout` is of
    names = tuple(score_columns(corpus.table.layout))
    columns = ("row_id", "kind", "sample", "seeds", "speakers", "decision", "reasons", *names)
    return {
        row.row_id: _Verdict(
            row.seeds[0].digests[_TURNS],
            row.decision,
            to_json({"row_id": row.row_id, "decision": row.decision, "reasons": row.reasons, "scores": row.scores}),
        )
        for row in corpus.rows(columns=columns)
        if row.kind == "imported"
    }


def _verdict(seeds: Sequence[Seed | BadSeed], verdicts: dict[str, _Verdict]) -> _Verdict | str:
    """What was decided of a row, or why it is left out."""
    if len(seeds) != 1:
        return "rows that hold several dialogues"
    (seed,) = seeds
    if isinstance(seed, BadSeed):
        return "rows that cannot be read"
    if not seed.turns:
        return "rows that are personas"
    found = verdicts.get(row_id((seed.id,), 0))
    if found is None or found.turns != seed.digests[_TURNS]:
        return "rows that failed, or have the id of another row"
    return found


def _written(row: FileRow, verdict: _Verdict) -> bytes:
    own = {name: value for name, value in row.items() if name != ADDED}
    text = to_json(own, inf_nan_mode="null", bytes_mode="base64", fallback=str)
    return text[:-1] + (b"," if own else b"") + to_json(ADDED) + b":" + verdict.told + b"}"
