"""The example `ppds/`, small: extract, augment with what others tell, train with and without, fine-tune, evaluate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from factory.cli import app
from factory.planning.plan import plan
from factory.spec.job import Job
from factory.spec.jobfile import load_job
from factory.spec.yamlfile import load_yaml
from factory.store.corpus import Corpus
from factory.training.lm import LmConfig, train_lm
from tests.pages import ROOT
from tests.rehearsal import Rehearsal, rows_of
from tests.tiny import tiny_model

SMALL = ("training.steps=1", "training.batch=2", "max_tokens=256")
LOOSE = ("makers.extract.min_entailment=0", "makers.extract.min_similarity=-1")
"""So that talk of a scripted model tells something."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "examples" / "ppds", tmp_path / "examples" / "ppds")
    return tmp_path / "examples" / "ppds"


def made(file: Path, *overrides: str) -> tuple[Job, Rehearsal]:
    job, rehearsal = load_job(file, overrides), Rehearsal()
    rehearsal.run(job)
    assert not plan(job).summary.rows
    return job, rehearsal


def test_the_chain_of_ppds_runs_from_talk_to_a_table(folder: Path) -> None:
    first, _ = made(folder / "extract.yaml", *LOOSE)
    told = {
        (fact.source_id, fact.text) for row in rows_of(first).values() for one in row.speakers for fact in one.facts
    }
    assert told
    version = Corpus(first.corpus).table.history()[0]["version"]
    mixed = ("makers.augment.max_similarity=1", "makers.augment.contradiction=1", "makers.augment.probability=1")
    second, asked = made(folder / "augment.yaml", *LOOSE, *mixed, f"pairing.donors.version={version}")
    assert asked.talker.requests == []  # the second pass asks no language model
    rows = rows_of(second).values()
    added = [(row, fact) for row in rows for one in row.speakers for fact in one.facts if fact.origin == "augment"]
    assert len({row.row_id for row, _ in added}) == 12
    assert {(fact.source_id, fact.text) for _, fact in added} <= told
    people = {row.seeds[0].id: {speaker.id for speaker in row.speakers} for row in rows}
    for row, fact in added:  # in no dialogue of theirs
        givers = {one.id for one in next(r for r in rows if r.seeds[0].id == fact.source_id).speakers}
        assert fact.source_id != row.seeds[0].id
        assert givers - people[row.seeds[0].id]

    personas, _ = made(folder / "personas.yaml")
    out = folder.parents[1] / "out" / "ppds"
    for name, facts in (("", "[extract, augment]"), ("-plain", "[extract]")):
        config, _ = load_yaml(
            folder / "pretrain.yaml", LmConfig, (*SMALL, f"model={tiny_model()}", f"data.facts={facts}"), base=folder
        )
        train_lm(config, out / f"pretrained{name}")
        model = f"model=../../out/ppds/pretrained{name}"
        config, _ = load_yaml(folder / "finetune.yaml", LmConfig, (*SMALL, model), base=folder)
        train_lm(config, out / f"tuned{name}")
        arguments = ["eval-lm", str(out / f"tuned{name}"), personas.corpus, "--held", "0.3", "--json"]
        ended = CliRunner().invoke(app, arguments)
        assert ended.exit_code == 0, ended.output
        found = json.loads(ended.stdout)
        assert found["turns"] == 6 * found["dialogues"] > 0
        assert found["figures"]["perplexity"]["own"]["value"] > 1
