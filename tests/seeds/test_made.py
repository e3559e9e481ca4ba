"""Seeds that a job makes go through all that seeds of files go through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from factory.seeds.files import SourceError
from factory.seeds.made import MadeSource
from factory.seeds.source import SeedSource
from factory.seeds.store import SEEDS, Seeds, TooManyBadSeeds
from factory.store.storage import Storage

ROWS: list[dict[str, Any]] = [
    {"facts": ["I ski.", "I cook."], "age": 30, "job": "cook"},
    {"facts": []},
    {"id": "dialogue", "turns": ["Hi.\nThere.", "Hello."]},
    {"facts": ["x" * 1001]},
    {"facts": ["I ski.", "I cook."], "age": 30, "job": "cook"},
]


class Listed:
    """Rows, and how often they were asked for."""

    def __init__(self, rows: list[dict[str, Any]], fault: Exception | None = None) -> None:
        self.given = rows
        self.fault = fault
        self.asked = 0

    def rows(self) -> Iterator[dict[str, Any]]:
        self.asked += 1
        yield from self.given
        if self.fault:
            raise self.fault


def opened(folder: Path, *sources: MadeSource | SeedSource, max_bad: int = 10) -> Seeds:
    return Seeds(sources, folder, Storage(str(folder / "corpus")), max_bad)


def test_rows_are_seeds_as_those_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"facts": ["I ski.", "I cook."], "age": 30, "job": "cook"}\n{"persona": "I row."}'
    )
    seeds = opened(tmp_path, MadeSource("listed", "one", Listed(ROWS)), SeedSource(path="a.jsonl"))
    first, dialogue, row = seeds.take(np.arange(len(seeds)))
    assert (first.source, first.line, first.personas) == ("make: listed", 1, (("I ski.", "I cook."),))
    assert first.speakers[0].attributes == {"age": "30", "job": "cook"}
    assert (dialogue.id, dialogue.line, dialogue.turns[0]) == ("dialogue", 3, (0, "Hi. There."))
    assert (row.source, row.line) == ("a.jsonl", 2)
    assert seeds.repeated == 2  # the last made row, and the one of the file
    assert [str(bad) for bad in seeds.bad] == [
        "make: listed, row 2: empty: no fact in 'facts'",
        "make: listed, row 4: too_long: a fact of facts has 1,001 characters; 1,000 are allowed",
    ]
    alone = opened(tmp_path, SeedSource(path="a.jsonl"))
    assert first.id == alone.take(np.array([0]))[0].id


def test_they_are_made_once_and_again_with_another_recipe(tmp_path: Path) -> None:
    listed = Listed(ROWS)
    first = opened(tmp_path, MadeSource("listed", "one", listed))
    again = opened(tmp_path, MadeSource("listed", "one", listed))
    assert listed.asked == 1
    assert (again.take(np.arange(2)), again.bad) == (first.take(np.arange(2)), first.bad)
    assert set(Storage(str(tmp_path / "corpus")).list(SEEDS)) == again.kept
    other = opened(tmp_path, MadeSource("listed", "two", listed))
    assert listed.asked == 2
    assert not other.kept & again.kept


def test_two_of_one_name_are_told_apart(tmp_path: Path) -> None:
    one, two = ([{"id": "a", "persona": f"I {what}."}] for what in ("ski", "sew"))
    seeds = opened(tmp_path, MadeSource("listed", "one", Listed(one)), MadeSource("listed", "two", Listed(two)))
    assert [str(bad) for bad in seeds.bad] == [
        "make: listed 2, row 1: duplicate_id: another seed has the id 'a': make: listed, row 1; ids must differ"
    ]


def test_rows_larger_than_any_buffer_come_whole(tmp_path: Path) -> None:
    rows = [
        {"id": str(number), "facts": [f"{number} {letter * 900}" for letter in "abcdefgh" * 20]} for number in (1, 2)
    ]
    seeds = opened(tmp_path, MadeSource("listed", "one", Listed(rows)))
    assert [list(seed.personas[0]) for seed in seeds.take(np.arange(2))] == [
        list(dict.fromkeys(row["facts"])) for row in rows
    ]


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        (Listed([]), "make: listed: it makes no row"),
        (Listed(ROWS, ValueError("too few; give more")), "make: listed: too few; give more"),
        (Listed([ROWS[0], {"facts": ["x"], "odd": object()}]), "make: listed, row 2: cannot be written as JSON"),
    ],
)
def test_what_cannot_be_made_is_told(tmp_path: Path, listed: Listed, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        opened(tmp_path, MadeSource("listed", "one", listed))
    assert Storage(str(tmp_path / "corpus")).list(SEEDS) == []


def test_too_many_bad_rows_end_the_reading(tmp_path: Path) -> None:
    with pytest.raises(TooManyBadSeeds, match="no fact"):
        opened(tmp_path, MadeSource("listed", "one", Listed(ROWS)), max_bad=1)
