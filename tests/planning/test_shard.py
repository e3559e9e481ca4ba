from __future__ import annotations

from pathlib import Path

import pytest

from factory.planning.shard import leg_of, leg_start, passed
from factory.spec.job import LEGS, recipes
from tests.rehearsal import Rehearsal, job_in, rows_of, some_personas, write_seeds


@pytest.mark.parametrize("override", ["run.rows_per_shard=3", "stages.extract=null", "stages={select: {}}"])
def test_every_stage_of_a_chain_is_in_one_leg(tmp_path: Path, override: str) -> None:
    chain = recipes(job_in(tmp_path, override), "generated")
    starts = [leg_start(chain, leg) for leg in range(len(LEGS) + 1)]
    assert (starts[0], starts[-1]) == (0, len(chain))
    for count in range(len(chain)):
        leg = leg_of(chain, count)
        assert starts[leg] <= count < starts[leg + 1]
    assert leg_of(chain, len(chain)) == len(LEGS)


def test_stages_are_passed_up_to_the_first_that_is_out_of_date(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(2))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    row = next(iter(rows_of(job).values()))
    wanted = [record.fingerprint for record in row.stages]
    for number in range(len(wanted)):
        assert passed(row, [*wanted[:number], "new", *wanted[number + 1 :]]) == number
        assert passed(row, wanted[:number]) == number
    assert passed(row, [*wanted, "one more"]) == len(wanted)


def test_rows_that_were_not_reached_keep_the_committed_version(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(8))
    Rehearsal().run(job_in(tmp_path))
    before = rows_of(job_in(tmp_path))
    job = job_in(tmp_path, "stages.converse.turns=4", "run.dialogues_in_flight=1")
    Rehearsal().run(job, stop_after=1)
    after = rows_of(job)
    assert after.keys() == before.keys()
    remade = {key for key in after if after[key] != before[key]}
    assert 0 < len(remade) < len(after)
    assert {len(after[key].turns) for key in remade} == {4}
