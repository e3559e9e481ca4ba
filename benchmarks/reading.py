"""Blind reading of a corpus, with planted faults among its rows: `python -m benchmarks.reading draw CORPUS SHEET`.

`draw --what facts` writes extracted facts that passed all gates, with their turns; `--what dialogues` dialogues that
were accepted, with both personas. A reader fills the last column of the CSV file: "yes" where the turn entails the
fact, or where the dialogue holds no contradiction and no nonsense, else "no". Twenty rows are planted; which they are
stands in `SHEET.key`, which the reader does not open. `count SHEET` says how many of each part passed: a reader who
lets planted ones pass has not read well. The seed is the commit of the code that made the corpus: nobody chose it.
Limitations: planted faults are plainer than those of models.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from factory.base.intervals import wilson
from factory.store.corpus import Corpus
from factory.store.records import Row

PLANTED = 20
_DENIED = [
    (r"^i'?m\b|^i am\b", "I'm not"),
    (r"^i love\b|^i like\b|^i enjoy\b", "I hate"),
    (r"^i have\b", "I don't have"),
    (r"^i hate\b|^i don't like\b|^i do not like\b", "I love"),
    (r"^i work\b", "I don't work"),
    (r"^i live\b", "I don't live"),
]
Line = dict[str, str]


def denied(fact: str) -> str | None:
    """The contrary of a plain fact; none of others."""
    for pattern, contrary in _DENIED:
        if re.search(pattern, fact, re.IGNORECASE):
            return re.sub(pattern, contrary, fact, count=1, flags=re.IGNORECASE)
    return None


def facts(rows: Sequence[Row]) -> Iterator[Line]:
    """Each fact that passed all gates."""
    for row in rows:
        for one in row.extracted:
            if one.gate == "accepted":
                said = row.turns[one.turn].text
                yield {"row": row.row_id, "turn": str(one.turn), "said": said, "fact": one.text}


def planted_facts(drawn: Sequence[Line], rng: random.Random) -> Iterator[Line]:
    """Facts of other turns, and contraries, by turns."""
    contrary = [{**line, "fact": text} for line in drawn if (text := denied(line["fact"]))]
    for number in range(PLANTED):
        line, other = rng.sample(drawn, 2)
        yield rng.choice(contrary) if number % 2 and contrary else {**line, "fact": other["fact"]}


def told(row: Row, turns: Sequence[str]) -> Line:
    """A dialogue as the reader sees it."""
    personas = [f"{'AB'[side]}: {' '.join(one.facts_of('seed', 'expand'))}" for side, one in enumerate(row.speakers)]
    spoken = [f"{'AB'[turn.speaker]}> {text}" for turn, text in zip(row.turns, turns, strict=True)]
    return {"row": row.row_id, "dialogue": "\n".join([*personas, *spoken])}


def planted_dialogues(rows: Sequence[Row], rng: random.Random) -> Iterator[Line]:
    """Dialogues with one turn that denies a fact, takes the partner's, is of another dialogue, or is shuffled."""
    kinds = {"denied": [row for row in rows if any(map(denied, row.speakers[0].facts_of("seed")))]}
    for number in range(PLANTED):
        kind = ("denied", "taken", "other", "mixed")[number % 4]
        row = rng.choice(kinds.get(kind) or rows)
        turns = [turn.text for turn in row.turns]
        place = rng.randrange(2, len(turns), 2)  # a turn of the first speaker's
        if kind == "denied":
            turns[place] = rng.choice([text for fact in row.speakers[0].facts_of("seed") if (text := denied(fact))])
        elif kind == "taken":
            turns[place] = f"Me too. {rng.choice(row.speakers[1].facts_of('seed'))}"
        elif kind == "other":
            turns[place] = rng.choice([one for one in rows if one is not row]).turns[place - 1].text
        else:
            turns[place] = " ".join(rng.sample(words := turns[place].split(), len(words)))
        yield told(row, turns)


def draw(corpus: str, sheet: Path, what: str, count: int, seed: str) -> None:
    """Write the sheet, and its key."""
    rng = random.Random(f"{seed} {what}")
    rows = list(Corpus(corpus).rows())
    if what == "facts":
        found = list(facts(rows))
        drawn, planted = rng.sample(found, min(count, len(found))), list(planted_facts(found, rng))
    else:
        rows = [row for row in rows if row.decision == "accept"]
        drawn = [told(row, [turn.text for turn in row.turns]) for row in rng.sample(rows, min(count, len(rows)))]
        planted = list(planted_dialogues(rows, rng))
    lines = [(line, "drawn") for line in drawn] + [(line, "planted") for line in planted]
    rng.shuffle(lines)
    with sheet.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*lines[0][0], "good"])
        writer.writeheader()
        writer.writerows({**line, "good": ""} for line, _ in lines)
    sheet.with_suffix(".key").write_text(json.dumps([kind for _, kind in lines]), encoding="utf-8")


def count(sheet: Path) -> None:
    """Say how many of the drawn and of the planted passed, with 95 % intervals (Wilson, 1927)."""
    key = json.loads(sheet.with_suffix(".key").read_text(encoding="utf-8"))
    with sheet.open(newline="", encoding="utf-8") as file:
        verdicts = [line["good"] for line in csv.DictReader(file)]
    for kind in ("drawn", "planted"):
        own = [verdict for verdict, made in zip(verdicts, key, strict=True) if made == kind]
        good = own.count("yes")
        least, most = wilson(good, len(own), 0.95)
        print(f"{kind}: {good} of {len(own)} pass, {good / len(own):.1%} ({least:.1%} to {most:.1%})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw")
    drawing.add_argument("corpus")
    drawing.add_argument("sheet", type=Path)
    drawing.add_argument("--what", choices=("facts", "dialogues"), required=True)
    drawing.add_argument("--count", type=int, default=100)
    drawing.add_argument("--seed", required=True, help="the commit of the code that made the corpus")
    commands.add_parser("count").add_argument("sheet", type=Path)
    given = parser.parse_args()
    if given.command == "draw":
        draw(given.corpus, given.sheet, given.what, given.count, given.seed)
    else:
        count(given.sheet)
