"""The files of an export: sharded, the same each time, and never half of an export that looks whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pyarrow.dataset as pads
import pytest

from factory.export import Export, ExportError, Form, export
from factory.export.writing import Files
from factory.store.corpus import Corpus
from factory.store.records import rows_to_table
from factory.store.storage import Storage, StorageError
from tests.training.corpora import SCORES, dialogue, write_corpus

SERIES = re.compile(r"(train|test)-(\d{5})-of-(\d{5})\.(parquet|jsonl\.gz)")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("files")
    write_corpus(root, [dialogue(number) for number in range(40)])
    return str(root)


def export_small(corpus: str, to: str | Path, form: Form = "parquet") -> Export:
    return export(corpus, "chat", str(to), form=form, splits={"test": 0.5}, rows_per_file=7)


def whole(names: list[str]) -> dict[str, bool]:
    """Of each split of which there are files, whether there are all."""
    found: dict[str, set[int]] = {}
    counts: dict[str, int] = {}
    for name in names:
        if match := SERIES.fullmatch(name):
            found.setdefault(match[1], set()).add(int(match[2]))
            counts[match[1]] = int(match[3])
    return {split: numbers == set(range(counts[split])) for split, numbers in found.items()}


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_files_hold_so_many_rows_and_the_same_bytes_each_time(
    corpus: str, tmp_path: Path, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = export_small(corpus, tmp_path / "one", form)
    with monkeypatch.context() as later:
        later.setattr("time.time", lambda: 2e9)
        export_small(corpus, tmp_path / "two", form)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(["_export.json", *told.files["train"], *told.files["test"]])
    assert whole(names) == {"train": True, "test": True}
    for name in names[1:]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    if form == "parquet":
        counts = [pads.dataset(tmp_path / "one" / name).count_rows() for name in told.files["train"]]
        assert counts == [7] * (len(counts) - 1) + [told.rows["train"] - 7 * (len(counts) - 1)]
        assert pads.dataset(tmp_path / "one").count_rows() == sum(told.rows.values())


def test_a_place_that_holds_files_is_refused(corpus: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export_small(corpus, tmp_path / "out")
    with pytest.raises(ExportError, match=r"holds files already \(_export.json\); delete them"):
        export_small(corpus, tmp_path / "out")


def dying(monkeypatch: pytest.MonkeyPatch, name: str, at: int, error: type[BaseException]) -> None:
    """Raise at the `at`-th call of a method of Storage, before it does anything."""
    real: Callable[..., object] = getattr(Storage, name)
    calls = 0

    def call(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == at:
            raise error("ordered")
        return real(*arguments)

    monkeypatch.setattr(Storage, name, call)


@pytest.mark.parametrize("error", [StorageError, KeyboardInterrupt])
@pytest.mark.parametrize(("name", "at"), [("upload", 1), ("upload", 4), ("move", 1), ("move", 3), ("write_bytes", 1)])
def test_what_fails_is_taken_away(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, at: int, error: type[BaseException]
) -> None:
    with monkeypatch.context() as patched:
        dying(patched, name, at, error)
        with pytest.raises(error):
            export_small(corpus, tmp_path / "out")
    assert Storage(str(tmp_path / "out")).files("") == []
    export_small(corpus, tmp_path / "out")


def test_a_dead_export_never_looks_whole(corpus: str, tmp_path: Path) -> None:
    count = sum(len(names) for names in export_small(corpus, tmp_path / "whole").files.values())
    for name, calls in (("upload", count), ("move", count)):
        for at in range(1, calls + 1):
            to = tmp_path / f"{name}{at}"
            with pytest.MonkeyPatch.context() as patched:
                dying(patched, name, at, KeyboardInterrupt)
                patched.setattr(Files, "__exit__", lambda *_: None)
                with pytest.raises(KeyboardInterrupt):
                    export_small(corpus, to)
            seen = whole([path.name for path in to.iterdir()] if to.exists() else [])
            assert not seen.get("train", False), (name, at)
            if at > 1 or name == "move":
                with pytest.raises(ExportError, match="another export is running here, or died here"):
                    export_small(corpus, to)


def test_an_object_store_takes_an_export(corpus: str, bucket: str, tmp_path: Path) -> None:
    told = export_small(corpus, f"{bucket}/exports/chat")
    export_small(corpus, tmp_path / "out")
    store = Storage(f"{bucket}/exports/chat")
    assert store.list("") == sorted(path.name for path in (tmp_path / "out").iterdir())
    for name in told.files["train"]:
        assert store.read_bytes(name) == (tmp_path / "out" / name).read_bytes()
    with pytest.raises(ExportError, match="holds files already"):
        export_small(corpus, f"{bucket}/exports/chat")


def test_what_is_written_holds_no_credentials(bucket: str) -> None:
    with_key = bucket.replace("s3://", "s3://AKIA:hushhush@")
    table = Corpus(f"{with_key}/keyed").table
    table.shards()
    table.commit([table.write(rows_to_table([dialogue(1)], SCORES))], [], "made")
    export(f"{with_key}/keyed", "chat", f"{with_key}/exports/keyed")
    manifest = Storage(f"{bucket}/exports/keyed").read_bytes("_export.json").decode()
    assert f'"{bucket}/keyed"' in manifest
    assert "hush" not in manifest


def test_a_place_that_cannot_be_written_is_named(corpus: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=str(tmp_path / "file")):
        export_small(corpus, tmp_path / "file" / "out")


def test_nothing_to_export_is_an_error_and_leaves_nothing(corpus: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="nothing to export as chat: left out 40 rows decided accept"):
        export(corpus, "chat", str(tmp_path / "out"), decisions=("reject",))
    assert not (tmp_path / "out").exists()


def test_a_version_can_be_named(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    table = write_corpus(root, [dialogue(0)]).table
    table.commit([table.write(rows_to_table([dialogue(1)], SCORES))], [], "more")
    assert export(str(root), "plain", str(tmp_path / "new")).rows == {"train": 2}
    old = export(str(root), "plain", str(tmp_path / "old"), version=0)
    assert (old.version, old.rows) == (0, {"train": 1})


def test_the_version_that_stood_at_the_start_is_exported(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    table = write_corpus(root, [dialogue(number) for number in range(8)], per_shard=2).table
    shards = table.shards()

    def drop_all(_: str, count: int) -> None:
        if count == 1:
            table.commit([], shards, "dropped")

    told = export(str(root), "plain", str(tmp_path / "out"), report=drop_all)
    assert (told.version, told.rows) == (0, {"train": 8})
