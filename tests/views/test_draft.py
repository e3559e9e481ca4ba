"""A first job file: it holds what the data is, and loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from factory.seeds.files import SourceError
from factory.spec.jobfile import load_job
from factory.views.draft import LOOKED, described, draft, look

JOBS = Path(__file__).parents[2] / "jobs"
DIALOGUE = {"id": "d", "turns": ["Hi there!", "Hello, I bake bread."]}


def written(folder: Path, name: str, rows: list[dict[str, object]]) -> str:
    (folder / name).write_text("\n".join(map(json.dumps, rows)))
    return name


def loaded(folder: Path, *names: str):
    (folder / "job.yaml").write_text(draft([look(name, folder) for name in names], "out/corpus"))
    return load_job(folder / "job.yaml")


@pytest.mark.parametrize(
    ("row", "like"), [({"facts": ["I bake."]}, "quickstart.yaml"), (DIALOGUE, "dialogue_corpus.yaml")]
)
def test_a_draft_decides_as_the_jobs_that_come_along(tmp_path: Path, row: dict[str, object], like: str) -> None:
    job, known = loaded(tmp_path, written(tmp_path, "rows.jsonl", [row])), load_job(JOBS / like)
    assert job.select == known.select
    assert list(job.makers) == [name for name in known.makers if name != "augment"]
    assert job.scores == known.scores


def test_a_column_with_another_name_is_found_and_named(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("id,age,short_bio\nann,34,I bake bread. I live in Oslo.\n")
    found = look("people.csv", tmp_path)
    assert "the personas are taken from the column 'short_bio'" in described(found)
    assert "1 persona with 2.0 facts on average" in described(found)
    (source,) = loaded(tmp_path, "people.csv").seeds
    assert source.fields.facts == "short_bio"


def test_bad_rows_are_told_and_good_ones_kept(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"facts": ["I bake."]}, {"facts": []}, DIALOGUE]
    said = described(look(written(tmp_path, "rows.jsonl", rows), tmp_path))
    assert "1 persona with 1.0 facts on average and 1 dialogue with 2.0 turns" in said
    assert "1 rows cannot be read:\n  rows.jsonl, line 2: empty" in said


def test_a_long_file_is_looked_at_from_its_beginning(tmp_path: Path) -> None:
    rows = [{"facts": [f"I have {number} hens."]} for number in range(LOOKED + 1)]
    found = look(written(tmp_path, "rows.jsonl", rows), tmp_path)
    assert len(found.personas) == LOOKED
    assert f"of the first {LOOKED:,} rows" in described(found)
    assert not look(written(tmp_path, "rows.jsonl", rows[1:]), tmp_path).more


def test_what_is_no_seed_is_refused_with_its_first_rows(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"no row could be read as a persona or a dialogue\n  items.jsonl, line 1: mis"
    ):
        look(written(tmp_path, "items.jsonl", [{"id": 1, "text": "x"}]), tmp_path)


def test_personas_and_dialogues_alone_want_two_jobs(tmp_path: Path) -> None:
    names = (written(tmp_path, "a.jsonl", [{"facts": ["I bake."]}]), written(tmp_path, "b.jsonl", [DIALOGUE]))
    with pytest.raises(SourceError, match="make a job for each"):
        loaded(tmp_path, *names)
