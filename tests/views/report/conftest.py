from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from factory.store.corpus import Corpus
from factory.store.dead_letters import DeadLetter
from factory.store.records import Row
from factory.views.report import report
from tests.views.report.corpora import commit, dialogue, imported, letter

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


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


@pytest.fixture(scope="session")
def scarce(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pages of corpora that lack most parts: imported dialogues through no stage, and dead letters alone."""
    folder = tmp_path_factory.mktemp("scarce")
    corpora = [
        commit(folder / "imported", [[imported(number) for number in range(4)]]),
        commit(folder / "letters", [], [letter(1, row=True)]),
    ]
    return [report(corpus, folder / f"{number}.html")[0] for number, corpus in enumerate(corpora)]


@pytest.fixture(scope="module")
def browser(made: Made, scarce: list[Path]) -> Iterator[Browser]:
    """Opened when all pages are there: what makes them runs an event loop of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        yield context
