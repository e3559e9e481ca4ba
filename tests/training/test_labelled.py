from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.seeds.files import SourceError
from factory.training.labelled import LABELS, PERSON, STRATUM, PairFile, read_pairs

ROWS = [{"premise": f"I am {n}.", "hypothesis": f"I'm {n}.", "label": label} for n, label in enumerate(LABELS)]


def written(folder: Path, name: str, rows: list[dict[str, str]] = ROWS) -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        numbered = [{**row, "label": LABELS.index(row["label"])} for row in rows]
        pq.write_table(pa.Table.from_pylist(numbered), path)
    elif name.endswith(".csv"):
        path.write_text("\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]))
    else:
        path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    return path


@pytest.mark.parametrize("name", ["pairs.jsonl.gz", "pairs.csv", "pairs.parquet"])
def test_every_format_gives_the_same_pairs(tmp_path: Path, name: str) -> None:
    found = read_pairs([PairFile(path=str(written(tmp_path, name)))])
    assert [(one.premise, one.hypothesis, one.label) for one in found.pairs] == [tuple(row.values()) for row in ROWS]
    assert not found.left_out


def test_bad_rows_are_counted_and_good_ones_kept(tmp_path: Path) -> None:
    path = tmp_path / "snli.tsv"
    path.write_text("a\tb\tgold\nI ski.\tI skate.\t-\n\tI skate.\tneutral\nI ski.\tI do.\tEntailment\nI ski.\n")
    found = read_pairs([PairFile(path=str(path), premise="a", hypothesis="b", label="gold")])
    assert [(one.premise, one.label, one.source) for one in found.pairs] == [("I ski.", "entailment", "snli")]
    assert found.left_out == {"no gold label": 1, "empty text": 1, "csv": 1}


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    found = read_pairs([PairFile(path=str(written(tmp_path, "pairs.csv")), label="gold")])
    assert found.left_out == {"no column gold": 3}


def test_some_can_be_skipped_and_the_rest_limited(tmp_path: Path) -> None:
    path = str(written(tmp_path, "pairs.csv"))
    found = read_pairs([PairFile(path=path, skip=1, limit=1), PairFile(path=path, skip=2)])
    assert [pair.label for pair in found.pairs] == ["neutral", "contradiction"]


def test_no_file_is_an_error() -> None:
    with pytest.raises(SourceError, match="nowhere"):
        read_pairs([PairFile(path="nowhere.csv")])


@pytest.mark.parametrize("name", ["pairs.jsonl.gz", "pairs.csv", "pairs.parquet"])
def test_who_labelled_a_pair_is_read_where_a_file_tells(tmp_path: Path, name: str) -> None:
    told = [row | {"labelled_by": who} for row, who in zip(ROWS, (PERSON, "", "org/model@main"), strict=True)]
    found = read_pairs([PairFile(path=str(written(tmp_path, name, told)))])
    assert [pair.labelled_by for pair in found.pairs] == [PERSON, None, "org/model@main"]
    assert {pair.labelled_by for pair in read_pairs([PairFile(path=str(written(tmp_path, name)))]).pairs} == {None}


@pytest.mark.parametrize("name", ["pairs.jsonl.gz", "pairs.csv", "pairs.parquet"])
def test_the_stratum_of_a_drawn_pair_is_read(tmp_path: Path, name: str) -> None:
    strata = [("d", "a", "12", "40", "m"), ("d", "b", "28.0", "40", ""), ("d", "b", "many", "40", "m")]
    told = [row | dict(zip(STRATUM, stratum, strict=True)) for row, stratum in zip(ROWS, strata, strict=True)]
    found = read_pairs([PairFile(path=str(written(tmp_path, name, told)))])
    strata_read = [pair.stratum for pair in found.pairs]
    assert [(one.draw, one.stratum, one.pairs, one.of, one.scored_by) for one in strata_read if one] == [
        ("d", "a", 12, 40, "m"), ("d", "b", 28, 40, ""),
    ]  # fmt: skip
    assert found.left_out == {"broken stratum": 1}


def test_a_pair_that_waits_for_its_label_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(row | {"label": None}) for row in ROWS))
    assert read_pairs([PairFile(path=str(path))]).left_out == {"no gold label": 3}
