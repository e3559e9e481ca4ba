"""The exit codes that docs/job-file.md lists, each from a real command."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.jobs import write_job, write_personas
from tests.model_server import ModelServer, error, serving

PAGE = Path(__file__).parents[1] / "docs" / "job-file.md"


BUDGET = ("--set", "run.budget.tokens=1", "--set", "run.dialogues_in_flight=1")


def ends(folder: Path, engine: str = "scripted", *options: str) -> int:
    write_personas(folder, 3)
    command = [sys.executable, "-m", "factory", "run", str(write_job(folder, engine)), *options]
    return subprocess.run(command, capture_output=True, check=False, timeout=120).returncode


def refused(folder: Path) -> int:
    with serving(ModelServer(lambda _: error(402, "pay first"))) as server:
        model = f"{{engine: openai, name: m, base_url: '{server.url}'}}"
        return ends(folder, "scripted", "--set", f"models.writer={model}")


def interrupted(folder: Path) -> int:
    write_personas(folder, 3)
    command = [sys.executable, "-m", "factory", "run", str(write_job(folder, "scripted?latency_ms=3000"))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while not (folder / "corpus" / "_recipes").exists():
            time.sleep(0.1)
        time.sleep(1)
        running.send_signal(signal.SIGINT)
        return running.wait(120)


WAYS: dict[int, list[Callable[[Path], int]]] = {
    0: [ends, lambda folder: ends(folder, "scripted?fail=hens", "--allow-failures")],
    1: [lambda folder: ends(folder, "scripted", "--set", "seeds.0.path=absent.jsonl")],
    2: [
        lambda folder: ends(folder, "scripted", "--set", "makers.convers=4"),
        lambda folder: ends(folder, "-", "--odd"),
    ],
    3: [lambda folder: ends(folder, "scripted?fail=hens")],
    4: [refused],
    5: [lambda folder: ends(folder, "scripted?latency_ms=1000", *BUDGET)],
    130: [interrupted],
}


@pytest.mark.parametrize(("code", "way"), [(code, way) for code, ways in WAYS.items() for way in ways])
def test_a_command_ends_as_the_page_says(code: int, way: Callable[[Path], int], tmp_path: Path) -> None:
    assert way(tmp_path) == code


def test_the_page_lists_these_codes_and_no_others() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| exit code |")[2]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == list(WAYS)
