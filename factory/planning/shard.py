"""A shard on its way: what is to be done to its rows, and how the pieces become one file again.

A shard starts as a spec: a committed shard to replace, skeletons of new rows, rows to drop. Each leg reads the newest
version of every row, works on those that need it, and leaves a staged file; the last step merges all versions into one
new shard. Which version of a row is newest, and what it still needs, is read off its fingerprints, so that any step may
be repeated, cut short or done by another worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from factory.running.pipeline import trim
from factory.spec.job import LEGS, Recipe, row_fingerprints
from factory.store.corpus import Corpus
from factory.store.records import Row, rows_from_table, rows_to_table
from factory.store.table import Shard

STAGING = "_staging"
STAGED = "snappy"
"""How staged files are compressed: zstd takes 2 ms more to write a small one, and 2 ms to read it."""

Chains = Mapping[str, list[Recipe]]
"""The recipes a row passes, by its kind."""


@dataclass(slots=True)
class ShardSpec:
    """Work on one shard. `base` is the committed shard it replaces, `skeletons` a file of rows whose seeds are new or
    changed, `staged` files of rows that have been through some stages; `redo` are the rows to work on, `drop` those
    that are no longer wanted, `failed` those that became dead letters on the way. All others stay as they are. `rows`
    are how many each leg works on, before any fail."""

    id: str
    base: Shard | None = None
    skeletons: str | None = None
    staged: list[str] = field(default_factory=list)
    redo: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    leg: int = 0
    rows: tuple[int, ...] = (0,) * len(LEGS)


def passed(row: Row, wanted: Sequence[str]) -> int:
    """How many stages of its chain the row has been through as wanted, counted up to the first that is out of date."""
    for count, (record, fingerprint) in enumerate(zip(row.stages, wanted, strict=False)):
        if record.fingerprint != fingerprint:
            return count
    return min(len(row.stages), len(wanted))


def leg_start(chain: Sequence[Recipe], leg: int) -> int:
    """How many stages of the chain come before a leg."""
    return sum(any(recipe.stage in stages for stages in LEGS[:leg]) for recipe in chain)


def leg_of(chain: Sequence[Recipe], count: int) -> int:
    """The leg that does the stage after the first `count`; the number of legs if there is none."""
    if count == len(chain):
        return len(LEGS)
    return next(leg for leg, stages in enumerate(LEGS) if chain[count].stage in stages)


def load(corpus: Corpus, spec: ShardSpec, chains: Chains) -> list[Row]:
    """Every row of the shard in its newest version, in a stable order, without those to drop."""
    newest: dict[str, Row] = {}
    if spec.base is not None:
        newest = {row.row_id: row for row in rows_from_table(corpus.table.read(spec.base))}
    if spec.skeletons is not None:
        for row in rows_from_table(corpus.storage.read_parquet(spec.skeletons)):
            newest[row.row_id] = refresh(newest.get(row.row_id), row)
    for path in spec.staged:
        for row in rows_from_table(corpus.storage.read_parquet(path)):
            held = newest.get(row.row_id)
            if held is None:
                continue
            chain = chains[row.kind]
            wanted = row_fingerprints(chain, held)
            if passed(row, wanted) > passed(held, wanted):
                newest[row.row_id] = refresh(row, held)
    dropped = set(spec.drop)
    return [newest[row_id] for row_id in sorted(newest) if row_id not in dropped]


def refresh(held: Row | None, skeleton: Row) -> Row:
    """The row to go on with when its inputs changed: the held one if only its donors did, else a fresh one."""
    if held is None or [seed.digests for seed in held.seeds] != [seed.digests for seed in skeleton.seeds]:
        return skeleton
    held.seeds = skeleton.seeds
    held.donors = skeleton.donors
    return held


def todo(corpus: Corpus, spec: ShardSpec, leg: int, chains: Chains) -> list[tuple[Row, list[str], int]]:
    """The rows a leg has to work on: each with its wanted fingerprints and the number of stages it has passed."""
    work, redo = [], set(spec.redo)
    for row in load(corpus, spec, chains):
        if row.row_id not in redo:
            continue
        chain = chains[row.kind]
        wanted = row_fingerprints(chain, row)
        count = passed(row, wanted)
        if count < leg_start(chain, leg + 1) and count >= leg_start(chain, leg):
            work.append((row, wanted, count))
    return work


@dataclass(frozen=True, slots=True)
class Merged:
    """The file that takes a shard's place (none if no row is left), how many of its rows this run finished, and which
    of those to redo came through: they stand in it as wanted, or failed."""

    shard: Shard | None
    finished: int
    reached: list[str]


def merge(corpus: Corpus, spec: ShardSpec, chains: Chains) -> Merged:
    """Write the shard that replaces `base`: finished rows, and the committed version of rows that were not reached."""
    committed = rows_from_table(corpus.table.read(spec.base)) if spec.base else []
    base = {row.row_id: row for row in committed}
    kept: list[Row] = []
    finished, reached, redo = 0, list(spec.failed), set(spec.redo)
    for row in load(corpus, spec, chains):
        chain = chains[row.kind]
        if row.row_id in spec.failed:
            continue
        if row.row_id in redo and passed(row, row_fingerprints(chain, row)) == len(chain):
            trim(row, len(chain))
            kept.append(row)
            reached.append(row.row_id)
            finished += row.row_id not in base or base[row.row_id].stages != row.stages
        elif row.row_id in base:
            kept.append(base[row.row_id])
    if not kept:
        return Merged(None, finished, reached)
    return Merged(corpus.table.write(rows_to_table(kept)), finished, reached)
