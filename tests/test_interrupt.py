"""Real processes, real signals: what a stopped or killed run leaves, and how the next one goes on."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from factory.spec.jobfile import load_job
from factory.store.corpus import Corpus
from tests.jobs import write_job, write_personas
from tests.running.test_run import assert_settled, rows_of

ROWS = 24


@pytest.fixture(autouse=True)
def hangups_are_heard() -> Iterator[None]:
    """Also where the tests themselves run under `nohup`: what is started would inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    """Three shards of dialogues that take about a second each, two at a time."""
    write_personas(tmp_path, ROWS)
    return write_job(
        tmp_path,
        "scripted?latency_ms=200",
        run={"rows_per_shard": 8, "dialogues_in_flight": 2, "shards_per_worker": 1},
    )


def command(job_file: Path) -> list[str]:
    return [sys.executable, "-m", "factory", "run", str(job_file)]


def start(job_file: Path) -> subprocess.Popen[str]:
    """The run, in a process group of its own, as a shell starts it."""
    return subprocess.Popen(
        command(job_file), text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Poll until the condition holds; fails if the process ends first."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)


def committed(job_file: Path) -> int:
    """Rows in the corpus."""
    return len(rows_of(load_job(job_file)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_commits_what_is_complete_and_the_next_run_goes_on(job_file: Path, number: signal.Signals) -> None:
    process = start(job_file)
    wait_until(lambda: committed(job_file) > 0, process)
    seen = committed(job_file)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    os.killpg(process.pid, number)  # a terminal, `timeout` and a scheduler signal the whole group
    out, err = process.communicate(timeout=120)

    assert process.returncode == 130
    assert "rows remain" in out
    assert "Traceback" not in out + err
    assert psutil.wait_procs(children, timeout=10)[1] == []
    before = rows_of(load_job(job_file))
    assert seen < len(before) < ROWS, "the dialogues under way are finished and committed"

    process = start(job_file)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    after = rows_of(load_job(job_file))
    assert {row_id: after[row_id] for row_id in before} == before
    assert_settled(load_job(job_file))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_second_signal_stops_at_once(tmp_path: Path, number: signal.Signals) -> None:
    write_personas(tmp_path, 2)
    job_file = write_job(tmp_path, "scripted?latency_ms=600000")
    process = start(job_file)
    wait_until(lambda: bool(Corpus(load_job(job_file).corpus).storage.list("_staging")), process)
    time.sleep(5)
    os.killpg(process.pid, number)
    time.sleep(2)
    assert process.poll() is None, "it waits for the dialogues under way, which take minutes"
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert process.returncode == 130
    assert "stopped at once" in err
    assert "Traceback" not in out + err


def in_terminal(job_file: Path, *, ignoring: bool) -> tuple[subprocess.Popen[bytes], int]:
    """The run in a terminal of its own, with SIGHUP ignored as `nohup` does or not; and the terminal's other end."""
    ours, terminal = pty.openpty()
    deaf = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"] if ignoring else []
    process = subprocess.Popen(
        ["setsid", "--ctty", *deaf, *command(job_file)], stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    return process, ours


@pytest.mark.parametrize("ignoring", [False, True])
def test_a_terminal_that_closes_costs_nothing_that_is_under_way(job_file: Path, ignoring: bool) -> None:
    process, terminal = in_terminal(job_file, ignoring=ignoring)
    try:
        while not committed(job_file):
            assert process.poll() is None
            if select.select([terminal], [], [], 0.2)[0]:
                os.read(terminal, 4096)  # else it would wait for its output to be read
        seen = committed(job_file)
    finally:
        os.close(terminal)  # whoever writes to it from now on gets an error
    assert process.wait(timeout=120) == (0 if ignoring else 130)
    if ignoring:
        assert_settled(load_job(job_file))
    else:
        assert seen < committed(job_file) < ROWS


def test_a_reader_that_goes_does_not_end_the_run(job_file: Path) -> None:
    process = start(job_file)
    for pipe in (process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()
    assert process.wait(timeout=240) == 0
    assert_settled(load_job(job_file))
