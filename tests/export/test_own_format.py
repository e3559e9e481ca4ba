"""A format in a package of its own, exported by the real command: one source file, and an entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from tests.training.corpora import dialogue, write_corpus

ROOT = Path(__file__).parents[2]
FORMAT = '''
"""Opinions: what speakers say they like."""

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from factory.methods.exports import ExportFormat


class Params(BaseModel):
    """Options of `opinions`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_words: int = Field(1, ge=1, description="Words of a turn, at least (ours).")
    words: tuple[str, ...] = Field(("hens",), description="Words that a turn must have one of [any].")
    loud: bool = Field(False, description="Write in capitals.")


class Opinions(ExportFormat):
    """Turns that say [something] of a thing."""

    name = "opinions"
    Params = Params
    schema = pa.schema([("text", pa.string()), ("row_id", pa.string())])

    def records(self, rows, source):
        for row in rows:
            for turn in row.turns:
                own = turn.text.lower().strip(".!").split()
                if len(own) >= self.params.min_words and set(own) & set(self.params.words):
                    yield {"text": turn.text.upper() if self.params.loud else turn.text, "row_id": row.row_id}
                else:
                    source.leave_out("turns of other things")
'''
POINTS = """[persona_factory.exports]
opinions = someones_opinions:Opinions
broken = someones_broken:Broken
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("own")
    write_corpus(root, [dialogue(number) for number in range(6)])
    return root


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    (folder / "someones_opinions.py").write_text(FORMAT)
    (folder / "someones_broken.py").write_text("import a_package_nobody_has\n")
    info = folder / "someones_formats-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: someones-formats\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text(POINTS)
    return folder


def factory(packages: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(packages), str(ROOT)]), "COLUMNS": "200"}
    command = [sys.executable, "-m", "factory", "export", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_it_is_exported_with_options_of_its_own_wherever_they_stand(
    corpus: Path, packages: Path, tmp_path: Path
) -> None:
    to = tmp_path / "out"
    done = factory(
        packages, "--min-words", 3, "--words=hens", "--words", "hello", corpus, "opinions", "--loud", "--to", to,
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["rows"], told["left_out"]) == ({"train": 6}, {"turns of other things": 18})
    loaded = datasets.load_dataset("parquet", data_dir=str(to), cache_dir=str(tmp_path / "cache"))["train"]
    assert sorted(loaded["text"]) == [f"I HAVE {number} HENS." for number in range(6)]
    manifest = json.loads((to / "_export.json").read_text())
    assert manifest.items() >= {"min_words": 3, "words": ["hens", "hello"], "loud": True}.items()


def test_the_help_lists_what_is_found_with_its_options(packages: Path) -> None:
    said = factory(packages, "--help").stdout
    assert "opinions    Turns that say [something] of a thing." in said
    assert "broken      cannot be imported from someones_broken:Broken" in said
    assert "Options of opinions" in said
    assert "--min-words" in said
    assert "must have one of [any]" in said
    assert "Options of preference" in said
    assert "nli|apc|divpo" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("opinions", "--min-words", 0), "opinions: min_words 0: Input should be greater than or equal to 1"),
        (("opinions", "--by", "nli"), "opinions knows no `by`; it has the options `min_words`, `words`, `loud`"),
        (("chat", "--min-words", 2), "chat knows no `min_words`; it has no options of its own"),
        (
            ("opinions", "--nonsense", 2),
            "there is no option --nonsense; opinions has --min-words, --words, --loud; see: factory export --help",
        ),
        (
            ("opinion",),
            "there is no opinion among the exports; there are: chat, extraction, flat, nli, opinions, plain,",
        ),
        (("broken",), "ModuleNotFoundError: No module named 'a_package_nobody_has'"),
    ],
)
def test_mistakes_are_told_in_one_line(
    corpus: Path, packages: Path, tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    done = factory(packages, corpus, *options, "--to", tmp_path / "out")
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_broken_format_leaves_the_others_alone(corpus: Path, packages: Path, tmp_path: Path) -> None:
    done = factory(packages, corpus, "chat", "--to", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == {"train": 12}
