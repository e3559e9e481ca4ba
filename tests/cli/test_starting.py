from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from factory.cli import app
from factory.planning.plan import plan
from factory.spec.jobfile import load_job
from tests.jobs import write_personas


def call(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["init", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_a_job_file_is_written_that_plans_the_rows_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_personas(tmp_path, 3)
    monkeypatch.chdir(tmp_path)
    said = call("personas.jsonl")
    assert "personas.jsonl: 3 personas with 2.0 facts on average" in said
    assert "next: factory check factory.yaml" in said
    assert plan(load_job(tmp_path / "factory.yaml")).summary.rows == 3


def test_paths_start_at_the_job_file_wherever_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_personas(tmp_path, 3)
    monkeypatch.chdir(tmp_path)
    told = json.loads(call("personas.jsonl", "--to", "jobs/mine.yaml", "--json"))
    assert told["found"] == {"personas.jsonl": {"personas": 3, "dialogues": 0, "unreadable": 0, "whole": True}}
    (source,) = load_job(tmp_path / "jobs" / "mine.yaml").seeds
    assert source.path == "../personas.jsonl"


def test_a_path_into_an_archive_starts_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_personas(tmp_path, 3)
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.write(tmp_path / "personas.jsonl", "in/personas.jsonl")
    monkeypatch.chdir(tmp_path)
    call("zip://in/*::mine.zip", "--to", "jobs/mine.yaml")
    job = load_job(tmp_path / "jobs" / "mine.yaml")
    assert job.seeds[0].path == "zip://in/*::../mine.zip"
    assert plan(job).summary.rows == 3


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_personas(tmp_path, 3)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "factory.yaml").write_text("mine")
    assert "there already" in call("personas.jsonl", code=2)
    assert (tmp_path / "factory.yaml").read_text() == "mine"
