"""How rare words are: normalised inverse document frequency, by counts that are shipped and never change with a corpus.

See et al. (NAACL 2019, arXiv 1902.08654) measure and control how specific a model is by it. The counts are of the part
of Synthetic-Persona-Chat (arXiv 2312.10007, CC BY 4.0) that models here are trained on, made by
`python -m benchmarks.word_counts DATA`. wordfreq 3.1.1 was the other choice: its counts are of better size, but they
are 57 MB, of CC BY-SA 4.0, and not kept up since 2024. Limitations: English talk of personas; a word that is not in the
file, such as a name or a slip, counts as the rarest.
"""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path

COUNTS = Path(__file__).with_name("word_counts.txt")
RAREST = 1
"""The count of a word that is not in the file, which has those that stand in two turns or more."""
_WORD = re.compile(r"\w+(?:'\w+)*")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, with straight apostrophes."""
    return _WORD.findall(text.casefold().replace("’", "'"))


def specificity(word: str) -> float:
    """The NIDF of a word as `words_of` gives it, (ln max c - ln c) / (ln max c - ln min c) where c is the number of
    turns that have it: 0 of the most frequent one, 1 of one that is not in the file."""
    counts = _counts()
    most = math.log(max(counts.values()) / RAREST)
    return 1 - math.log(counts.get(word, RAREST) / RAREST) / most


@cache
def _counts() -> dict[str, int]:
    lines = (line for line in COUNTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return {word: int(count) for word, count in map(str.split, lines)}
