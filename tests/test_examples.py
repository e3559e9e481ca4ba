"""The examples: each job is sound and plans what its data holds, the tutorial's files are those of its page, and the
package of a score can be installed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import ROOT, blocks_of, environment

EXAMPLES = ROOT / "examples"
ROWS = {"filter/job.yaml": 8, "own-method/job.yaml": 8, "server/job.yaml": 6, "tutorial/factory.yaml": 12}
ROWS |= {"ppds/extract.yaml": 12, "ppds/personas.yaml": 8}
CHAIN = ("augment", "pretrain", "finetune")
"""Of `ppds/`, what goes on from others: tests/test_ppds.py runs it."""


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An environment in which the example's package is installed."""
    folder = tmp_path_factory.mktemp("examples")
    package, installed = folder / "package", folder / "installed"
    package.mkdir()
    for name in ("pyproject.toml", "persona_balance.py"):
        (package / name).write_bytes((EXAMPLES / "own-method" / name).read_bytes())
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", installed, package], check=True)
    with environment(folder / "home", ROOT, PYTHONPATH=f"{installed}:{ROOT}") as env:
        yield env


def factory(env: dict[str, str], *arguments: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "factory", *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_known() -> None:
    jobs = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.yaml") if path.parent.name != "recipes"}
    assert jobs == {*ROWS, "tutorial/lm.yaml", *(f"ppds/{name}.yaml" for name in CHAIN)}
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"[`{folder.name}/`]" in text for folder in EXAMPLES.iterdir() if folder.is_dir())


@pytest.mark.parametrize("path", ROWS)
def test_an_example_is_sound_and_makes_a_row_of_each_seed(path: str, env: dict[str, str], tmp_path: Path) -> None:
    corpus = f"corpus={tmp_path / 'corpus'}"
    assert json.loads(factory(env, "validate", str(EXAMPLES / path), "--json"))
    plan = json.loads(factory(env, "plan", str(EXAMPLES / path), "--set", corpus, "--json"))
    assert plan["rows"] == ROWS[path]
    assert plan["bad_seeds"] == 0


def test_the_tutorials_files_are_those_of_its_page(env: dict[str, str], tmp_path: Path) -> None:
    shown = {block.file: block.text for block in blocks_of(ROOT / "docs" / "tutorial.md") if block.file}
    assert set(shown) == {"personas.csv", "lm.yaml"}
    for name, text in shown.items():
        assert (EXAMPLES / "tutorial" / name).read_text(encoding="utf-8") == text, name
    (tmp_path / "personas.csv").write_text(shown["personas.csv"], encoding="utf-8")
    factory(env, "init", "personas.csv", cwd=tmp_path)
    assert (tmp_path / "factory.yaml").read_text() == (EXAMPLES / "tutorial" / "factory.yaml").read_text()


def test_the_examples_score_runs(env: dict[str, str], tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    factory(env, "run", str(EXAMPLES / "own-method" / "job.yaml"), "--set", f"corpus={corpus}")
    rows = [json.loads(line) for line in factory(env, "show", str(corpus), "--json").splitlines()]
    assert len(rows) == ROWS["own-method/job.yaml"]
    shares = {row["seeds"][0]["id"]: row["scores"]["balance"]["least"] for row in rows}
    assert 0 < shares["assistant"] < 0.5
    assert len(set(shares.values())) > 4
