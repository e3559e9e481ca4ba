"""`factory export`, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest

from factory.cli import main
from factory.export import ExportError, export
from tests.cli.test_commands import call
from tests.rehearsal import Rehearsal, job_in, some_personas, write_seeds
from tests.training.corpora import dialogue, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("command")
    rows = [dialogue(number) for number in range(20)]
    for row in rows[:5]:
        row.decision = "flag"
    write_corpus(root, rows)
    return root


def test_the_options_are_handed_on(corpus: Path, tmp_path: Path) -> None:
    to = tmp_path / "chat"
    told = json.loads(
        call(
            "export", corpus, "chat", "--to", to, "--as", "jsonl", "--split", "test=0.3", "--split", "validation=0.2",
            "--decision", "accept", "--decision", "flag", "--facts", "extract", "--rows-per-file", 4, "--json",
        )
    )  # fmt: skip
    assert sum(told["rows"].values()) + 2 * sum(told["left_out"].values()) == 40
    assert told["rows"].keys() == {"train", "test", "validation"}
    loaded = datasets.load_dataset("json", data_dir=str(to), cache_dir=str(tmp_path / "cache"))
    assert {split: len(part) for split, part in loaded.items()} == told["rows"]
    assert "hens" not in str(loaded["train"][0]["messages"][0])
    assert json.loads((to / "_export.json").read_text())["facts"] == ["extract"]


def test_it_says_what_came_of_it(corpus: Path, tmp_path: Path) -> None:
    text = call("export", corpus, "plain", "--to", tmp_path / "plain")
    assert "train  15        1" in text
    assert "left out: 5 rows decided flag" in text
    assert f"load_dataset('parquet', data_dir='{tmp_path}/plain')" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("chat", "--split", "test"), "--split test: write it as NAME=SHARE"),
        (("chat", "--split", "dev=0.1"), "split dev: use test or validation"),
        (("chat", "--decision", "maybe"), "--decision maybe: Input should be 'accept', 'flag' or 'reject'"),
        (("chat", "--facts", "none"), "--facts none: should be one of seed, augment, expand, expand_personas"),
        (("chat", "--version", "7"), "no version 7; the newest is 0"),
        (("chat", "--by", "divpo"), "chat knows no `by`"),
        (("extraction",), "15 rows that extraction has not read"),
        (("preference",), "15 rows without candidates"),
    ],
)
def test_mistakes_are_told_in_one_line(
    corpus: Path, tmp_path: Path, options: tuple[str, ...], message: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("sys.argv", ["factory", "export", str(corpus), *options, "--to", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="1"):
        main()
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_without_a_corpus_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["factory", "export", str(tmp_path), "chat", "--to", str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        main()
    assert "there is no corpus here yet" in capsys.readouterr().err


def test_a_corpus_of_dead_letters_has_nothing_to_export(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(2))
    rehearsal, job = Rehearsal(), job_in(tmp_path)
    rehearsal.talker.mute = {"pets"}
    rehearsal.run(job)
    with pytest.raises(ExportError, match="every row failed"):
        export(job.corpus, "chat", str(tmp_path / "out"))
