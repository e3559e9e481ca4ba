"""The command in a folder that holds other people's modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.jobs import write_job, write_personas

STRANGERS = ("secrets", "queue", "random", "ray", "torch", "polars", "yaml")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job, beside modules that end whoever imports them."""
    for name in STRANGERS:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('somebody else: {name}')")
    write_personas(tmp_path, 2)
    write_job(tmp_path)
    return tmp_path


def factory(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "factory", *arguments],
        cwd=folder,
        env=os.environ | variables,
        text=True,
        capture_output=True,
        check=False,
    )


def test_neither_the_driver_nor_its_workers_import_what_lies_there(folder: Path) -> None:
    done = factory(folder, "run", "job.yaml")
    assert (done.returncode, "2 rows committed" in done.stdout) == (0, True), done.stderr


def test_a_module_that_is_asked_for_is_imported_from_there(folder: Path) -> None:
    assert "somebody else" in factory(folder, "plan", "job.yaml", PYTHONPATH=str(folder)).stderr


def test_a_program_that_imports_the_package_keeps_its_path(folder: Path) -> None:
    (folder / "mine.py").write_text("import factory, sys; print(sys.path)")
    for name in STRANGERS:
        (folder / f"{name}.py").unlink()
    done = subprocess.run([sys.executable, "-m", "mine"], cwd=folder, text=True, capture_output=True, check=True)
    assert repr(str(folder)) in done.stdout
