"""Packages that are not installed: who needs which, in one line, wherever the import comes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from factory.base.packages import MissingPackageError, explain_missing, needing
from tests.jobs import write_job, write_personas
from tests.rehearsal import Rehearsal, job_in, some_personas, write_seeds

# Python runs it as each process starts. A package that is not there is not found either way.
HIDDEN = """
import importlib.abc, os, sys

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == os.environ["HIDDEN"] and os.environ["WHERE"] in " ".join(sys.orig_argv):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hide())
"""


def without(package: str, folder: Path, *arguments: str, where: str = "") -> tuple[int, str]:
    """`factory` with the arguments, in the folder, without a package; its exit code, and the last line of its errors.
    The package is hidden from the processes whose command lines hold `where`."""
    (folder / "hidden").mkdir(exist_ok=True)
    (folder / "hidden" / "sitecustomize.py").write_text(HIDDEN)
    paths = [str(folder / "hidden"), str(Path(__file__).parents[2])]
    done = subprocess.run(
        [sys.executable, "-m", "factory", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "HIDDEN": package, "WHERE": where},
        text=True,
        capture_output=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, (done.stderr.splitlines() or [""])[-1]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    write_seeds(folder, some_personas(4))
    Rehearsal().run(job_in(folder))
    (folder / "lm.yaml").write_text(f"model: smollm2\ndata: {{corpus: {folder}/corpus}}\ntraining: {{steps: 1}}\n")
    pairs = ["premise,hypothesis,label", "I bake.,I am a nurse.,contradiction", "I bake.,I like tea.,neutral"]
    (folder / "pairs.csv").write_text("\n".join(pairs))
    return folder


@pytest.mark.parametrize(
    ("package", "arguments", "who", "how"),
    [
        ("polars", "status corpus", "factory", "polars"),
        ("typer", "status corpus", "factory", "typer"),
        ("torch", "train-lm lm.yaml --to out", "factory train-lm", "'persona-factory[train]'"),
        ("datasets", "train-lm lm.yaml --to out", "factory train-lm", "'persona-factory[train]'"),
        ("transformers", "calibrate pairs.csv", "factory calibrate", "'persona-factory[report]'"),
        ("persona_factory_models", "calibrate pairs.csv", "the model nli-small", "'persona-factory[local]'"),
        ("matplotlib", "report corpus", "factory report", "'persona-factory[report]'"),
        ("huggingface_hub", "push corpus hf://datasets/me/x", "factory push", "'persona-factory[hub]'"),
    ],
)
def test_a_command_names_the_package_it_lacks(corpus: Path, package: str, arguments: str, who: str, how: str) -> None:
    code, line = without(package, corpus, *arguments.split())
    assert code == 1
    assert line == f"error: {who} needs the package {package}, which is not installed; pip install {how}"


@pytest.mark.parametrize("package", ["torch", "transformers", "datasets", "huggingface_hub", "persona_factory_models"])
def test_a_card_is_written_without_what_it_does_not_need(corpus: Path, package: str) -> None:
    assert without(package, corpus, "card", "corpus", "--to", f"{package}.md") == (0, "")
    assert (corpus / f"{package}.md").read_text().startswith("---\n")


SERVER = {"engine": "openai", "name": "m", "base_url": "http://127.0.0.1:9/v1"}


VLLM = {"name": "smollm2"}
ENGINES = "'persona-factory[gpu]', or 'persona-factory[cpu]'"


@pytest.mark.parametrize(
    ("package", "job", "where", "said", "how"),
    [
        ("torch", {"scores": {"consistency": {}}}, "", "scores.consistency", "'persona-factory[local]'"),
        ("profanex", {"scores": {"screen": {}}}, "", "scores.screen", "'persona-factory[local]'"),
        ("openai", {"models": {"writer": SERVER}}, "", "makers.converse", "openai"),
        ("transformers", {"models": {"writer": VLLM}}, "", "model smollm2: engine vllm", ENGINES),
        ("vllm", {"models": {"writer": VLLM}}, "", "model smollm2: engine vllm", ENGINES),
        ("polars", {}, "default_worker", "a worker", "polars"),
    ],
)
def test_a_run_names_the_package_that_its_workers_lack(
    tmp_path: Path, package: str, job: dict[str, Any], where: str, said: str, how: str
) -> None:
    write_personas(tmp_path, 2)
    write_job(tmp_path, **job)
    code, line = without(package, tmp_path, "run", "job.yaml", where=where)
    missing = f"{said} needs the package {package}, which is not installed; pip install {how}"
    assert (code, line) == (1, f"error: {missing}")


def test_an_error_tells_the_same_after_its_way_from_a_worker() -> None:
    with pytest.raises(MissingPackageError) as raised, needing("scores.consistency"):
        import nowhere.to.be.found  # type: ignore[import-not-found]  # noqa: F401
    again = pickle.loads(pickle.dumps(raised.value))
    assert explain_missing(again, "a worker") == str(raised.value)
    assert str(raised.value).startswith("scores.consistency needs the package nowhere, which is not installed")


def test_a_package_that_is_there_but_broken_is_not_called_missing() -> None:
    said = explain_missing(ImportError("libcudart.so.13:\n cannot open shared object file"), "makers.expand")
    assert said.startswith("makers.expand needs a package that cannot be imported: libcudart.so.13: cannot open shared")
