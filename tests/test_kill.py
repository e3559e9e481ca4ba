"""Real processes and SIGKILL, one after another: workers, nodes and drivers, with the scripted engine and with vLLM."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from typer.testing import CliRunner

from factory.cli import app
from factory.planning.plan import plan
from factory.running.run import Progress, run
from factory.spec.jobfile import load_job
from tests.conftest import KEY, vllm_serving
from tests.jobs import write_job, write_personas
from tests.killing import FOLDER, POISON, RUNTIME, order
from tests.running.test_run import assert_settled, letters_of, poisoned, rows_of
from tests.tiny import tiny_model

ROOT = Path(__file__).parents[1]
ROWS, SHARD, IN_FLIGHT = 24, 4, 2
STORE = 80 * 2**20
SCORED: dict[str, Any] = {"scores": {"consistency": {}}}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A Ray cluster on this machine: a head without workers, and one node for them."""
    started = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    )
    started.add_node(num_cpus=2, object_store_memory=STORE)
    yield started
    started.shutdown()


@pytest.fixture
def deaths(tmp_path: Path) -> Path:
    return tmp_path / "deaths"


@pytest.fixture
def joined(cluster: Cluster, deaths: Path) -> Iterator[Cluster]:
    """The cluster, joined by this process; its workers obey the orders in `deaths`, and die of the word poison."""
    environment = {FOLDER: str(deaths), POISON: "poison", "OPENAI_API_KEY": KEY, "PYTHONPATH": str(ROOT)}
    ray.init(address=cluster.address, runtime_env=RUNTIME | {"env_vars": environment}, log_to_driver=False)
    yield cluster
    ray.shutdown()


def written(folder: Path, model: dict[str, Any], more: dict[str, Any] = SCORED) -> Path:
    """A job file for ROWS rows."""
    write_personas(folder, ROWS)
    knobs = {"rows_per_shard": SHARD, "shards_per_worker": IN_FLIGHT}
    return write_job(folder, models={"writer": model}, run=knobs, **more)


def scripted(latency_ms: int) -> dict[str, Any]:
    return {"engine": "scripted", "name": f"scripted?latency_ms={latency_ms}"}


class NodeLoss:
    """Takes a cluster's node away, and gives it another, in the middle of generation."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.struck = False

    def __call__(self, progress: Progress) -> None:
        if dict(progress.through)["writer"] and not self.struck:
            self.struck = True
            self.cluster.remove_node(self.cluster.list_all_nodes()[-1], allow_graceful=False)
            self.cluster.add_node(num_cpus=2, object_store_memory=STORE)


def test_workers_that_are_killed_cost_what_they_had_in_hand(tmp_path: Path, joined: Cluster, deaths: Path) -> None:
    job = load_job(written(tmp_path, scripted(20)))
    events = ("generate", "staged", "score", "merged")
    for event in events:
        order(deaths, event, after=2)
    result = run(job)
    assert not list(deaths.iterdir())
    assert (result.committed, result.failed, result.lost) == (ROWS, 0, len(events))
    assert 0 < result.again <= len(events) * IN_FLIGHT * SHARD
    assert_settled(job)


def test_a_driver_that_is_killed_leaves_nothing_half_done_and_no_process(
    tmp_path: Path, deaths: Path, request: pytest.FixtureRequest
) -> None:
    """Killed in the middle of generation and over the second commit; then let finish."""
    path = written(tmp_path, scripted(100))
    children: dict[psutil.Process, str] = {}
    before: dict[str, list[str]] = {}
    for event, after in (("generating", 0), ("commit_rows", 1)):
        order(deaths, event, after)
        own = killed_driver(path, deaths)
        assert "raylet" in own.values()
        until_gone([child for child, name in own.items() if name.startswith("ray::Worker")], 10)
        children |= own
        seen = rows_of(load_job(path))
        assert {key: seen[key] for key in before} == before
        before = seen
    assert 0 < len(before) < ROWS
    request.getfixturevalue("joined")
    result = run(load_job(path))
    assert len(before) + result.committed == ROWS
    after_all = rows_of(load_job(path))
    assert {key: after_all[key] for key in before} == before
    assert_settled(load_job(path))
    until_gone(children, 120)  # Ray's own agents wait a minute for the rest of it


def killed_driver(job_file: Path, deaths: Path, **environment: str) -> dict[psutil.Process, str]:
    """Run a job until the driver kills itself; the processes that it started, by name."""
    command = [sys.executable, "-m", "tests.killing", "run", str(job_file)]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {FOLDER: str(deaths)} | environment)
    children: dict[psutil.Process, str] = {}
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            children |= {child: child.name() for child in psutil.Process(process.pid).children(recursive=True)}
        time.sleep(0.2)
    assert process.returncode == -signal.SIGKILL
    return children


def until_gone(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Wait until the processes are no more."""
    _, alive = psutil.wait_procs(list(processes), timeout=seconds)
    assert not [process.cmdline() for process in alive]


def test_with_vllm_everything_dies_once_and_nothing_is_lost(
    tmp_path: Path, cluster: Cluster, deaths: Path, request: pytest.FixtureRequest
) -> None:
    """A worker in the middle of generation, the driver over a result, a node: each under real vLLM."""
    path = written(tmp_path, {"name": tiny_model(), "max_model_len": 512, "max_num_seqs": 1})
    order(deaths, "generate", after=10)
    order(deaths, "result", after=1)
    killed_driver(path, deaths, RAY_ADDRESS=cluster.address)
    assert not list(deaths.iterdir())
    before = rows_of(load_job(path))
    assert len(before) < ROWS

    loss = NodeLoss(request.getfixturevalue("joined"))
    result = run(load_job(path), report=loss)
    assert loss.struck
    assert result.lost >= 1
    assert 0 < result.again <= result.lost * IN_FLIGHT * SHARD
    after = rows_of(load_job(path))
    assert {key: after[key] for key in before} == before
    assert_settled(load_job(path))


def test_a_request_that_kills_vllm_costs_its_row_alone(tmp_path: Path, joined: Cluster) -> None:
    model = {"name": tiny_model(), "max_model_len": 512, "max_num_seqs": 8}
    path = write_job(tmp_path, models={"writer": model}, run={"rows_per_shard": 1})
    job = load_job(path)
    marks = [{number: "I keep poison."} for number in range(4)]
    for marked in marks:  # the persona that is in the fewest rows, since each takes the engine two starts
        write_personas(tmp_path, 4, marked=marked)
        if len(bad := poisoned(job)) == 1:
            break
    done = CliRunner().invoke(app, ["run", str(path), "--allow-failures"])
    assert done.exit_code == 0, done.output
    assert f"{len(bad)} failed" in done.output
    assert letters_of(job) == dict.fromkeys(bad, "worker_died")
    assert_settled(job)


def test_the_engine_process_of_a_server_that_is_killed_stops_the_run_and_spares_the_corpus(
    tmp_path: Path, joined: Cluster
) -> None:
    def kill(progress: Progress) -> None:
        if dict(progress.through)["writer"]:
            for child in psutil.Process(server.pid).children(recursive=True):
                child.kill()

    longer = {"makers": {"converse": {"turns": 6}}}
    with vllm_serving(tmp_path) as (address, server):
        served = {"name": "tiny", "engine": "openai", "base_url": address, "max_num_seqs": 1}
        made = load_job(written(tmp_path, served, longer), ["run.server_patience_s=3"])
        result = run(made, report=kill)
    assert result.stopped == "server"
    assert re.match(f"model tiny: {address} (cannot be reached|answers 5)", str(result.why))
    assert (result.lost, result.failed, letters_of(made)) == (0, 0, {})
    assert 0 < len(rows_of(made)) < ROWS
    assert plan(made).summary.make == ROWS - len(rows_of(made))
