"""Write the counts that the score `lexical` tells rare words by: `python -m benchmarks.word_counts DATA`.

DATA is a folder with the published dialogues, in dialogues/. Of Synthetic-Persona-Chat the dialogues are counted that
models here are trained on; the first 100 stay out, as for training.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from factory.methods.scores.lexical.specificity import COUNTS, RAREST, words_of
from factory.training.published import HELD, dialogues

HEAD = """\
# In how many of {total:,} turns of Synthetic-Persona-Chat each word stands (Jandaghi et al., arXiv 2312.10007; the
# validation split of google-research-datasets/Synthetic-Persona-Chat), licensed under CC BY 4.0. Words of one turn are
# left out. Made by benchmarks/word_counts.py.
"""


def main(data: Path) -> None:
    trained = [one for one in dialogues(data / "dialogues" / "synthetic_persona_chat_valid.csv") if one.number >= HELD]
    turns = [turn for one in trained for turn in one.turns]
    counted = Counter(word for turn in turns for word in set(words_of(turn)))
    kept = sorted((-count, word) for word, count in counted.items() if count > RAREST)
    lines = [f"{word} {-count}" for count, word in kept]
    COUNTS.write_text(HEAD.format(total=len(turns)) + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{COUNTS.name}: {len(lines):,} words of {len(turns):,} turns of {len(trained):,} dialogues")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
