from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from factory.cli import main
from tests.views.report.conftest import Made
from tests.views.report.corpora import commit, imported


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["factory", *words])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_writes_both_files_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = commit(tmp_path / "corpus", [[imported(number) for number in range(3)]]).root
    page = tmp_path / "new" / "seen.html"
    code, out, _ = run(capsys, monkeypatch, "report", corpus, "--to", str(page), "--since", "0", "--dialogues", "2")
    assert (code, out.split()) == (0, [str(page), str(page.with_suffix(".json"))])
    figures = json.loads(page.with_suffix(".json").read_text())
    assert (figures["about"]["rows"], figures["changes"]["since"]) == (3, 0)
    assert "2 of the corpus" in page.read_text()
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, monkeypatch, "report", corpus)
    assert (code, out.split()) == (0, ["report.html", "report.json"])
    assert (tmp_path / "report.html").exists()
    code, out, _ = run(capsys, monkeypatch, "report", corpus, "--to", str(page), "--json")
    assert json.loads(out) == {"page": str(page), "figures": str(page.with_suffix(".json"))}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--since", "7"], "no version 7"),
        (["--to", "{folder}/corpus/_recipes/s.json/x.html"], "give another place with --to"),
        (["--to", "{folder}/x.json"], "a name that ends in .html"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, given: list[str], told: str
) -> None:
    corpus = commit(tmp_path / "corpus", [[imported(number) for number in range(3)]]).root
    words = [word.format(folder=tmp_path) for word in given]
    if "--to" not in words:
        words += ["--to", str(tmp_path / "x.html")]
    code, _, err = run(capsys, monkeypatch, "report", corpus, *words)
    assert code == 1
    assert told in err
    assert "Traceback" not in err


def test_figures_beside_the_page_are_those_of_the_page(made: Made) -> None:
    text = made.page.read_text()
    for figure in (f"{made.figures['about']['turns']:,}", f"{made.figures['about']['words']:,} words"):
        assert figure in text
