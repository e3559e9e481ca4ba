"""What readers see of a corpus while a job writes it: whole versions, and no row that is half made."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from typer.testing import CliRunner

from factory.cli import app
from factory.store.corpus import Corpus
from factory.store.versions import log
from tests.jobs import write_job, write_personas
from tests.test_interrupt import start, wait_until

ROWS, SHARD, TURNS = 40, 2, 4


def call(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_report_show_and_status_tell_of_whole_versions_while_a_job_runs(tmp_path: Path) -> None:
    write_personas(tmp_path, ROWS)
    knobs = {"rows_per_shard": SHARD, "dialogues_in_flight": 2, "shards_per_worker": 1}
    process = start(write_job(tmp_path, "scripted?latency_ms=1000", makers={"converse": {"turns": TURNS}}, run=knobs))
    corpus = tmp_path / "corpus"
    try:
        wait_until(lambda: len(Corpus(str(corpus)).table.shards()) > 0, process)
        told = json.loads(call("report", corpus, "--to", tmp_path / "report.html", "--json"))
        shown = [json.loads(line) for line in call("show", corpus, "--json").splitlines()]
        counted = json.loads(call("status", corpus, "--json"))
        assert process.poll() is None, "the job ended before it was read"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=120)
    versions = {one.version: one.rows for one in log(Corpus(str(corpus)))}
    about = json.loads(Path(told["figures"]).read_text())["about"]
    assert about["rows"] == versions[about["version"]]
    assert (about["turns"], counted["turns"]) == (TURNS * about["rows"], TURNS * counted["rows"])
    assert 0 < about["rows"] <= len(shown) <= counted["rows"] < ROWS
    assert {len(shown), counted["rows"]} <= set(versions.values())
    assert all(len(row["turns"]) == TURNS and row["decision"] == "accept" for row in shown)
