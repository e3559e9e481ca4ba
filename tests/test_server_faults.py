"""What a model's server does to a run, with a real Ray: bad answers, a restart, a rate limit, a hang, a refused key."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from factory.running.run import run
from factory.store.corpus import Corpus
from tests.jobs import scripted_job, write_job, write_personas
from tests.model_server import (
    CUT,
    HALF,
    HANG,
    RESET,
    Answer,
    ModelServer,
    allowing,
    as_json,
    completions,
    error,
    page,
    serving,
    stream,
)

WAYS = [
    error(500, "internal"),
    error(503, "no upstream"),
    page("502 Bad Gateway", 502),
    error(429, "slow down", retry_after_ms="20"),
    RESET,
    HALF,
    CUT,
    page("Sign in"),
    stream(),
    as_json({"choices": None, "error": {"message": "Provider returned error", "code": 502}}),
]
WORDS = ["lake", "radio", "bread", "train", "garden", "violin", "cellar", "kite", "lamp", "harbour"]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with serving(ModelServer(lambda _: talk())) as started:
        yield started


def talk() -> Answer:
    return completions(
        f"I saw {random.randint(1, 10**9)} of the {random.choice(WORDS)} and the {random.choice(WORDS)}."
    )


def fields(server: ModelServer, turns: int, **model: Any) -> dict[str, Any]:
    writer = {"engine": "openai", "name": "m", "base_url": server.url, "timeout_s": 2, **model}
    return {
        "models": {"writer": writer},
        "makers": {"converse": {"turns": turns, "min_turns": turns}},
    }


def command(job: Path, *options: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "factory", "run", str(job), *options]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=250)


def test_five_hundred_rows_on_a_bad_day(server: ModelServer, tmp_path: Path) -> None:
    """5 % of answers bad in each of ten ways; and a restart, a rate limit and requests that hang."""
    chance, free = random.Random(1), allowing(40, 1.0)

    def reply(_: dict[str, Any]) -> Answer:
        asked = len(server.asked)
        if asked in (150, 151, 152):
            return HANG
        if 900 < asked < 1100 and not free():
            return error(429, "slow down", retry_after_ms="500")
        drawn = chance.random() * 20
        return WAYS[int(drawn)] if drawn < len(WAYS) else talk()

    def restart() -> None:
        while len(server.asked) < 500:
            time.sleep(0.05)
        server.stop()
        time.sleep(2)
        server.start()

    server.reply = reply
    write_personas(tmp_path, 500)
    job = scripted_job(tmp_path, **fields(server, 2, max_num_seqs=32), run={"rows_per_shard": 100})
    restarting = threading.Thread(target=restart)
    restarting.start()
    result = run(job)
    restarting.join()
    assert list(Corpus(job.corpus).dead_letters()) == []
    assert (result.committed, result.failed, result.lost, result.stopped) == (500, 0, 0, None), result
    assert list(Corpus(job.corpus).dead_letters()) == []
    assert 1000 <= server.good <= 1100
    assert len(server.asked) > 1500, "the server was bad indeed"


def test_an_account_that_runs_empty_stops_the_run_and_costs_nothing_that_was_made(
    server: ModelServer, tmp_path: Path
) -> None:
    write_personas(tmp_path, 24)
    job = write_job(tmp_path, **fields(server, 3, max_num_seqs=4), run={"rows_per_shard": 8})
    empty = error(429, "You exceeded your current quota.", "insufficient_quota")
    server.reply = lambda _: talk() if len(server.asked) <= 40 else empty
    stopped = command(job)
    assert stopped.returncode == 4, stopped.stderr
    assert "You exceeded your current quota." in stopped.stderr
    assert "lost" not in stopped.stdout + stopped.stderr
    opened = Corpus(str(tmp_path / "corpus"))
    made = len(list(opened.rows()))
    assert 0 < made <= 13
    assert list(opened.dead_letters()) == []

    server.reply = lambda _: talk()
    again = command(job, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["committed"] == 24 - made


def test_what_is_begun_is_taken_up_where_a_server_left_it(server: ModelServer, tmp_path: Path) -> None:
    """The account is empty once all are talked: the dialogues stand, and only their extraction is asked for again."""
    write_personas(tmp_path, 4)
    more = fields(server, 3, max_num_seqs=4)
    more["makers"]["extract"] = {}
    job = scripted_job(tmp_path, **more)
    server.reply = lambda body: error(402, "pay first") if extracting(body) else talk()
    assert run(job).stopped == "server"
    said = len([body for body in server.asked if not extracting(body)])
    server.asked.clear()
    server.reply = lambda _: completions("[None]")
    result = run(job)
    assert (result.committed, result.stopped) == (4, None)
    assert said == 12
    assert all(extracting(body) for body in server.asked)


def extracting(body: dict[str, Any]) -> bool:
    return len(body["messages"]) > 0 and "reveals about its speaker" in json.dumps(body["messages"])


def test_a_server_that_is_away_is_told_and_waited_for_and_then_given_up(server: ModelServer, tmp_path: Path) -> None:
    write_personas(tmp_path, 4)
    knobs = {"rows_per_shard": 4, "server_patience_s": 20}
    job = write_job(tmp_path, **fields(server, 3), run=knobs)
    server.reply = lambda _: talk() if len(server.asked) <= 5 else error(503, "We are moving house.")
    stopped = command(job)
    assert stopped.returncode == 4, stopped.stderr
    assert "waiting: model m" in stopped.stderr
    assert "We are moving house." in stopped.stderr.splitlines()[-1]
    server.reply = lambda _: talk()
    assert command(job).returncode == 0


def test_a_stop_does_not_wait_for_a_server_that_is_away(server: ModelServer, tmp_path: Path) -> None:
    write_personas(tmp_path, 4)
    job = write_job(tmp_path, **fields(server, 3))
    server.reply = lambda _: error(503, "We are moving house.")
    arguments = [sys.executable, "-m", "factory", "run", str(job)]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as running:
        while not server.asked:
            time.sleep(0.1)
        os.kill(running.pid, signal.SIGTERM)
        assert running.wait(120) == 130


def test_a_request_that_is_refused_each_time_is_no_success_until_it_is_answered(
    server: ModelServer, tmp_path: Path
) -> None:
    write_personas(tmp_path, 24)
    job = write_job(tmp_path, **fields(server, 3, max_num_seqs=2), run={"rows_per_shard": 4})
    server.reply = lambda _: replace(error(400, "This model does not speak."), after_s=0.3)
    stopped = command(job)
    assert stopped.returncode == 3, stopped.stderr
    assert "This model does not speak." in stopped.stderr
    assert "converse/request" in stopped.stderr
    assert len(server.asked) < 24, "the last rows would fail alike"
    assert command(job, "--allow-failures").returncode == 0
    again = command(job)
    assert (again.returncode, "does not speak" in again.stderr) == (3, True), "nothing to do is no success"
    server.reply = lambda _: talk()
    assert command(job, "--retry-failed").returncode == 0


def test_notes_about_a_server_are_told_once(server: ModelServer, tmp_path: Path) -> None:
    write_personas(tmp_path, 4)
    more = fields(server, 2)
    more["makers"]["converse"]["candidates"] = 2
    server.reply = lambda _: talk()
    job = write_job(tmp_path, **more, run={"rows_per_shard": 2})
    done = command(job)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("gives one completion whatever n says") == 1
    assert done.stderr.count("note: ") == 1
