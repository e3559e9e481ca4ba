"""What all commands have in common: -q and -v, the version, the job file by default, and what the shell completes."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from factory.cli import app
from factory.views import display
from tests.cli.test_commands import call
from tests.jobs import write_job, write_personas


@pytest.mark.parametrize(("option", "quiet"), [(None, False), ("-q", True), ("--quiet", True)])
def test_quiet_is_for_one_command(tmp_path: Path, option: str | None, quiet: bool) -> None:
    call(*[option] * (option is not None), "validate", write_job(tmp_path))
    assert display.counts.quiet is quiet


def test_verbose_shows_what_ray_logs(tmp_path: Path) -> None:
    write_personas(tmp_path, 2)
    write_job(tmp_path)
    for option, shown in ((), False), (("-v",), True):
        command = [sys.executable, "-m", "factory", *option, "run", "job.yaml", "--set", f"corpus=c{len(option)}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert ("Started a local Ray instance" in done.stderr) is shown


def test_without_a_job_file_that_of_the_working_directory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["validate"])
    assert result.exit_code == 2
    assert "factory init FILE" in re.sub(r"[\s│]+", " ", result.output)
    write_job(tmp_path).rename(tmp_path / "factory.yaml")
    assert "factory.yaml holds: converse" in call("validate")


def test_the_version_is_that_of_the_package() -> None:
    assert call("--version") == f"persona-factory {version('persona-factory')}\n"


@pytest.mark.parametrize(
    ("words", "offered"),
    [("export out/c ", {"chat", "sharegpt"}), ("export out/c chat --decision ", {"accept", "flag", "reject"})],
)
def test_the_shell_completes_what_a_command_has_a_list_of(
    words: str, offered: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {
        "_FACTORY_COMPLETE": "complete_bash",
        "COMP_WORDS": f"factory {words}",
        "COMP_CWORD": str(len(words.split()) + 1),
    }
    result = CliRunner().invoke(app, prog_name="factory", env=told)
    assert offered <= set(result.stdout.split())
