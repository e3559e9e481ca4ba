"""The last step of a shard: which version of each row its new file holds, and how the rows are decided."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from factory.planning.plan import plan
from factory.planning.shard import ShardSpec
from factory.running.merging import Merged, merge
from factory.spec.identity import row_fingerprints
from factory.spec.job import SELECT, Job
from factory.spec.phases import making
from factory.store.corpus import Corpus
from factory.store.records import Row, rows_from_table, rows_to_table
from tests.rehearsal import Rehearsal, job_in, rows_of, some_personas, write_seeds

ROWS = 8
ONE_SHARD = "run.rows_per_shard=100"
STRICTER = "scores.consistency.relevance=-0.5"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a corpus of one shard."""
    write_seeds(tmp_path, some_personas(ROWS))
    Rehearsal().run(job_in(tmp_path, ONE_SHARD))
    return tmp_path


def spec_of(job: Job) -> ShardSpec:
    """What is to be done to the one shard."""
    (work,) = plan(job).work()
    return work.spec


def scored_again(job: Job, row: Row, contradiction: float | None) -> Row:
    """The row as a phase leaves it that has made it as the job now wants; consistency failed for no value."""
    wanted = row_fingerprints(making(job).recipes[row.kind], row)
    made = [replace(one, fingerprint=wanted.get(one.stage, one.fingerprint)) for one in row.stages]
    failed = None if contradiction is not None else "no_verdict: "
    return replace(
        row,
        scores={} if failed else {"consistency": row.scores["consistency"] | {"contradiction": contradiction}},
        stages=[replace(one, failed=failed) if one.stage == "consistency" else one for one in made],
    )


def merged(job: Job, spec: ShardSpec, staged: list[Row]) -> tuple[Merged, dict[str, Row]]:
    """Merge the shard with these rows staged; what came of it, and its rows by id."""
    corpus, made = Corpus(job.corpus), making(job)
    spec.staged = [f"_staging/{spec.id}-0-0.rows.arrow"]
    corpus.storage.write_arrow(spec.staged[0], rows_to_table(staged, made.columns))
    result = merge(corpus, spec, made)
    rows = rows_from_table(corpus.table.read(result.shard)) if result.shard else []
    assert len({row.row_id for row in rows}) == len(rows)
    return result, {row.row_id: row for row in rows}


def test_finished_rows_are_new_those_not_reached_as_committed_and_those_that_failed_or_are_dropped_gone(
    folder: Path,
) -> None:
    job = job_in(folder, ONE_SHARD, STRICTER)
    before, spec = rows_of(job), spec_of(job)
    assert set(spec.redo) == before.keys()
    done, failed, dropped = spec.redo[:3], spec.redo[3], spec.redo[4]
    spec.failed, spec.drop = [failed], [dropped]
    spec.redo = [row_id for row_id in spec.redo if row_id != dropped]
    result, after = merged(job, spec, [scored_again(job, before[row_id], 0.95) for row_id in done])
    assert after.keys() == before.keys() - {failed, dropped}
    assert {row_id for row_id in after if after[row_id] != before[row_id]} == set(done)
    assert {after[row_id].decision for row_id in done} == {"reject"}
    assert set(result.reached) == {*done, failed}
    assert (result.finished, result.decisions) == (len(done), {"reject": len(done)})
    again, same = merged(job, spec, [scored_again(job, before[row_id], 0.95) for row_id in done])
    assert (again.finished, {key: row.reasons for key, row in same.items()}) == (
        result.finished,
        {key: row.reasons for key, row in after.items()},
    )


def test_a_shard_of_which_no_row_is_left_has_no_file(folder: Path) -> None:
    job = job_in(folder, ONE_SHARD, STRICTER)
    spec = spec_of(job)
    spec.failed, spec.drop, spec.redo = spec.redo[:1], spec.redo[1:], spec.redo[:1]
    result, _ = merged(job, spec, [])
    assert (result.shard, result.finished, result.reached) == (None, 0, spec.failed)


@pytest.mark.parametrize(
    ("contradiction", "decision", "reasons"),
    [
        (0.95, "reject", ["contradicts_persona"]),
        (0.7, "flag", ["may_contradict"]),
        (0.1, "accept", []),
        (None, "flag", ["not_scored"]),
    ],
)
def test_rows_are_decided_by_what_they_scored_or_by_that_they_did_not(
    folder: Path, contradiction: float | None, decision: str, reasons: list[str]
) -> None:
    job = job_in(folder, ONE_SHARD, STRICTER)
    before = rows_of(job)
    result, after = merged(job, spec_of(job), [scored_again(job, row, contradiction) for row in before.values()])
    assert {(row.decision, tuple(row.reasons)) for row in after.values()} == {(decision, tuple(reasons))}
    assert result.decisions[decision] <= ROWS
    for row in after.values():
        wanted = row_fingerprints(making(job).recipes[row.kind], row)
        assert row.stages[-1].stage == SELECT
        assert {record.stage: record.fingerprint for record in row.stages} == wanted


@pytest.mark.parametrize(("select", "decision"), [("select={}", "accept"), ("select=null", None)])
def test_without_conditions_all_rows_are_accepted_and_without_select_none_is_decided(
    folder: Path, select: str, decision: str | None
) -> None:
    job = job_in(folder, ONE_SHARD, STRICTER, select)
    rows = [scored_again(job, row, 0.99) for row in rows_of(job).values()]
    _, after = merged(job, spec_of(job), rows)
    assert [(row.decision, row.reasons) for row in after.values()] == [(decision, [])] * ROWS
    assert {SELECT in [record.stage for record in row.stages] for row in after.values()} == {decision is not None}


@pytest.mark.parametrize("left_out", ["extract", "augment"])
def test_a_maker_that_is_left_out_takes_off_the_row_what_it_wrote_and_no_more(folder: Path, left_out: str) -> None:
    every = job_in(folder, ONE_SHARD, "makers.augment.probability=1")
    Rehearsal().run(every)
    before = rows_of(every)
    job = job_in(folder, ONE_SHARD, "makers.augment.probability=1", f"makers.{left_out}=null", "select=null")
    _, after = merged(job, spec_of(job), [scored_again(job, row, 0.5) for row in before.values()])
    for row_id, row in after.items():
        origins = {fact.origin for speaker in row.speakers for fact in speaker.facts}
        assert left_out not in origins | {record.stage for record in row.stages}
        assert row.turns == before[row_id].turns
        assert row.extracted == ([] if left_out == "extract" else before[row_id].extracted)
        assert row.scores


def test_a_score_that_is_left_out_keeps_its_values_while_the_row_is_as_it_was(folder: Path) -> None:
    rows = rows_of(job_in(folder, ONE_SHARD))
    job = job_in(folder, ONE_SHARD, "scores={}", "select={}")
    _, after = merged(job, spec_of(job), [])
    assert {key: row.scores for key, row in after.items()} == {key: row.scores for key, row in rows.items()}
    assert {row.decision for row in after.values()} == {"accept"}
