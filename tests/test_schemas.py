"""The JSON Schemas in the repository say what the code says."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml

from factory.spec.job import Job
from factory.spec.jobfile import load_job
from factory.spec.layers import YamlError
from factory.spec.yamlfile import load_yaml
from factory.store.records import ROWS, Row, SeedRef, Speaker, Turn
from factory.training.extractor import ExtractorConfig
from factory.training.lm import LmConfig
from factory.training.nli import NliConfig

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "schemas" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(name: str) -> Any:
    return json.loads((ROOT / "schemas" / name).read_text(encoding="utf-8"))


def test_the_files_are_up_to_date(generate: ModuleType) -> None:
    for name, schema in generate.schemas().items():
        written = (ROOT / "schemas" / name).read_text(encoding="utf-8")
        assert written == generate.text_of(schema), f"{name} is out of date; run: python schemas/generate.py"


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").glob("*.yaml")), ids=lambda path: path.stem)
def test_an_editor_accepts_every_job_of_the_repository(path: Path) -> None:
    jsonschema.Draft202012Validator(load("job.schema.json")).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("lm", "jobs/training/lm.yaml"),
        ("extractor", "jobs/training/extractor.yaml"),
        ("extractor", "factory/training/extractor.yaml"),
        ("nli", "jobs/training/nli.yaml"),
        ("nli", "factory/training/nli_small.yaml"),
    ],
)
def test_an_editor_and_the_loader_accept_every_training_file(name: str, path: str) -> None:
    jsonschema.Draft202012Validator(load(f"train_{name}.schema.json")).validate(
        yaml.safe_load((ROOT / path).read_text())
    )
    load_yaml(ROOT / path, {"lm": LmConfig, "extractor": ExtractorConfig, "nli": NliConfig}[name])


JOB = {"corpus": "c", "seeds": [{"path": "a.jsonl"}], "makers": {"converse": {}}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"base": "/"},
        {"corpsu": "x"},
        {"run": {"rows_per_shard": 0}},
        {"seeds": []},
        {"stages": {}},
        {"makers": {"convers": {}}},
        {"makers": {"converse": {"truns": 4}}},
        {"scores": {"strict": {"relevance": 0.5}}},
        {"scores": {"consistency": {"relevance": 2}}},
        {"models": {"writer": {"nam": "x"}}},
        {"models": {"judge": {"kind": "nli", "name": "x", "dtype": "auto"}}},
        {"select": {"rejct": {}}},
    ],
)
def test_an_editor_marks_what_the_loader_refuses(tmp_path: Path, wrong: dict[str, object]) -> None:
    validator = jsonschema.Draft202012Validator(load("job.schema.json"))
    assert validator.is_valid(JOB)
    assert not validator.is_valid(JOB | wrong)
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(JOB | {"models": {"writer": {"name": "x"}}} | wrong))
    with pytest.raises(YamlError):
        load_job(tmp_path / "job.yaml")


@pytest.mark.parametrize(
    "right",
    [
        {"makers": {"extract": None, "converse": {"method": "converse", "turns": 4}}},
        {"scores": {"consistency": {"relevance": 0.5}, "strict": {"method": "consistency", "nli": "judge"}}},
        {"models": {"nli": {"batch_size": 8}, "embedding": None, "judge": {"kind": "nli", "name": "x"}}},
        {"models": {"nli": {"kind": "nli", "name": "x"}, "critic": {"engine": "scripted", "name": "x"}}},
        {"select": {"reject": {"short": "row.turns < 4"}}, "run": {"workers": {"scorers": {"max": 2}}}},
    ],
)
def test_an_editor_accepts_what_the_loader_reads(right: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(load("job.schema.json")).validate(JOB | right)
    models = {"writer": {"name": "x"}, "judge": {"kind": "nli", "name": "x"}} | right.get("models", {})
    Job.model_validate(JOB | right | {"models": models})


def test_a_row_as_json_fits_its_schema() -> None:
    row = Row(
        "r", "generated", 0, [SeedRef("s", ["f", "t", "a"], "a.jsonl", 1)], [Speaker("s", "s")], turns=[Turn(0, "Hi.")]
    )
    validator = jsonschema.Draft202012Validator(load("row.schema.json"))
    stored = ROWS.dump_python([row], mode="json")[0]
    validator.validate(stored)
    assert not validator.is_valid(stored | {"decision": "perhaps"})
