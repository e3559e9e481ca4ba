from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from factory.seeds.attributes import attribute, attribute_names
from factory.seeds.fields import SeedFields
from factory.seeds.source import BadSeed, SeedSource
from factory.seeds.store import Seeds
from factory.store.storage import Storage


def seeds_of(folder: Path, rows: list[dict[str, object]], **fields: str) -> Seeds:
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "b.jsonl").write_text('{"id": "z", "facts": ["I sing."], "age": 7}')
    source = SeedSource(path="*.jsonl", fields=SeedFields.model_validate(fields))
    return Seeds([source], folder, Storage(str(folder / "corpus")), 9)


def test_attributes_and_files_are_told_in_the_order_of_the_sources(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"id": "a", "facts": ["I ski."], "age": 30, "city": "Oslo"},
        {"id": "b", "facts": ["I cook."]},
        {"id": "a", "facts": ["I ski."], "age": 30, "city": "Oslo"},
        {"id": "c", "facts": ["I read."], "city": "Rome", "likes": ["tea", 1]},
    ]
    seeds = seeds_of(tmp_path, rows)
    assert attribute(seeds, "age").to_pylist() == ["30", None, None, "7"]
    assert attribute(seeds, "city").to_pylist() == ["Oslo", None, "Rome", None]
    assert attribute(seeds, "likes").to_pylist() == [None, None, '["tea",1]', None]
    assert attribute_names(seeds) == ["age", "city", "likes"]
    assert seeds.files.to_pylist() == ["a.jsonl"] * 3 + ["b.jsonl"]


def test_a_row_with_an_opening_is_one_and_known_by_what_it_says(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"id": "q1", "question": " What do  you do? ", "kind": "work"},
        {"question": "", "facts": ["I ski."]},
        {"question": " \t"},
        {"question": 7},
        {"question": "Why?", "turns": ["Hi.", "Hello."]},
        {"question": "Who?", "facts": ["I ski."]},
    ]
    seeds = seeds_of(tmp_path, rows, opening="question")
    opening, persona, dialogue, _ = seeds.take(np.arange(len(seeds)))
    assert (opening.turns, opening.personas) == (((0, "What do you do?"),), ((),))
    assert opening.speakers[0].attributes == {"kind": "work"}
    assert persona.personas == (("I ski.",),)
    assert len(dialogue.turns) == 2
    assert [(bad.line, bad.reason) for bad in seeds.bad if isinstance(bad, BadSeed)] == [
        (3, "missing_field"),
        (4, "wrong_type"),
        (6, "opening_and_facts"),
    ]
    other = tmp_path / "other"
    other.mkdir()
    rows[0] = {"id": "another", "question": "What do you do?"}
    assert seeds_of(other, rows[1::-1], opening="question").take(np.array([1]))[0].id == opening.id
