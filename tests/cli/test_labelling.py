from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from factory.cli import app
from tests.cli.test_commands import call
from tests.rehearsal import Rehearsal, job_in, some_personas, write_seeds


def test_pairs_draws_for_calibrate(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    job = job_in(tmp_path, "models.nli.name=nli-small")
    Rehearsal().run(job)
    said = call("pairs", job.corpus, "--to", tmp_path / "pairs.html", "--count", 20)
    assert "thresholds 0.5, 0.9" in said
    told = json.loads(call("pairs", job.corpus, "--to", tmp_path / "pairs.jsonl", "--near", "0.2,0.4", "--json"))
    assert told["near"] == [0.2, 0.4]
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().strip().split("\n")]
    assert len(rows) == sum(stratum["drawn"] for stratum in told["strata"])
    for number, row in enumerate(rows):
        row["label"] = ("contradiction", "neutral")[number % 2]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    arguments = ("calibrate", tmp_path / "labels.jsonl", "--picture", tmp_path / "curves.png")
    calibrated = json.loads(call(*arguments, "--json"))
    assert calibrated["stands_for"] == sum(stratum["pairs"] for stratum in told["strata"])
    assert f"weighted: they stand for {calibrated['stands_for']:,} pairs" in call(*arguments)
    for wrong, why in ((("--near", "half"), "write numbers"), (("--check", "turns"), "give one of turn_")):
        result = CliRunner().invoke(app, ["pairs", job.corpus, "--to", "x.html", *wrong])
        assert (result.exit_code, why in result.output) == (2, True)
