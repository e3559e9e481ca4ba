"""A job is tried out: what is told where all is well, and that each thing that is wrong is found beside the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from factory.cli import app
from factory.planning.plan import plan
from factory.running.check import Checked, check
from factory.spec.job import Job
from factory.store.corpus import Corpus
from tests.conftest import KEY
from tests.faulty_s3 import Faults, Order
from tests.jobs import scripted_job, write_job, write_personas
from tests.model_server import ModelServer, error
from tests.running.test_run import POISON

SCORED = {"makers": {"converse": {"turns": 4}}, "scores": {"consistency": {}}}


def wrong(checked: Checked) -> dict[str, str]:
    """What is wrong, by what was tried."""
    return {step.what: step.wrong for step in checked.steps if step.wrong is not None}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write_personas(tmp_path, 5)
    return scripted_job(tmp_path, **SCORED)


def test_a_sound_job_makes_a_row_and_keeps_nothing(job: Job) -> None:
    heard: list[str] = []
    scorers = ["models.nli", "models.embedding"]
    checked = check(job, lambda step: heard.append(step.what))
    assert checked.sound, wrong(checked)
    assert heard == ["corpus", "seeds", "models.writer", "converse", *scorers, "consistency"]
    assert [step.what for step in checked.steps] == heard
    assert checked.row is not None
    assert len(checked.row.turns) == 4
    assert "contradiction" in checked.row.scores["consistency"]
    assert checked.row.seeds[0].id == "p0"
    found = {step.what: step.found for step in checked.steps}
    assert found["seeds"] == "5 seeds; 5 rows to make, redo or drop"
    assert found["models.nli"].startswith("nli nli-small, licence ")
    assert found["converse"].startswith("4 calls, ")
    assert Corpus(job.corpus).table.shards() == []
    assert plan(job).summary.make == 5
    assert {path.name for path in Path(job.corpus).iterdir()} <= {"_seeds", "_ledger", "_staging"}
    assert Corpus(job.corpus).storage.list("_staging") == []


def test_each_mistake_is_told_beside_the_others(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "personas.jsonl").write_text('{"facts": 1}')
    models = {
        "writer": {"engine": "scripted", "name": "scripted?start=no+weights"},
        "nli": {"kind": "nli", "name": "minilm"},
    }
    checked = check(scripted_job(tmp_path, corpus=str(tmp_path / "file" / "corpus"), models=models, **SCORED))
    found = wrong(checked)
    assert found.keys() == {"corpus", "seeds", "models.writer", "models.nli"}
    assert "cannot be written" in found["corpus"]
    assert "no weights" in found["models.writer"]
    assert "entailment, neutral, contradiction are wanted" in found["models.nli"]
    assert checked.row is None
    assert not checked.sound


def test_a_place_that_cannot_be_written_keeps_no_row_from_being_tried(tmp_path: Path, faults: Faults) -> None:
    write_personas(tmp_path, 2)
    faults.order(Order("unconditional", method="PUT", times=None))
    checked = check(scripted_job(tmp_path, corpus="s3://corpora/tried"))
    assert list(wrong(checked)) == ["corpus"]
    assert checked.row is not None
    assert len(checked.row.turns) == 4


def test_a_first_seed_that_starts_no_row_is_passed_over(tmp_path: Path) -> None:
    lines = [{"facts": ["I am alone."]}, {"turns": [{"speaker": "A", "text": "Hi."}, {"speaker": "B", "text": "Ho."}]}]
    (tmp_path / "personas.jsonl").write_text("\n".join(map(json.dumps, lines)))
    makers = {"converse": {"turns": 4}, "extract": {}}
    checked = check(scripted_job(tmp_path, makers=makers))
    assert checked.sound, wrong(checked)
    assert checked.row is not None
    assert [turn.text for turn in checked.row.turns] == ["Hi.", "Ho."]


def test_a_row_that_fails_says_why(tmp_path: Path) -> None:
    write_personas(tmp_path, 2, marked={0: POISON, 1: POISON})
    checked = check(scripted_job(tmp_path, "scripted?fail=poison"))
    assert list(wrong(checked)) == ["converse"]
    assert wrong(checked)["converse"].startswith("request: ")


def test_a_refused_key_is_found_and_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    write_personas(tmp_path, 2)
    server = ModelServer(lambda _: error(401, f"no such key: {KEY}"))
    server.models = error(401, f"no such key: {KEY}")
    server.start()
    try:
        checked = check(
            scripted_job(tmp_path, models={"writer": {"engine": "openai", "name": "m", "base_url": server.url}})
        )
    finally:
        server.stop()
    assert list(wrong(checked)) == ["models.writer"]
    assert "refuses the key in OPENAI_API_KEY" in wrong(checked)["models.writer"]
    assert KEY not in str(checked)


def test_a_store_without_conditional_writes_is_found(tmp_path: Path, faults: Faults) -> None:
    write_personas(tmp_path, 2)
    job = scripted_job(tmp_path, corpus="s3://corpora/checked")
    faults.order()
    assert check(job).sound
    faults.order(Order("unconditional", method="PUT", times=None))
    found = wrong(check(job))
    assert list(found) == ["corpus"]
    assert "use a store with conditional writes" in found["corpus"]
    faults.order(Order("denied", method="PUT", times=None))
    assert "check the credentials" in wrong(check(job))["corpus"]


@pytest.mark.parametrize(("engine", "code"), [("scripted", 0), ("scripted?start=no+weights", 1)])
def test_the_command_says_it_to_people_and_to_scripts(tmp_path: Path, engine: str, code: int) -> None:
    write_personas(tmp_path, 3)
    path = write_job(tmp_path, engine)
    said = CliRunner().invoke(app, ["check", str(path)])
    assert said.exit_code == code
    assert ("ok    converse" in said.output) is (code == 0)
    assert ("wrong models.writer" in said.output) is (code == 1)
    told: dict[str, Any] = json.loads(CliRunner().invoke(app, ["check", str(path), "--json"]).output)
    assert told["sound"] is (code == 0)
    assert [step["what"] for step in told["steps"]][:3] == ["corpus", "seeds", "models.writer"]
