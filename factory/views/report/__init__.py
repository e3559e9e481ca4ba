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
from factory.views.report.page import page
from factory.views.report.sample import dialogues as sample

STEPS = counting.PARTS + 2
"""How often `report` is told of progress."""


def report(
    corpus: Corpus,
    to: Path,
    *,
    since: int | None = None,
    dialogues: int = 400,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[Path, Path]:
    """Write the page to `to`, with so many dialogues, and the figures beside it as `.json`; both paths are returned.
    `since` is the version to compare with, that which the last run found without it. `progress` is told how many of
    the STEPS are done. Raises CorpusError, also if the page cannot be written, and ScorerStartError."""
    to = Path(os.path.expanduser(to))
    beside = to.with_suffix(".json")
    if beside == to:
        raise CorpusError(f"{to}: is where the figures go; give the page a name that ends in .html")
    figures = counting.figures(corpus, since=since, report=progress)
    shown = sample(corpus, corpus.scan(), dialogues)
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
