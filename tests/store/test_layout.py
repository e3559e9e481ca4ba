"""A table grows with its scores: readers see the columns of each version that has them, and no old file changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import ray.data
from deltalake import DeltaTable

from factory.base.fingerprint import blake
from factory.store.corpus import Corpus
from factory.store.records import ROW_SCHEMA, Row, ScoreColumns, SeedRef, Speaker, rows_to_table
from factory.store.shards import Shard
from factory.store.table import CorpusError, Table
from factory.store.versions import restore
from tests.rehearsal import Rehearsal, job_in, rows_of, settled, some_personas, write_seeds

NARROW = {"fluency": pa.struct([("share", pa.float64())])}
WIDE = {"fluency": pa.struct([("share", pa.float64()), ("words", pa.int32())])}
OTHER = {"screen": pa.struct([("safe", pa.bool_())])}
BARE, SCORED, WIDER = 0, 2, 4
"""Versions: without a score, with one in some rows, with a field more in some; each is made after a growth."""
SHARES = {BARE: [None] * 6, SCORED: [0.2, 0.3, None, None, None, None], WIDER: [0.2, 0.3, 0.4, 0.5, None, None]}
WORDS = {WIDER: [None, None, 4, 5, None, None]}


def a_row(number: int, **fluency: Any) -> Row:
    row = Row(blake("row", str(number)), "generated", 0, [SeedRef("s", ["f", "t", "a"], "a.jsonl", number)], [])
    row.speakers, row.decision = [Speaker("s", "s")], "accept"
    if fluency:
        row.scores["fluency"] = fluency
    return row


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Three shards of two rows; the first is scored, then the second with a field more; at last one score is added that
    no row has."""
    corpus = Corpus(str(tmp_path / "corpus"))
    table = corpus.table

    def shard(columns: ScoreColumns, *rows: Row) -> Shard:
        return table.write(rows_to_table(list(rows), columns))

    table.shards()
    first, second, third = (shard({}, a_row(number), a_row(number + 1)) for number in (0, 2, 4))
    table.commit([first, second, third], [], "made")
    before = contents(corpus)
    scored = shard(NARROW, a_row(0, share=0.2), a_row(1, share=0.3))
    table.grow(NARROW, "run")
    table.commit([scored], [first], "scored")
    wider = shard(WIDE, a_row(2, share=0.4, words=4), a_row(3, share=0.5, words=5))
    table.grow(WIDE, "run")
    table.commit([wider], [second], "scored anew")
    table.grow(OTHER, "run")
    assert before.items() <= contents(corpus).items()
    return corpus


def contents(corpus: Corpus) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(corpus.root, "shards").iterdir()}


def shares(rows: Any, field: str = "share") -> list[Any]:
    ordered = sorted(rows, key=lambda row: row["seeds"][0]["line"])
    return [(row["fluency"] or {field: None})[field] for row in ordered]


@pytest.fixture(scope="module")
def some_ray() -> Iterator[None]:
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


LOADERS: dict[str, Callable[..., Any]] = {
    "polars": lambda corpus, **asked: corpus.to_polars(**asked).collect().to_dicts(),
    "datasets": lambda corpus, **asked: list(corpus.to_datasets(**asked)),
    "ray": lambda corpus, **asked: corpus.to_ray(**asked).take_all(),
    "torch": lambda corpus, **asked: list(corpus.to_torch(**asked)),
}


@pytest.mark.usefixtures("some_ray")
@pytest.mark.parametrize("loader", LOADERS)
def test_loaders_give_the_columns_of_the_version(
    corpus: Corpus, loader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    load = LOADERS[loader]
    bare = load(corpus, version=BARE)
    assert {tuple(row) for row in bare} == {tuple(ROW_SCHEMA.names)}
    with pytest.raises(CorpusError, match="no column fluency; there are row_id, "):
        load(corpus, version=BARE, columns=["fluency"])
    assert shares(load(corpus, version=SCORED)) == SHARES[SCORED]
    newest = load(corpus, columns=["fluency", "seeds", "screen"], decisions=["accept", "flag"])
    assert {tuple(row) for row in newest} == {("fluency", "seeds", "screen")}
    assert (shares(newest), shares(newest, "words")) == (SHARES[WIDER], WORDS[WIDER])
    assert {row["screen"] and row["screen"]["safe"] for row in newest} == {None}
    assert len(load(corpus, columns=["fluency"])) == 6
    assert load(corpus, decisions=["reject"]) == []


def test_rows_have_all_fields_of_the_scores_they_have(corpus: Corpus) -> None:
    scores = [row.scores for row in sorted(corpus.rows(), key=lambda row: row.seeds[0].line)]
    assert scores[0] == {"fluency": {"share": 0.2, "words": None}}
    assert scores[3:5] == [{"fluency": {"share": 0.5, "words": 5}}, {}]
    assert {tuple(row.scores.get("fluency", ())) for row in corpus.rows(version=SCORED)} == {("share",), ()}


def test_readers_that_know_nothing_of_us_see_the_columns(corpus: Corpus) -> None:
    for version in (BARE, SCORED, WIDER):
        frame = pl.read_delta(corpus.root, version=version)
        assert ("fluency" in frame.columns) == (version != BARE)
        assert version == BARE or shares(frame.to_dicts()) == SHARES[version]
    assert shares(pl.read_delta(corpus.root).to_dicts(), "words") == WORDS[WIDER]
    files, mean = corpus.files(), sum(x for x in SHARES[WIDER] if x) / 4
    for order in (files, files[::-1]):
        asked = f"SELECT avg(fluency.share), count(fluency.words) FROM read_parquet({order}, union_by_name=true)"
        assert duckdb.sql(asked).fetchall() == [(pytest.approx(mean), 2)]
    layout = pa.schema(DeltaTable(corpus.root).schema().to_arrow())
    assert shares(ds.dataset(files, schema=layout).to_table().to_pylist(), "words") == WORDS[WIDER]
    tables = pa.concat_tables([pq.read_table(file) for file in files], promote_options="permissive")
    assert shares(tables.to_pylist()) == SHARES[WIDER]
    loaded = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=f"{corpus.root}.cache",
        features=datasets.Features.from_arrow_schema(layout),
    )  # fmt: skip
    assert shares(loaded) == SHARES[WIDER]


def test_a_column_that_is_wanted_no_more_stays(corpus: Corpus) -> None:
    table = Table(corpus.root, ROW_SCHEMA)
    version = [table.shards(), table.version()][1]
    table.grow({}, "run")
    table.grow(NARROW | OTHER, "run")
    assert table.version() == version
    assert table.layout == pa.schema([*ROW_SCHEMA, *(pa.field(name, kind) for name, kind in (WIDE | OTHER).items())])
    restore(corpus, BARE)
    assert shares(Corpus(corpus.root).to_polars().collect().to_dicts()) == SHARES[BARE]


def test_growth_is_of_the_newest_version_whichever_was_looked_at(corpus: Corpus) -> None:
    table = Table(corpus.root, ROW_SCHEMA)
    table.shards()
    table.shards_at(BARE)
    before = table.version()
    table.grow(NARROW, "run")
    assert table.version() == before


def test_a_field_keeps_its_type(corpus: Corpus) -> None:
    with pytest.raises(CorpusError, match=r"fluency.share is stored as double, and would now be string; give the sc"):
        corpus.table.grow({"fluency": pa.struct([("share", pa.string())])}, "run")


def test_a_corpus_of_an_older_layout_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """Rows had the pairs of one score as a list, and its means in a struct that all rows had."""
    pair = pa.struct([("check", pa.string()), ("premise", pa.string()), ("contradiction", pa.float32())])
    older = pa.schema(
        [
            *(one for one in ROW_SCHEMA if one.name not in ("memory", "details", "decision", "reasons", "stages")),
            ("scores", pa.list_(pair)),
            ("consistency", pa.struct([("c_score", pa.float64())])),
            *(ROW_SCHEMA.field(name) for name in ("decision", "reasons", "stages")),
        ]
    )
    made = Table(str(tmp_path), older)
    made.commit([made.write(older.empty_table())], [], "made")
    corpus = Corpus(str(tmp_path))
    for use in (corpus.scan, corpus.files, corpus.to_polars, corpus.to_torch, lambda: list(corpus.rows())):
        with pytest.raises(CorpusError) as caught:
            use()
        assert "made by another version of the factory, with other columns; give the job a new " in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_run_adds_a_score_to_a_corpus_made_without(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(5))
    bare = job_in(tmp_path, "scores={}", "select=null")
    Rehearsal().run(bare)
    corpus = Corpus(bare.corpus)
    before, version = contents(corpus), corpus.table.version()
    assert "consistency" not in corpus.to_polars().collect_schema()
    version = corpus.table.version()
    Rehearsal().run(job_in(tmp_path))
    assert before.items() <= contents(corpus).items()
    assert "consistency" not in corpus.to_polars(version=version).collect_schema()
    coverage = corpus.to_polars().select(pl.col("consistency").struct.field("coverage")).collect().to_series()
    assert coverage.null_count() == 0
    again = job_in(tmp_path, "scores={}", "select=null")
    Rehearsal().run(again)
    assert settled(again)
    assert all(row.scores["consistency"]["coverage"] is not None for row in rows_of(again).values())
