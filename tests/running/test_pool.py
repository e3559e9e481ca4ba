"""What a pool makes of workers that die: which rows are blamed, which are not, and when it gives up."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pyarrow as pa
import pytest

from factory.engines import EngineDeadError
from factory.planning.plan import plan
from factory.planning.shard import ShardSpec
from factory.running.pool import Pool, RunError
from factory.running.workers import Heartbeat, ShardTask, TaskResult, Worker
from factory.spec.job import SCORERS, Job, Workers
from factory.spec.phases import making
from factory.store.storage import StorageError
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
    assert all(str(how) in letter.detail for letter in letters_of(job).values())


def test_an_engine_that_dies_of_every_row_ends_the_run_instead_of_condemning_all(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(40))
    job, rehearsal = job_in(tmp_path, "run.rows_per_shard=20"), Rehearsal()
    rehearsal.talker.deadly = {"": EngineDeadError("broken")}
    with pytest.raises(
        RunError, match="^21 workers were lost, one after another, and no dialogue done; .* said: broken"
    ):
        rehearsal.run(job)
    assert not letters_of(job)
    Rehearsal().run(job)
    assert len(rows_of(job)) == 40


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            KeyError("scores"),
            "^a worker failed twice while phase 1 of shard [0-9a-f]+: KeyError: 'scores'; the logs of Ray",
        ),
        (StorageError("s3://x: gone"), "^a shard cannot be read or written: s3://x: gone$"),
        (pa.ArrowInvalid("not a Parquet file"), "^a shard cannot be read or written: not a Parquet file$"),
        (ModuleNotFoundError(name="polars"), "^a worker needs the package polars, which is not installed"),
    ],
)
def test_a_fault_of_a_worker_is_told_as_what_it_is(job: Job, error: Exception, said: str) -> None:
    with patch("factory.running.workers.todo", side_effect=error), pytest.raises(RunError, match=said):
        Rehearsal().run(job)
    Rehearsal().run(job)
    assert len(rows_of(job)) == 6


def test_a_package_that_a_stage_lacks_condemns_no_row(job: Job) -> None:
    said = "^makers.converse needs the package sklearn, .* pip install 'persona-factory.local.'$"
    lacking = patch("factory.methods.makers.converse.Converse.run", side_effect=ModuleNotFoundError(name="sklearn"))
    with lacking, pytest.raises(RunError, match=said):
        Rehearsal().run(job)
    assert not letters_of(job)


def test_rows_that_are_begun_again_are_those_that_were_in_hand(tmp_path: Path) -> None:
    personas = some_personas(12)
    write_seeds(tmp_path, personas)
    one_shard = "run.rows_per_shard=100"
    Rehearsal().run(job_in(tmp_path, one_shard, "makers.augment=null"))
    personas["p4"] = ["I keep no pets."]
    write_seeds(tmp_path, personas)
    job = job_in(tmp_path, one_shard, "makers.augment=null", "scores.consistency.relevance=-0.5")
    again: list[int] = []
    touched = plan(job).summary.remake["expand"]
    Rehearsal().run(job, deaths=[Death("request", all=False)], report=lambda progress: again.append(progress.again))
    assert 0 < touched < 12
    assert again[-1] == touched


@dataclass
class Bench:
    """A pool whose workers do what the test says, and a clock that it sets."""

    pool: Pool
    local: LocalRay
    clock: list[float] = field(default_factory=lambda: [0.0])

    def put(self, *names: str, phase: int = 0) -> None:
        for name in names:
            self.pool.put(ShardTask(ShardSpec(name, rows=(1, 1)), phase))

    def ticks(self, count: int = 3) -> None:
        for _ in range(count):
            self.pool.tick()
            for actor in self.local.actors:
                actor.instance._opened.set()

    def hands(self) -> list[list[str]]:
        """The shards that each worker holds."""
        return [[task.spec.id for task in handle.tasks.values()] for handle in self.pool._handles]

    def finish(self, shard: str, rows: int = 0) -> None:
        for handle in self.pool._handles:
            for ref, task in handle.tasks.items():
                if task.spec.id == shard:
                    ref.done, ref.value = True, TaskResult(rows, None, [])


@pytest.fixture
def bench(job: Job, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    local = LocalRay(Steps(), random.Random(0))
    monkeypatch.setattr("factory.running.pool.ray", local)
    found = Bench(Pool(job, 0, Workers(min=3, max=3), making(job)), local)
    monkeypatch.setattr("factory.running.pool.time", SimpleNamespace(monotonic=lambda: found.clock[0]))
    yield found
    local.close()


def test_what_a_dead_worker_held_runs_alone_while_other_workers_go_on(bench: Bench) -> None:
    bench.put(*"abcdef")
    bench.ticks()
    assert sorted(map(sorted, bench.hands())) == [["a", "b"], ["c", "d"], ["e", "f"]]
    bench.local.actors[0].die()
    bench.put(*"ghijkl")
    bench.ticks()
    assert (bench.hands(), bench.pool.lost) == ([["c", "d"], ["e", "f"], ["a"]], 1), (
        "a new worker has one of them alone"
    )
    for shard, held in (("e", [2, 1]), ("c", [1, 2]), ("f", [1, 2]), ("h", [1, 2])):
        bench.finish(shard)
        bench.ticks()
        assert [len(hand) for hand in bench.hands()] == [*held, 1], "one worker at most waits to run the other"
    bench.finish("d")
    bench.ticks()
    assert bench.hands() == [["b"], ["g", "i"], ["a"]]


def test_rows_that_a_dead_worker_had_not_handed_in_do_not_count(bench: Bench) -> None:
    bench.put("a", "b")
    bench.ticks()
    (worker,) = (handle for handle in bench.pool._handles if handle.tasks)
    bench.finish("a", rows=3)
    bench.ticks()
    worker.hear(Heartbeat(rows=5, tokens=70))
    assert bench.pool.heartbeat() == Heartbeat(rows=5, tokens=70)
    bench.local.actors[0].die()
    bench.ticks()
    assert (bench.pool.lost, bench.pool.heartbeat()) == (1, Heartbeat(rows=3, tokens=70))


def test_merges_come_first_and_take_no_work_s_room(bench: Bench) -> None:
    bench.put(*"abcdefgh")
    bench.ticks()
    bench.put(*"stuvwxyz", phase=2)
    bench.ticks()
    assert [len(hand) for hand in bench.hands()] == [4, 4, 4]
    assert {task.spec.id for task in bench.pool.queue} == {"g", "h", "s", "t"}
    bench.finish("a")
    bench.finish("z")
    bench.ticks()
    assert [task.spec.id for task in bench.pool.queue] == ["s", "h"]


def test_a_worker_that_had_nothing_to_do_has_not_hung(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def idle(self: Worker) -> Heartbeat:
        return Heartbeat(idle_s=math.inf)

    monkeypatch.setattr(Worker, "heartbeat", idle)
    bench.put("a")
    bench.ticks()
    bench.clock[0] += 2
    bench.ticks()
    assert (["a"] in bench.hands(), bench.pool.lost) == (True, 0)
    bench.clock[0] += 901
    bench.ticks()
    assert bench.pool.lost == 1


def test_a_pool_that_expects_work_opens_its_models_ahead_of_it(job: Job) -> None:
    local, opened = LocalRay(Steps(), random.Random(0)), []

    def embedder(model: object) -> HashEmbedder:
        opened.append(model)
        return HashEmbedder()

    def nli(model: object) -> HashNli:
        opened.append(model)
        return HashNli()

    stand_ins = {
        "factory.running.pool.ray": local,
        "factory.running.models.Nli": nli,
        "factory.running.models.Embeddings": embedder,
    }
    with ExitStack() as stack:
        for name, stand_in in stand_ins.items():
            stack.enter_context(patch(name, stand_in))
        stack.callback(local.close)
        pool = Pool(job, 1, job.workers(SCORERS), making(job))
        pool.tick()
        assert not local.actors
        pool.expected = True
        pool.tick()
        assert pool.has_opened()
    assert len(local.actors) == 1
    assert opened == [job.models["embedding"], job.models["nli"]]
    assert not pool.busy()
