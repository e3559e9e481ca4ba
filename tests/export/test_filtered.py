"""`factory filter`: one's own rows, all columns of them, by what was decided of their dialogues."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.export import ExportError
from factory.export.filtered import write_filtered
from factory.seeds.files import SourceError
from factory.spec.job import Job
from tests.cli.test_commands import call
from tests.rehearsal import Rehearsal, job_in

JOB = """\
corpus: {folder}/corpus
seeds: [{{path: "seeds/*"}}]
scores:
  consistency: {{relevance: -1, turn_relevance: -1}}
select:
  reject: {{short: "row.turns < 3"}}
  flag: {{long: "row.turns > 3"}}
"""


def chat(turns: int, **columns: Any) -> dict[str, Any]:
    said = [{"from": ("human", "gpt")[turn % 2], "value": f"Word {turn}.", "id": turn} for turn in range(turns)]
    return {"conversations": said, **columns}


ROWS = [
    chat(3, id="a", meta={"n": 1.5, "of": [None, "ü"]}, label=None),
    chat(2, id="b", source="web"),
    chat(5, id="c"),
    {"note": "no dialogue"},
    chat(3, factory="earlier"),
]


def job_of(folder: Path, rows: list[dict[str, Any]], name: str = "own.jsonl") -> Job:
    """A job that has been run over these rows."""
    (folder / "seeds").mkdir(exist_ok=True)
    (folder / "seeds" / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    job = job_in(folder, text=JOB)
    Rehearsal().run(job)
    return job


def written(path: Path) -> list[dict[str, Any]]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_rows_keep_their_columns_and_their_order(tmp_path: Path) -> None:
    job_of(tmp_path, ROWS)
    told = json.loads(call("filter", tmp_path / "job.yaml", "--to", tmp_path / "out" / "kept.jsonl", "--json"))
    assert (told["rows"], told["left_out"]) == (
        2, {"rows decided reject": 1, "rows decided flag": 1, "rows that cannot be read": 1}
    )  # fmt: skip
    first, second = written(tmp_path / "out" / "kept.jsonl")
    added = first.pop("factory")
    assert first == ROWS[0]
    assert (added["decision"], added["reasons"]) == ("accept", [])
    assert added["scores"]["consistency"]["pairs"] > 0
    assert second["conversations"] == ROWS[4]["conversations"]
    assert second["factory"]["decision"] == "accept"


def test_rows_decided_otherwise_and_gzip(tmp_path: Path) -> None:
    job_of(tmp_path, ROWS)
    to = tmp_path / "rest.jsonl.gz"
    call("filter", tmp_path / "job.yaml", "--to", to, "--decision", "reject", "--decision", "flag")
    assert [(row["id"], row["factory"]["reasons"]) for row in written(to)] == [("b", ["short"]), ("c", ["long"])]


def test_columns_of_csv_and_parquet(tmp_path: Path) -> None:
    turns = json.dumps(["Hi.", "Hello.", "Bye."])
    (tmp_path / "seeds").mkdir()
    with (tmp_path / "seeds" / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "turns", "score"], ["x", turns, "NaN"]])
    held = pa.table({"id": ["y"], "dialog": [["Hi.", "Well?", "Bye."]], "raw": [b"\xff"], "score": [float("nan")]})
    pq.write_table(held, tmp_path / "seeds" / "b.parquet")
    to = tmp_path / "kept.jsonl"
    write_filtered(job_of(tmp_path, []), to, ["accept"])
    first, second = written(to)
    assert {name: first[name] for name in ("id", "turns", "score")} == {"id": "x", "turns": turns, "score": "NaN"}
    assert {name: second[name] for name in ("raw", "score")} == {"raw": "_w==", "score": None}


def test_what_stands_under_the_id_of_another_row_is_left_out(tmp_path: Path) -> None:
    job = job_of(tmp_path, [chat(3, id="a"), chat(4, id="a"), chat(3, id="a", note="again")])
    result = write_filtered(job, tmp_path / "kept.jsonl", ["accept", "flag"])
    assert [row.get("note") for row in written(tmp_path / "kept.jsonl")] == [None, "again"]
    assert result.left_out == {"rows that failed, or have the id of another row": 1}


def test_what_cannot_be_filtered_is_told_and_leaves_no_file(tmp_path: Path) -> None:
    job = job_of(tmp_path, ROWS)
    to = tmp_path / "kept.jsonl"
    with (tmp_path / "seeds" / "own.jsonl").open("a") as file:
        file.write(json.dumps(chat(4, id="new")) + "\n")
    with pytest.raises(ExportError, match=r"corpus: rows still to be made or decided: 1; run the job first"):
        write_filtered(job, to, ["accept"])
    Rehearsal().run(job)
    write_filtered(job, to, ["accept"])
    with pytest.raises(ExportError, match=r"kept\.jsonl: is there already"):
        write_filtered(job, to, ["accept"])
    only = job_of(tmp_path, [chat(2)])
    with pytest.raises(ExportError, match=r"no dialogue is left to write: 1 rows decided reject"):
        write_filtered(only, tmp_path / "none.jsonl", ["accept"])
    (tmp_path / "seeds" / "own.jsonl").unlink()
    with pytest.raises(SourceError, match="matches no file"):
        write_filtered(only, tmp_path / "none.jsonl", ["accept"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "job.yaml", "kept.jsonl", "seeds"]
