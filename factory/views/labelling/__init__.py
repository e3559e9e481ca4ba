"""Pairs to label by hand: a sample of those that a score of a corpus stored, as a page or as JSON Lines.

The page opens from disk, takes a label with one key, and saves a file that `factory calibrate` reads.

>>> from factory import Corpus
>>> from factory.views.labelling import write
>>> write(Corpus("out/quickstart"), Path("pairs.html"), near=[0.64, 0.98]).drawn
200
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from factory.store.corpus import Corpus
from factory.store.table import CorpusError
from factory.views.labelling.drawing import Drawn, draw
from factory.views.labelling.page import page
from factory.views.pairs import Check

__all__ = ["Drawn", "draw", "write"]


def write(
    corpus: Corpus,
    to: Path,
    *,
    near: Sequence[float] = (),
    check: Check = "turn_persona",
    score: str | None = None,
    count: int = 200,
    seed: int = 0,
) -> Drawn:
    """Draw pairs (`factory.views.labelling.drawing.draw`) and write them to `to`: a page if its name ends in .html, or
    JSON Lines if in .jsonl, with an empty `label`. Raises CorpusError, also if the file cannot be written."""
    to = Path(os.path.expanduser(to))
    if to.suffix not in (".html", ".jsonl"):
        raise CorpusError(f"{to}: give the file a name that ends in .html, to label in a browser, or in .jsonl")
    drawn = draw(corpus, near=near, check=check, score=score, count=count, seed=seed)
    if to.suffix == ".html":
        text = page(drawn)
    else:
        text = "".join(json.dumps(pair.record, ensure_ascii=False) + "\n" for pair in drawn.pairs)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CorpusError(
            f"{to}: the pairs cannot be written: {error.strerror}; give another place with --to"
        ) from error
    return drawn
