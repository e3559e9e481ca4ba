"""Tables that sources read: from where, in which formats, and what is told of those that cannot be read."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from factory.methods.sources.tables import Table, placed
from factory.methods.sources.vary import VaryParams
from factory.seeds.files import SourceError
from factory.seeds.made import MadeSource
from factory.seeds.store import Seeds
from factory.spec.jobfile import load_job
from factory.spec.layers import YamlError
from factory.spec.sources import sources_of
from factory.store.records import Seed
from factory.store.storage import Storage

PEOPLE = [{"id": "ann", "persona": "I am 34.", "age": 34}, {"id": "bo", "persona": "I am 70.", "age": 70}]


def vary(of: Any, folder: Path) -> MadeSource:
    """The source of a job file in this folder."""
    path = folder / "job.yaml"
    entry = {"make": "vary", "of": of, "attribute": "age", "values": [34, 70]}
    path.write_text(yaml.safe_dump({"corpus": "c", "seeds": [entry]}))
    (made,) = sources_of(load_job(path).seeds, folder, "corpus")
    assert isinstance(made, MadeSource)
    return made


def seeds_of(source: MadeSource, folder: Path, max_bad: int = 10) -> tuple[list[Seed], list[str]]:
    seeds = Seeds([source], folder, Storage(str(folder / "corpus")), max_bad)
    return seeds.take(np.arange(len(seeds))), [str(bad) for bad in seeds.bad]


def test_any_format_and_rows_in_the_job_file_are_the_same_personas(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text("\n".join(map(json.dumps, PEOPLE)))
    (tmp_path / "in" / "a.csv").write_text("id,persona,age\nann,I am 34.,34\nbo,I am 70.,70\n")
    pq.write_table(pa.Table.from_pylist(PEOPLE), tmp_path / "in" / "a.parquet")
    named = {"path": "in/b.csv", "format": "tsv", "fields": {"id": "who", "facts": "text"}}
    (tmp_path / "in" / "b.csv").write_text("who\ttext\tage\nann\tI am 34.\t34\nbo\tI am 70.\t70\n")
    ways: list[Any] = [PEOPLE, "in/a.jsonl", "in/a.csv", {"path": str(tmp_path / "in/a.parquet")}, named, "in/*.jsonl"]
    found = [[(seed.id, seed.digests) for seed in seeds_of(vary(of, tmp_path), tmp_path)[0]] for of in ways]
    assert [name for name, _ in found[0]] == ["ann", "ann/age=70", "bo", "bo/age=34"]
    assert found == found[:1] * len(ways)


def test_a_changed_file_changes_the_recipe_and_a_touched_or_moved_one_no_row(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(map(json.dumps, PEOPLE)))
    fresh = vary("a.jsonl", tmp_path)
    assert vary("a.jsonl", tmp_path).recipe == fresh.recipe
    rows, _ = seeds_of(fresh, tmp_path)
    file.write_text("\n".join(map(json.dumps, PEOPLE[:1])))
    assert vary("a.jsonl", tmp_path).recipe != fresh.recipe
    file.write_text("\n".join(map(json.dumps, PEOPLE)))
    assert vary("a.jsonl", tmp_path).recipe == fresh.recipe
    long_ago = time.time() - 1000
    os.utime(file, (long_ago, long_ago))
    settled = vary("a.jsonl", tmp_path)
    assert vary("a.jsonl", tmp_path).recipe == settled.recipe
    assert seeds_of(settled, tmp_path)[0] == rows


def test_what_cannot_be_read_is_a_bad_seed_with_its_place_and_the_rest_is_made(tmp_path: Path) -> None:
    lines = [json.dumps(PEOPLE[0]), "{broken", '{"persona": ""}', '{"turns": ["Hi.", "Ho."]}', json.dumps(PEOPLE[1])]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    found, bad = seeds_of(vary("a.jsonl", tmp_path), tmp_path)
    assert [seed.id for seed in found] == ["ann", "ann/age=70", "bo", "bo/age=34"]
    assert [one.split(": ")[:4] for one in bad] == [
        ["make", "vary, row 3", "json", "a.jsonl, line 2"],
        ["make", "vary, row 4", "empty", "a.jsonl, line 3"],
        ["make", "vary, row 5", "wrong_type", "a.jsonl, line 4"],
    ]


def test_what_stands_for_a_bad_row_means_nothing_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"": ["reason", "detail"]}')
    _, bad = seeds_of(vary("a.jsonl", tmp_path), tmp_path)
    assert "missing_field: a.jsonl, line 1: no 'facts'" in bad[0]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.csv \(in .*\) matches no file: check the path"):
        vary("none.csv", tmp_path)


@pytest.mark.parametrize(
    ("of", "told"),
    [
        ([], "seeds.0.of: a path is wanted, the fields of an entry of `seeds`, or a list of rows"),
        ({"format": "csv"}, "seeds.0.of.path is missing"),
        ({"path": "a.csv", "formt": "csv"}, "unknown field seeds.0.of.formt; did you mean format?"),
        (7, "seeds.0.of: a path is wanted"),
    ],
)
def test_a_mistake_is_told_at_its_field(tmp_path: Path, of: Any, told: str) -> None:
    with pytest.raises(YamlError, match=told) as caught:
        vary(of, tmp_path)
    assert "job.yaml, line " in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_parameters_stay_as_they_are_when_paths_are_placed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("persona\nI ski.\n")
    params = VaryParams(of=Table("a.csv"), attribute="age", values=(1,))
    there = placed(params, tmp_path)
    assert there.model_dump() == params.model_dump()
    assert len(list(there.of.personas())) == 1
    with pytest.raises(SourceError, match="matches no file"):
        list(params.of.personas())
