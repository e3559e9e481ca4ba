from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from factory.store.corpus import Corpus
from factory.store.dead_letters import DeadLetter
from factory.store.records import Row
from factory.views.report import report
from tests.views.report.corpora import commit, dialogue, letter


@dataclass
class Made:
    """A corpus of two runs, and its report."""

    corpus: Corpus
    rows: list[Row]
    letters: list[DeadLetter]
    page: Path
    figures: dict[str, Any]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("report")
    rows = [dialogue(number) for number in range(80)]
    letters = [letter(number, row=number > 0) for number in range(3)]
    corpus = commit(folder / "corpus", [rows[:50], rows[50:]], letters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("factory.views.report.groups.MOST", 2)  # there are two kinds of personas
        page, figures = report(corpus, folder / "report.html", dialogues=30)
    return Made(corpus, rows, letters, page, json.loads(figures.read_text()))
