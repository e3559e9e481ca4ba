"""Workers under Ray whose engine fails, hangs, kills them or takes all memory: what it costs, and what is left to be
retried."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray
from pydantic import BaseModel

from factory.engines import Completion, EngineStartError, LanguageModel, Reply, Request, Sampling
from factory.running import models, workers
from factory.running.run import run
from factory.scorers.embeddings import EmbeddingModel
from factory.scorers.nli import NliModel
from factory.spec.identity import entries
from factory.spec.jobfile import load_job
from factory.spec.phases import making
from factory.store.corpus import Corpus
from tests.jobs import scripted_job, write_job, write_personas
from tests.running.test_run import POISON, assert_settled, letters_of, poisoned, rows_of

GREED = "I keep greed."
MIB = 2**20
ROOM = 512 * MIB


@pytest.fixture(scope="module", autouse=True)
def one_ray() -> Iterator[None]:
    """One Ray for all; a run uses the connection that stands."""
    hook = {
        "worker_process_setup_hook": "tests.running.test_workers.make_greedy",
        "env_vars": {"PYTHONPATH": str(Path(__file__).parents[2])},
    }
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        runtime_env=hook,
    )
    yield
    ray.shutdown()


def make_greedy() -> None:
    """Have a request with the fact GREED take what memory there is, which is ROOM more than the worker has by then."""
    generate = models.Counted.generate
    taken: list[bytes] = []

    async def greedy(self: models.Counted, request: Request) -> Reply:
        if any(GREED in message["content"] for message in request.messages):
            resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + ROOM, resource.RLIM_INFINITY))
            while True:
                taken.append(b"1" * MIB)
        return await generate(self, request)

    models.Counted.generate = greedy  # type: ignore[method-assign]


@pytest.mark.parametrize(("fault", "rows_per_shard"), [("die", 4), ("dead", 1), ("hang", 1)])
def test_a_row_that_takes_its_worker_down_is_condemned_and_costs_no_other(
    tmp_path: Path, fault: str, rows_per_shard: int
) -> None:
    write_personas(tmp_path, 4, marked={3: POISON})
    knobs = {"rows_per_shard": rows_per_shard, "stall_timeout_s": 5}
    job = scripted_job(tmp_path, f"scripted?{fault}=poison", run=knobs)
    bad = poisoned(job)

    run(job, allow_failures=True)

    assert letters_of(job) == dict.fromkeys(bad, "worker_died")
    assert_settled(job)


def test_a_row_that_takes_all_memory_is_condemned_and_costs_no_other(tmp_path: Path) -> None:
    write_personas(tmp_path, 3, marked={2: GREED})
    job = scripted_job(tmp_path, run={"rows_per_shard": 1})
    bad = poisoned(job, GREED)
    assert run(job, allow_failures=True).lost >= 2
    assert letters_of(job) == dict.fromkeys(bad, "worker_died")
    assert_settled(job)


def test_what_opens_beside_an_engine_that_cannot_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_personas(tmp_path, 1)
    job = load_job(write_job(tmp_path, models={"writer": {"name": "smollm2"}}, makers={"expand": {}, "converse": {}}))
    opened = []

    def slow(model: BaseModel) -> None:
        time.sleep(0.5)
        opened.append(type(model))

    def refuse(model: LanguageModel, *_: object) -> None:
        raise EngineStartError("no room")

    monkeypatch.setattr(models, "Embeddings", slow)
    monkeypatch.setattr(models, "Nli", slow)
    monkeypatch.setattr(models, "open_engine", refuse)
    with pytest.raises(EngineStartError, match="no room"):
        asyncio.run(workers.Worker(job, 0, making(job)).prepare())
    assert opened == [EmbeddingModel, NliModel]


def test_models_that_share_an_engine_are_asked_by_their_adapters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_personas(tmp_path, 1)
    named = {
        "spare": {"name": "smollm2", "adapter": "org/spare"},
        "writer": {"name": "smollm2"},
        "reader": {"name": "smollm2", "adapter": "org/reader"},
    }
    makers = {"converse": {"model": "writer"}, "extract": {"model": "reader"}}
    job = load_job(write_job(tmp_path, models=named, makers=makers))
    opened, asked = [], []

    class Engine:
        capacity = 1

        async def generate(self, request: Request) -> Reply:
            asked.append(request.adapter)
            return Reply((Completion("", 1, "stop"),), prompt_tokens=1)

    def open_engine(model: LanguageModel, _: float, __: object, adapters: list[str | None]) -> Engine:
        opened.append((model.name, adapters))
        return Engine()

    async def ask() -> None:
        worker = workers.Worker(job, 0, making(job))
        await worker.prepare()
        for name in makers:
            await worker._models.kit(entries(job)[name]).engine.generate(Request((), Sampling()))

    monkeypatch.setattr(models, "open_engine", open_engine)
    asyncio.run(ask())
    assert opened == [("smollm2", [None, "org/reader"])]
    assert asked == [None, "org/reader"]


def test_a_worker_whose_engine_opens_later_has_room_for_it(tmp_path: Path) -> None:
    write_personas(tmp_path, 1)
    models = {"writer": {"engine": "scripted", "name": "scripted", "max_num_seqs": 100}}
    job = load_job(write_job(tmp_path, models=models, makers={"converse": {}, "augment": {}}))

    async def room() -> list[int]:
        worker = workers.Worker(job, 0, making(job))
        found = []
        for to_run in ({"augment"}, {"converse"}, {"converse"}):
            await worker._open(to_run)
            assert worker._slots is not None
            found.append(worker._slots._value)
        return found

    assert asyncio.run(room()) == [64, 100, 100]


def test_failed_rows_stay_dead_letters_until_they_are_retried(tmp_path: Path) -> None:
    write_personas(tmp_path, 6, marked={3: POISON})
    failing = scripted_job(tmp_path, "scripted?fail=poison")
    bad = poisoned(failing)
    first = run(failing)
    assert (first.failed, first.committed, first.remaining) == (len(bad), 6 - len(bad), 0)
    assert letters_of(failing) == dict.fromkeys(bad, "request")
    assert_settled(failing)
    before = rows_of(failing)

    assert run(failing).rows == 0
    run(failing, retry_failed=True)
    assert {letter.attempts for letter in Corpus(failing.corpus).dead_letters()} == {2}

    mended = scripted_job(tmp_path)
    result = run(mended, retry_failed=True)
    assert (result.rows, result.committed) == (len(bad), len(bad))
    assert letters_of(mended) == {}
    assert {row_id: turns for row_id, turns in rows_of(mended).items() if row_id in before} == before
    assert_settled(mended)
