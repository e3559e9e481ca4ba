"""A source of another package: its own file and entry point are all that a job file needs to ask for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = '''
from collections.abc import Iterator
from typing import Any, Literal
from pydantic import Field
from factory.methods.sources import SourceParams

class Params(SourceParams):
    """Parameters of `counted`."""
    make: Literal["counted"] = Field("counted", description="The source.")
    to: int = Field(description="The last number.", ge=1)

class Counted:
    """Personas by number."""
    name, version, Params = "counted", 1, Params
    def __init__(self, params: Params) -> None:
        self.params = params
    def rows(self) -> Iterator[dict[str, Any]]:
        for number in range(1, self.params.to + 1):
            yield {"facts": [f"I have {number} hens."] if number != 3 else [], "hens": number}
'''
POINTS = """[persona_factory.sources]
counted = someones_source:Counted
broken = a_package_nobody_has:Broken
"""
JOB = """\
corpus: corpus
seeds:
  - {{path: a.jsonl}}
  - {entries}
models: {{writer: {{engine: scripted, name: scripted}}}}
makers: {{converse: {{turns: 4}}}}
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    (folder / "someones_source.py").write_text(SOURCE)
    info = folder / "someones_source-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: someones-source\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text(POINTS)
    return folder


def planned(packages: Path, folder: Path, *entries: str) -> subprocess.CompletedProcess[str]:
    (folder / "a.jsonl").write_text('{"persona": "I ski."}\n')
    (folder / "job.yaml").write_text(JOB.format(entries="\n  - ".join(entries)))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(packages), str(ROOT)]), "COLUMNS": "300"}
    command = [sys.executable, "-m", "factory", "plan", str(folder / "job.yaml"), "--json"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_it_makes_seeds_beside_those_of_files(packages: Path, tmp_path: Path) -> None:
    done = planned(packages, tmp_path, "{make: counted, to: 7}")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["make"], told["bad_seeds"]) == (7, 1)


def test_a_mistake_is_told_at_its_field(packages: Path, tmp_path: Path) -> None:
    mistakes = {
        "{make: count}": "line 4: seeds.1: there is no count among the sources; there are: compose, counted",
        "{make: broken}": "line 5: seeds.2: broken cannot be imported from a_package_nobody_has:Broken",
        "{make: counted}": "line 6: seeds.3.to is missing",
        "{make: counted, to: 0}": "line 7: seeds.4.to: Input should be greater than or equal to 1",
        "{make: counted, to: 3, form: x}": "line 8: unknown field seeds.5.form",
        "{make: [1]}": "line 9: seeds.6: there is no [1] among the sources",
        "{format: csv}": "line 10: seeds.7.path is missing",
    }
    done = planned(packages, tmp_path, *mistakes)
    assert done.returncode == 2
    for told in mistakes.values():
        assert told in done.stderr
