"""The report of a corpus: its figures and a sample of its dialogues as one HTML page, and the figures as JSON.

>>> from factory import Corpus
>>> from factory.views.report import report
>>> report(Corpus("out/quickstart"), Path("report.html"))
(PosixPath('report.html'), PosixPath('report.json'))
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from factory.store.corpus import Corpus
from factory.store.table import CorpusError
from factory.views.report import figures as counting
from factory.views.report.browser import browser
from factory.views.report.page import page
from factory.views.report.sample import dialogues as sample

STEPS = counting.PARTS + 2
"""The steps of which `report` tells its progress."""


def report(
    corpus: Corpus,
    to: Path,
    *,
    since: int | None = None,
    dialogues: int = 400,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[Path, Path]:
    """Write the page to `to`, with at most so many dialogues, and the figures beside it as `.json`. Returns both paths.
    `since` is the version to compare with; by default the one that the last run started from. `progress` is called
    with the number of STEPS done. Raises CorpusError, also if the page cannot be written, and ScorerStartError."""
    to = Path(os.path.expanduser(to))
    beside = to.with_suffix(".json")
    if beside == to:
        raise CorpusError(f"{to}: the figures are written there; give the page a name that ends in .html")
    figures = counting.figures(corpus, since=since, report=progress)
    rows = corpus.scan()
    shown = browser(corpus, rows, sample(corpus, rows, dialogues), figures)
    progress(counting.PARTS + 1)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(page(figures, shown), encoding="utf-8")
        beside.write_text(json.dumps(figures, ensure_ascii=False, indent=1), encoding="utf-8")
    except OSError as error:
        raise CorpusError(
            f"{to}: the report cannot be written: {error.strerror}; give another place with --to"
        ) from error
    progress(STEPS)
    return to, beside
