"""Any name of a place will do: every reader and every command works on a corpus with such a name, or it is refused
before anything is made."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import boto3
import datasets
import polars as pl
import pyarrow.dataset
import pytest
import ray
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from factory.base.places import absolute, in_shell, plain
from factory.running.run import run
from factory.store.corpus import Corpus
from factory.store.records import Row
from factory.store.storage import Storage, StorageError
from factory.store.table import CorpusError
from tests.cli.test_commands import call
from tests.jobs import scripted_job, write_job, write_personas
from tests.training.corpora import dialogue, write_corpus

F = TypeVar("F", bound=Callable[..., Any])

NASTY = "a b%20c#d?[x]{a}*&+'\"\\é-e\u0301:😀^|$`"
NAMES = (
    "my [x] {a}*", "donnée e\u0301 😀", "100%", "a%20b", "a#b?c", "it's \"a&b+c\\d\"", "~", "~nobody else", "--json",
    " blank ", ":smile:$HOME=a::b", "a^b|c`d", "line\nbreak", NASTY,
)  # fmt: skip
ROWS = [dialogue(number) for number in range(3)]


def names(alphabet: str) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=1, max_size=12).filter(lambda name: name not in (".", ".."))


def said(rows: list[Row]) -> set[str]:
    return {row.row_id for row in rows}


def assert_read(corpus: Corpus, folder: Path) -> None:
    """Fails unless each loader and each command that reads gives the rows."""
    assert said(list(corpus.rows())) == said(ROWS)
    assert set(corpus.scan().collect()["row_id"]) == said(ROWS)
    assert set(corpus.to_polars(columns=["row_id"], version=0).collect()["row_id"]) == said(ROWS)
    assert set(corpus.to_datasets(columns=["row_id"])["row_id"]) == said(ROWS)
    assert {row["row_id"] for row in corpus.to_torch(columns=["row_id"])} == said(ROWS)
    shown = call("status", "--", corpus.root)
    opened: dict[str, pl.DataFrame] = {}
    exec(f"import polars; import factory; {open_line(shown)}", opened)  # noqa: S102 -- it is ours
    assert set(opened["rows"]["row_id"]) == said(ROWS)
    assert json.loads(call("status", "--json", "--", corpus.root))["corpus"] == corpus.root
    assert ROWS[0].turns[0].text in call("show", "--", corpus.root)
    assert json.loads(call("explain", "--json", "--", corpus.root, ROWS[1].row_id))["row"]["row_id"] == ROWS[1].row_id
    assert json.loads(call("log", "--json", "--", corpus.root))["versions"][-1]["rows"] == len(ROWS)
    assert json.loads(call("diff", "--json", "--", corpus.root, "0", "0"))["rows"] == 0
    assert json.loads(call("gc", "--json", "--keep-days", "0", "--", corpus.root))["bytes"] == 0
    call("card", "--", corpus.root)
    assert "datasets" in Storage(corpus.root).read_bytes("README.md").decode()
    call("export", "--to", f"{corpus.root}/for trainers", "--", corpus.root, "plain")
    exported = f"{corpus.root}/for trainers"
    assert Storage(exported).exists("train-00000-of-00001.parquet")
    assert f"as version {corpus.table.version() + 1}: 3 rows" in call("restore", "--", corpus.root, "0")  # type: ignore[operator]
    assert said(list(corpus.rows())) == said(ROWS)


def open_line(shown: str) -> str:
    """What `status` says that opens the corpus, put into `rows`."""
    line = shown.partition("open it")[2].strip()
    statement, _, expression = line.partition("; ")
    return f"{statement}; rows = {expression}"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("cache")


def each_of(names: Iterable[str]) -> Callable[[F], F]:
    """The names as explicit examples."""
    return lambda test: functools.reduce(lambda decorated, name: example(name)(decorated), names, test)


@each_of(NAMES)
@settings(deadline=None, max_examples=3, derandomize=True)
@given(names("a%20#?[]{}*&+'\"\\~ é\u0301😀-:.^|<>`$!=\t\n"))
def test_a_corpus_of_any_name_is_written_and_read(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("names")
    write_corpus(folder / name, ROWS)
    assert os.listdir(folder) == [name]
    assert_read(Corpus(str(folder / name)), folder)
    assert os.listdir(folder) == [name]


@pytest.mark.parametrize("name", ["a b%20[x]", "-dash", "~nobody else", "a::b"])
def test_a_relative_name_is_read_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_corpus(tmp_path / name, ROWS)
    monkeypatch.chdir(tmp_path)
    assert_read(Corpus(name), tmp_path)


def test_a_home_is_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "my home"))
    write_corpus(tmp_path / "my home" / "corpus", ROWS)
    assert_read(Corpus("~/corpus"), tmp_path)
    assert absolute("~root/x") == str(Path("~root/x").expanduser().resolve())
    assert absolute("~/x", tmp_path / "elsewhere") == str(tmp_path / "my home" / "x")


@pytest.mark.parametrize("name", [name for name in NAMES if not re.search("%20|[#?:\n]", name)])
def test_a_key_of_any_name_is_written_and_read(bucket: str, tmp_path: Path, name: str) -> None:
    root = f"{bucket}/{tmp_path.name}/{name}"
    corpus = Corpus(root)
    write_corpus(root, ROWS)  # type: ignore[arg-type]
    assert_read(corpus, tmp_path)
    found = boto3.client("s3").list_objects_v2(Bucket="corpora", Prefix=f"{tmp_path.name}/")["Contents"]
    assert {one["Key"].split("/")[1] for one in found} == {name}


@pytest.mark.parametrize("name", ["a%20b", "a#b", "a?b", "a:b", "line\nbreak", "a//b", "a/../b"])
def test_a_key_that_cannot_be_read_is_refused_before_anything_is_made(bucket: str, tmp_path: Path, name: str) -> None:
    write_personas(tmp_path, 4)
    with pytest.raises((StorageError, CorpusError), match=re.escape(f"{bucket}/{tmp_path.name}/{name}: ")):
        run(scripted_job(tmp_path, corpus=f"{bucket}/{tmp_path.name}/{name}"))
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket="corpora", Prefix=f"{tmp_path.name}/")


def test_a_name_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"\\udcff: the name is not UTF-8; rename the folder"):
        Corpus(f"{tmp_path}/\udcff")


@settings(deadline=None)
@given(names("".join(map(chr, range(1, 0x250)))))
def test_a_shell_hands_on_the_place_that_was_meant(name: str) -> None:
    assume("/" not in name)
    (handed,) = shlex.split(in_shell(name))
    assert os.path.normpath(handed) == os.path.normpath(name)
    assert not handed.startswith("-")


def test_only_what_no_library_escapes_is_plain() -> None:
    assert plain("/home/me/out/a-b_c.d~e")
    assert not [name for name in ("a b", "é", "a%b", "a#b", "a?b", "[x]", "{a}", "a\\b") if plain(f"/{name}")]


def test_a_job_in_a_folder_of_any_name_runs_and_every_command_reads_its_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, from elsewhere, on the same nasty name of the job file's folder, the corpus, the card, the report
    and the export; and Ray's own reader."""
    folder = tmp_path / NASTY
    folder.mkdir()
    write_personas(folder, 4)
    write_job(folder, corpus=f"../{NASTY} corpus")
    root = f"{NASTY} corpus"
    monkeypatch.chdir(tmp_path)
    call("run", f"{NASTY}/job.yaml")
    for command in (
        ["plan", f"{NASTY}/job.yaml"],
        ["status", root],
        ["show", root],
        ["log", root],
        ["diff", root, "0", "0"],
        ["restore", root, "0"],
        ["gc", root],
        ["report", root, "--to", f"{NASTY}/{NASTY}.html"],
        ["card", root, "--to", f"{NASTY}/{NASTY}.md"],
        ["export", root, "chat", "--to", f"{NASTY}/{NASTY}.chat"],
    ):
        call(*command)
    assert {f"{NASTY}.{end}" for end in ("html", "json", "md", "chat")} <= set(os.listdir(folder))
    assert pyarrow.dataset.dataset(folder / f"{NASTY}.chat").count_rows() > 0
    corpus = Corpus(str(tmp_path / root))
    row = next(corpus.rows())
    assert row.row_id in call("explain", root, row.row_id[:12], "--json")
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        assert {one["row_id"] for one in corpus.to_ray(columns=["row_id"]).take_all()} == said(list(corpus.rows()))
    finally:
        ray.shutdown()
    assert sorted(os.listdir(tmp_path)) == sorted([NASTY, root])


def test_aliases_are_gone_with_their_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    write_corpus(tmp_path / "a b", ROWS)
    corpus = Corpus(str(tmp_path / "a b"))
    assert len(corpus.table.shards()) == 1
    assert len(os.listdir(scratch)) == 1
    del corpus
    assert os.listdir(scratch) == []
    odd = tmp_path / f"[{uuid.uuid4().hex}]"
    odd.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(odd))
    with pytest.raises(CorpusError, match=re.escape(f"{odd}, needs a name without")):
        Corpus(str(tmp_path / "a b")).table.shards()
