from __future__ import annotations

from pathlib import Path

import pytest

from factory.planning.shard import outstanding
from factory.spec.phases import making
from tests.rehearsal import Rehearsal, job_in, rows_of, some_personas, write_seeds


@pytest.mark.parametrize(
    "override",
    [
        "run.rows_per_shard=3",
        "makers.extract=null",
        "makers={}",
        "scores.strict={method: consistency}",
        "models.other={name: org/other}",
    ],
)
def test_every_entry_is_in_one_phase_and_none_comes_before_what_it_reads(tmp_path: Path, override: str) -> None:
    overrides = [override, *(["makers.extract.model=other"] if "other" in override else [])]
    made = making(job_in(tmp_path, *overrides))
    entries = [entry for phase in made.phases for entry in phase.stages]
    assert len(entries) == len(set(entries))
    recipes = {one.stage: one for kind in made.recipes.values() for one in kind if one.stage != "select"}
    assert set(entries) == recipes.keys()
    for entry, recipe in recipes.items():
        assert all(made.phase_of(before) <= made.phase_of(entry) for before in recipe.upstream)


def test_what_is_outstanding_is_each_entry_that_is_not_as_wanted(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(2))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    row = next(iter(rows_of(job).values()))
    wanted = {record.stage: record.fingerprint for record in row.stages}
    assert outstanding(row, wanted) == []
    for entry in wanted:
        assert outstanding(row, wanted | {entry: "new"}) == [entry]
        assert outstanding(row, {name: one for name, one in wanted.items() if name != entry}) == []
    assert outstanding(row, wanted | {"one more": "new"}) == ["one more"]
    row.stages[-2].failed = "fault"
    assert outstanding(row, wanted) == []
    assert outstanding(row, wanted, retry=True) == [row.stages[-2].stage]


def test_rows_that_were_not_reached_keep_the_committed_version(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(8))
    Rehearsal().run(job_in(tmp_path))
    before = rows_of(job_in(tmp_path))
    job = job_in(tmp_path, "makers.converse.turns=4", "run.dialogues_in_flight=1")
    Rehearsal().run(job, stop_after=1)
    after = rows_of(job)
    assert after.keys() == before.keys()
    remade = {key for key in after if after[key] != before[key]}
    assert 0 < len(remade) < len(after)
    assert {len(after[key].turns) for key in remade} == {4}
