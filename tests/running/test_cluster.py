"""Where a run finds its Ray: one of its own in any surroundings, or a cluster that is there, that is gone, or that asks
for a token."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import ray

from factory.running import local
from factory.running.cluster import joined
from factory.running.joining import environment, find_cluster
from factory.running.pool import RunError
from factory.spec.job import Job
from tests.jobs import scripted_job, write_job, write_personas

TOKEN = "ab" * 16


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write_personas(tmp_path, 2)
    return scripted_job(tmp_path)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cluster and no token in the environment."""
    for name in ("RAY_ADDRESS", "RAY_TMPDIR", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_of(address: str) -> str:
    return address.rpartition(":")[2]


@ray.remote
def seen() -> tuple[list[str], str | None]:
    """What a worker may import from, and where it has `random` from."""
    return sys.path, random.__file__


def test_a_local_ray_starts_anywhere_and_leaves_nothing(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("long" * 30)
    long.mkdir()
    (tmp_path / "random.py").write_text("raise SystemExit('somebody else')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setenv("HOME", "/proc/nowhere")  # not even root can make it
    before = dict(os.environ)
    with joined(job, None):
        folder = Path(ray.get_runtime_context().get_temp_dir()).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert Path(os.environ["RAY_AUTH_TOKEN_PATH"]).parent == folder
        paths, module = ray.get(seen.remote())
        assert str(tmp_path) not in paths
        assert module == random.__file__
    assert not folder.exists()
    kept = ("RAY_USAGE_STATS_ENABLED", "RAY_IGNORE_UNHANDLED_ERRORS")
    assert {name: os.environ.get(name) for name in before} == before
    assert {name for name in os.environ if name.startswith(("RAY_AUTH", "VLLM_RPC"))} <= before.keys() | set(kept)


def test_the_logs_stay_where_an_error_leads_to_them(job: Job) -> None:
    def fail() -> None:
        with joined(job, None):
            raise RunError(f"see {ray.get_runtime_context().get_temp_dir()}/session_latest/logs")

    with pytest.raises(RunError) as raised:
        fail()
    logs = Path(str(raised.value).removeprefix("see "))
    assert list(logs.iterdir())
    folder = logs.parents[2]
    assert not (folder / "token").exists()
    shutil.rmtree(folder)


def test_without_a_short_folder_a_line_says_what_to_set(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_LONGEST", 3)
    with pytest.raises(RunError, match="set RAY_TMPDIR"), joined(job, None):
        pass


def test_under_uv_a_local_ray_sends_no_working_directory(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "1"\n')
    folder = tmp_path / "below"
    folder.mkdir()
    write_personas(folder, 2)
    write_job(folder)
    (folder / "run").write_text(f"{sys.executable} -m factory run job.yaml\nexit $?\n")
    # Ray looks for a process above the driver that was called as `uv run`.
    done = subprocess.run(["uv", "run"], executable="/bin/sh", cwd=folder, text=True, capture_output=True, check=False)
    assert (done.returncode, "2 rows committed" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("ray://127.0.0.1:10001", r"--address is ray://127.0.0.1:10001: .* ray job submit"),
        ("http://127.0.0.1:8265", "job server"),
        ("head", "HOST:PORT"),
        ("head:", "HOST:PORT"),
        ("127.0.0.1:99999", "HOST:PORT"),
        ("nowhere.invalid:6379", r"nowhere.invalid:6379 \(from --address\) cannot be reached"),
    ],
)
def test_what_is_no_head_node_is_told_in_a_line(job: Job, named: str, said: str) -> None:
    with pytest.raises(RunError, match=said) as raised, joined(job, named):
        pass
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("named", [None, "", "local"])
def test_nothing_and_local_name_no_cluster(named: str | None) -> None:
    assert find_cluster(named) is None


def test_a_cluster_that_is_gone_is_told_with_who_named_it(tmp_path: Path) -> None:
    write_personas(tmp_path, 2)
    gone = f"127.0.0.1:{free_port()}"
    done = subprocess.run(
        [sys.executable, "-m", "factory", "run", str(write_job(tmp_path))],
        env=os.environ | {"RAY_ADDRESS": gone},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: the Ray cluster at {gone} (from RAY_ADDRESS) cannot be reached")
    assert "correct RAY_ADDRESS, or do without it" in line


def test_auto_is_the_last_cluster_that_was_started_here(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(RunError, match="--address is auto, but no `ray start`"), joined(job, "auto"):
        pass
    (tmp_path / "ray").mkdir()
    left = tmp_path / "ray" / "ray_current_cluster"
    left.write_text(f"127.0.0.1:{free_port()}")
    with pytest.raises(RunError, match=re.escape(f"(from {left}, where --address auto")), joined(job, "auto"):
        pass


@pytest.fixture(scope="module")
def head() -> Iterator[str]:
    """The address of a Ray of one node that asks for TOKEN."""
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
        address = f"127.0.0.1:{free_port()}"
        options = f"--head --block --port={port_of(address)} --num-cpus=2 --include-dashboard=false"
        process = subprocess.Popen(
            [Path(sys.executable).with_name("ray"), "start", *options.split(), f"--temp-dir={folder}/ray"],
            env=os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while not Path(folder, "ray", "ray_current_cluster").exists():
                assert process.poll() is None
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "asks for a token, but there is none here; put its token in"),
        ({"RAY_AUTH_MODE": "token"}, "RAY_AUTH_MODE is token, but there is none"),
        ({"RAY_AUTH_TOKEN": "cd" * 16}, "refuses the token of this machine"),
        ({"RAY_AUTH_TOKEN": "cd" * 16, "RAY_AUTH_MODE": "token"}, "the token here is not the one"),
        ({"RAY_AUTH_TOKEN_PATH": "/proc/nowhere"}, "correct RAY_AUTH_TOKEN_PATH"),
    ],
)
def test_a_cluster_that_wants_another_token_is_told(
    job: Job, head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with environment(variables), pytest.raises(RunError, match=said), joined(job, head):
        pass


def test_a_cluster_is_joined_with_the_token_that_it_asks_for(
    job: Job, head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(TOKEN)
    monkeypatch.chdir(tmp_path)
    with joined(job, None):  # beside it, and with a token of its own
        assert port_of(ray.get_runtime_context().gcs_address) != port_of(head)
    with joined(job, head):
        assert port_of(ray.get_runtime_context().gcs_address) == port_of(head)
        assert str(tmp_path) not in ray.get(seen.remote())[0]
    assert "RAY_AUTH_MODE" not in os.environ


def test_a_cluster_of_another_version_is_told(job: Job, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "__version__", "2.0.0")
    with (
        environment({"RAY_AUTH_TOKEN": TOKEN}),
        pytest.raises(RunError, match=r"has Ray [\d.]+ on Python [\d.]+, but here is Ray 2.0.0"),
        joined(job, head),
    ):
        pass


def test_a_driver_without_a_node_on_its_machine_is_told(job: Job, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Any:
        return set()

    monkeypatch.setattr("ray._private.services.find_node_ids", none)
    with (
        environment({"RAY_AUTH_TOKEN": TOKEN}),
        pytest.raises(RunError, match="has no node on this machine"),
        joined(job, head),
    ):
        pass
