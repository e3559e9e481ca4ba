"""What a pool makes of workers that die: which rows are blamed, which are not, and when it gives up."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest

from factory.engines import EngineDeadError
from factory.job import Job
from factory.plan import Plan, plan
from factory.pool import Pool, RunError
from tests.local_ray import Death, LocalRay, Steps
from tests.rehearsal import HashEmbedder, HashNli, Rehearsal, job_in, letters_of, rows_of, some_personas, write_seeds


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write_seeds(tmp_path, some_personas(6))
    return job_in(tmp_path, "run.rows_per_shard=2")


def test_a_worker_that_dies_before_its_models_are_open_blames_no_row(job: Job) -> None:
    Rehearsal().run(job, deaths=[Death("before run", all=False)] * 5)
    assert (len(rows_of(job)), letters_of(job)) == (6, {})


def test_workers_that_die_one_after_another_at_the_start_end_the_run(job: Job) -> None:
    with pytest.raises(RunError, match="^6 workers died or hung, one after another, while they started; the logs of"):
        Rehearsal().run(job, deaths=[Death("before run", all=False)] * 6)
    assert not rows_of(job)
    Rehearsal().run(job)
    assert (len(rows_of(job)), letters_of(job)) == (6, {})


@pytest.mark.parametrize("step", ["before merge", "within write rows"])
def test_a_shard_that_no_worker_lives_to_write_ends_the_run_and_loses_nothing(job: Job, step: str) -> None:
    rehearsal = Rehearsal()
    with pytest.raises(RunError, match="^6 workers died while they wrote one shard; the logs of Ray say more"):
        rehearsal.run(job, deaths=[Death(step, all=False)] * 30)
    asked = len(rehearsal.talker.requests)
    rehearsal.run(job)
    assert (len(rows_of(job)), letters_of(job)) == (6, {})
    assert len(rehearsal.talker.requests) - asked < asked, "what was staged is not made again"


@pytest.mark.parametrize("how", [EngineDeadError("gone"), MemoryError(), RuntimeError("can't allocate memory: 9 EB")])
def test_a_row_that_takes_each_worker_down_is_the_only_one_to_fail(tmp_path: Path, how: Exception) -> None:
    write_seeds(tmp_path, some_personas(9))
    job, rehearsal = job_in(tmp_path, "run.rows_per_shard=8"), Rehearsal()
    rehearsal.talker.deadly = {"*p4*": how}
    rehearsal.run(job)
    bad = {key for key, letter in letters_of(job).items() if letter.reason == "worker_died"}
    assert bad == letters_of(job).keys()
    assert len(rows_of(job)) + len(bad) == 9
    assert not any("p4" in {seed.id for seed in row.seeds} for row in rows_of(job).values())
    assert all("p4" in letter.seed_ids for letter in letters_of(job).values())


def test_an_engine_that_dies_of_every_row_ends_the_run_instead_of_condemning_all(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(40))
    job, rehearsal = job_in(tmp_path, "run.rows_per_shard=20"), Rehearsal()
    rehearsal.talker.deadly = {"": EngineDeadError("broken")}
    with pytest.raises(RunError, match="^21 workers were lost, one after another, and no dialogue done; the logs of"):
        rehearsal.run(job)
    assert not letters_of(job)
    Rehearsal().run(job)
    assert len(rows_of(job)) == 40


def test_rows_that_are_begun_again_are_those_that_were_in_hand(tmp_path: Path) -> None:
    personas = some_personas(12)
    write_seeds(tmp_path, personas)
    one_shard = "run.rows_per_shard=100"
    Rehearsal().run(job_in(tmp_path, one_shard, "stages.augment=null"))
    personas["p4"] = ["I keep no pets."]
    write_seeds(tmp_path, personas)
    job, rehearsal = job_in(tmp_path, one_shard, "stages.augment=null", "stages.verify.relevance=-0.5"), Rehearsal()
    again: list[int] = []
    touched = plan(job).summary.remake["expand"]
    rehearsal.run(job, deaths=[Death("request", all=False)], report=lambda progress: again.append(progress.again))
    assert 0 < touched < 12
    assert again[-1] == touched


def test_a_pool_that_expects_work_opens_its_models_ahead_of_it(job: Job) -> None:
    local, opened = LocalRay(Steps(), random.Random(0)), []

    def embedder(model: object) -> HashEmbedder:
        opened.append(model)
        return HashEmbedder()

    def nli(model: object) -> HashNli:
        opened.append(model)
        return HashNli()

    stand_ins = {"factory.pool.ray": local, "factory.workers.Nli": nli, "factory.workers.Embeddings": embedder}
    with ExitStack() as stack:
        for name, stand_in in stand_ins.items():
            stack.enter_context(patch(name, stand_in))
        stack.callback(local.close)
        pool = Pool(job, 1, job.run.verify, Plan(job).wanted.chains)
        pool.tick()
        assert not local.actors
        pool.expected = True
        pool.tick()
        assert pool.has_opened()
    assert len(local.actors) == 1
    assert opened == [job.models.embedding, job.models.nli]
    assert not pool.busy()
