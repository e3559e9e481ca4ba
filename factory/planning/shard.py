"""A shard on its way: what is to be done to its rows, and which version of each is the one to go on with.

A shard starts as a spec: a committed shard to replace, skeletons of new rows, rows to drop. Each phase reads the newest
version of every row, works on those that need it, and leaves a staged file. Which version of a row is newest, and what
it still needs, is read off its fingerprints, so that any step may be repeated, cut short or done by another worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from factory.spec.identity import row_fingerprints
from factory.spec.job import SELECT
from factory.spec.phases import Making
from factory.store.corpus import Corpus
from factory.store.records import PARTS, Row, ScoreColumns, joined, rows_from_table, score_columns
from factory.store.shards import Shard

STAGING = "_staging"


@dataclass(slots=True)
class ShardSpec:
    """Work on one shard. `base` is the committed shard it replaces, `skeletons` a file of rows whose seeds are new or
    changed, `staged` files of rows that have been through some phases; `redo` are the rows to work on, `drop` those
    that are no longer wanted, `failed` those that became dead letters on the way. All others stay as they are. `rows`
    are how many each phase works on, before any fail. With `retry`, scores that failed are tried again."""

    id: str
    base: Shard | None = None
    skeletons: str | None = None
    staged: list[str] = field(default_factory=list)
    redo: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    rows: tuple[int, ...] = ()
    retry: bool = False


class Todo(NamedTuple):
    """A row to work on, the fingerprints it should have, and the entries it is to go through."""

    row: Row
    wanted: dict[str, str]
    stages: list[str]


def outstanding(row: Row, wanted: Mapping[str, str], *, retry: bool = False) -> list[str]:
    """The entries that the row has not been through as wanted, in order."""
    done = {record.stage: record.fingerprint for record in row.stages if not (retry and record.failed)}
    return [stage for stage, fingerprint in wanted.items() if done.get(stage) != fingerprint]


def complete(row: Row, wanted: Mapping[str, str]) -> bool:
    """Whether the row has been through all its entries but the decision, which is made when it is merged."""
    return set(outstanding(row, wanted)) <= {SELECT}


def load(corpus: Corpus, spec: ShardSpec, making: Making) -> tuple[list[Row], ScoreColumns]:
    """Every row of the shard in its newest version, in a stable order, without those to drop; and the columns of the
    scores that the rows have or are to have."""
    newest: dict[str, Row] = {}
    columns = making.columns
    if spec.base is not None:
        table = corpus.table.read(spec.base)
        newest = {row.row_id: row for row in rows_from_table(table)}
        columns = joined(score_columns(table.schema), columns)
    if spec.skeletons is not None:
        for row in rows_from_table(corpus.storage.read_arrow(spec.skeletons)):
            newest[row.row_id] = refresh(newest.get(row.row_id), row)
    for path in spec.staged:
        for row in rows_from_table(corpus.storage.read_arrow(path)):
            held = newest.get(row.row_id)
            if held is not None and _is_newer(row, held, making, retry=spec.retry):
                newest[row.row_id] = refresh(row, held)
    dropped = set(spec.drop)
    return [newest[row_id] for row_id in sorted(newest) if row_id not in dropped], columns


def _is_newer(row: Row, held: Row, making: Making, *, retry: bool) -> bool:
    """Whether a staged version of a row is the one to go on with: less is left to do for it. Where what failed is tried
    again, it stands in the staged version."""
    wanted = row_fingerprints(making.recipes[row.kind], held)
    left, before = len(outstanding(row, wanted)), len(outstanding(held, wanted))
    return left < before or (retry and left == before and _failures(row) <= _failures(held))


def _failures(row: Row) -> int:
    return sum(record.failed is not None for record in row.stages)


def refresh(held: Row | None, skeleton: Row) -> Row:
    """The row to go on with when its inputs changed: the held one with what the seeds now say, and new donors. Facts
    and attributes of seeds that say the same stay as a maker left them."""
    if held is None:
        return skeleton
    same, alike = (_digests(held, part) == _digests(skeleton, part) for part in ("facts", "attributes"))
    for speaker, fresh in zip(held.speakers, skeleton.speakers, strict=True):
        if not alike:
            speaker.id, speaker.name, speaker.attributes = fresh.id, fresh.name, fresh.attributes
        given = [fact for fact in (speaker if same else fresh).facts if fact.origin == "seed"]
        speaker.facts = given + [fact for fact in speaker.facts if fact.origin != "seed"]
    if held.kind == "imported" and _digests(held, "turns") != _digests(skeleton, "turns"):
        held.turns = skeleton.turns
    held.seeds = skeleton.seeds
    held.donors = skeleton.donors
    return held


def _digests(row: Row, part: str) -> list[str]:
    return [seed.digests[PARTS.index(part)] for seed in row.seeds]


def todo(corpus: Corpus, spec: ShardSpec, phase: int, making: Making) -> tuple[list[Todo], ScoreColumns]:
    """The rows a phase has to work on, and the columns of their scores."""
    work, redo = [], set(spec.redo)
    own = making.phases[phase].stages
    before = {stage for earlier in making.phases[:phase] for stage in earlier.stages}
    rows, columns = load(corpus, spec, making)
    for row in rows:
        if row.row_id not in redo:
            continue
        wanted = row_fingerprints(making.recipes[row.kind], row)
        left = [stage for stage in outstanding(row, wanted, retry=spec.retry) if stage in own]
        if left and before.isdisjoint(outstanding(row, wanted)):
            work.append(Todo(row, wanted, left))
    return work, columns
