"""Seeds from the Hugging Face Hub, from a stand-in."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.base.packages import MissingPackageError
from factory.seeds.archives import find_files
from factory.seeds.files import SourceError, stamp
from tests.hub_files import COMMIT, TOKEN, Hub, hub_of
from tests.reading import outcome, personas, read

ROW = json.dumps({"persona": "I ski."}).encode()
SKI = [(("I ski.",),)]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    for name in ("ann/talks/data/b.jsonl", "ann/talks/data/a.jsonl", "ann/talks/data/.h.jsonl", "ann/private/p.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(ROW)
    (tmp_path / "ann/talks/dataset_infos.json").write_text("{}")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with hub_of(tmp_path) as (address, handler):
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        files = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        yield handler


def found(path: str) -> list[str]:
    return [file.name for file in find_files(path, "auto", Path())]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ["data/a.jsonl", "data/b.jsonl"]),
        ("/", ["data/a.jsonl", "data/b.jsonl"]),
        ("@main", ["data/a.jsonl", "data/b.jsonl"]),
        (f"@{COMMIT}/data/a.jsonl", ["data/a.jsonl"]),
        ("/data", ["data/a.jsonl", "data/b.jsonl"]),
        ("/data/", ["data/a.jsonl", "data/b.jsonl"]),
        ("/data/[!a].jsonl", ["data/b.jsonl"]),
        ("@main/**/*.jsonl", ["data/a.jsonl", "data/b.jsonl"]),
        ("/*.json", ["dataset_infos.json"]),
    ],
)
def test_paths_folders_globs_and_whole_repositories(hub: type[Hub], path: str, expected: list[str]) -> None:
    address = f"hf://datasets/ann/talks{path}"
    top = address[: len("hf://datasets/ann/talks")] + (path.partition("/")[0] if path.startswith("@") else "")
    assert found(address) == [f"{top}/{name}" for name in expected]


def test_a_whole_repository_is_its_first_format(hub: type[Hub], tmp_path: Path) -> None:
    pq.write_table(pa.table({"persona": ["I cook.", "I read."]}), tmp_path / "ann/talks/train.parquet")
    items = read(Path(), "hf://datasets/ann/talks")
    assert personas(items) == [(("I cook.",),), (("I read.",),)]
    assert [item.source for item in items] == ["hf://datasets/ann/talks/train.parquet"] * 2


def test_what_is_read_is_of_one_commit_and_kept_under_it(hub: type[Hub]) -> None:
    assert personas(read(Path(), "hf://datasets/ann/talks/data/a.jsonl")) == SKI
    assert f"/datasets/ann/talks/resolve/{COMMIT}/data/a.jsonl" in hub.asked
    (file,) = find_files("hf://datasets/ann/talks/data/a.jsonl", "auto", Path())
    assert stamp(file) == COMMIT


def test_the_token_is_that_of_the_environment(hub: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match=r"ann/private: .*no such repository, or your token may not.*set HF_TOKEN"):
        read(Path(), "hf://datasets/ann/private")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert personas(read(Path(), "hf://datasets/ann/private")) == SKI
    assert f"Bearer {TOKEN}" in hub.tokens


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("ann/none/p.jsonl", "cannot be read: there is no such repository"),
        ("ann/gated", "accept conditions first, at http://127.0.0.1:.*/datasets/ann/gated"),
        ("ann/talks@v9/p.jsonl", "it has no revision v9"),
        ("ann/talks/none.jsonl", "hf://datasets/ann/talks/none.jsonl matches no file"),
        ("ann/talks/*.jsonl", r"talks/\*.jsonl matches no file"),
        ("ann/empty", "is a repository without a data file .*: name its files"),
        ("squad", "no valid address: .*'namespace/name'"),
    ],
)
def test_what_cannot_be_had_is_told(hub: type[Hub], tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "ann/empty").mkdir()
    with pytest.raises(SourceError, match=message):
        find_files(f"hf://datasets/{path}", "auto", Path())


def test_a_hub_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:9 cannot be asked: .*refused"):
        find_files("hf://datasets/ann/talks", "auto", Path())


def test_a_web_page_in_place_of_a_file_is_a_bad_row(hub: type[Hub], tmp_path: Path) -> None:
    (tmp_path / "ann/talks/data/a.jsonl").write_bytes(b"<!doctype html><html></html>")
    assert outcome(read(Path(), "hf://datasets/ann/talks/data/a.jsonl")) == [(1, "foreign")]


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingPackageError, match=r"reading from hf:// needs .*persona-factory\[hub\]"):
        find_files("hf://datasets/ann/talks", "auto", Path())
