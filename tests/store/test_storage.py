from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from factory.store.storage import Storage, StorageError


def test_a_file_is_read_back_and_listed_and_deleted(tmp_path: Path) -> None:
    storage = Storage(f"{tmp_path}/new/root/")
    table = pa.table({"a": [1, 2], "b": ["x", "ä"]})
    storage.write_bytes("deep/er/b.json", b"{}")
    size = storage.write_parquet("deep/a.parquet", table)
    assert size == (tmp_path / "new/root/deep/a.parquet").stat().st_size
    assert storage.list("deep") == ["deep/a.parquet", "deep/er/b.json"]
    assert storage.read_bytes("deep/er/b.json") == b"{}"
    assert storage.read_parquet("deep/a.parquet").equals(table)
    assert storage.read_parquet("deep/a.parquet", ("b",)).column_names == ["b"]
    storage.write_arrow("deep/c.arrow", table)
    assert storage.read_arrow("deep/c.arrow").equals(table)
    storage.delete("deep/a.parquet")
    assert not storage.exists("deep/a.parquet")
    assert storage.exists("deep/er/b.json")
    assert not storage.exists("deep")


@pytest.mark.parametrize("where", ["disk", "store"])
def test_something_is_done_with_each_file(tmp_path: Path, where: str, request: pytest.FixtureRequest) -> None:
    root = str(tmp_path) if where == "disk" else f"{request.getfixturevalue('bucket')}/each"
    storage, names = Storage(root), [f"files/{number:02}" for number in range(40)]
    storage.each(lambda name: storage.write_bytes(name, b"x"), names)
    assert storage.list("files") == names
    storage.each(storage.delete, names[1:])
    assert storage.list("files") == names[:1]
    with pytest.raises(StorageError, match="no such file"):
        storage.each(storage.read_bytes, names)


@pytest.mark.parametrize("where", ["disk", "store"])
def test_a_file_gets_another_name_and_a_folder_goes(tmp_path: Path, where: str, request: pytest.FixtureRequest) -> None:
    storage = Storage(str(tmp_path) if where == "disk" else f"{request.getfixturevalue('bucket')}/moved")
    for name in ("aside/a", "aside/deep/b"):
        storage.write_bytes(name, name.encode())
    storage.move("aside/a", "a")
    assert storage.list("") == ["a", "aside/deep/b"]
    assert storage.read_bytes("a") == b"aside/a"
    storage.delete_folder("aside")
    storage.delete_folder("aside")
    assert storage.list("") == ["a"]
    with pytest.raises(StorageError, match=r"moved/b|/b: "):
        storage.move("aside/a", "b")


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert Storage(str(tmp_path / "nowhere")).list("_staging") == []


def test_a_write_that_breaks_off_leaves_nothing_to_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path))
    storage.write_bytes("f/a", b"old")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fails)
        for name in ("f/a", "f/b"):
            with pytest.raises(StorageError, match="disk full"):
                storage.write_bytes(name, b"new and longer")
    assert [file.path for file in storage.files("f")] == ["f/a"]
    assert storage.read_bytes("f/a") == b"old"


def fails(path: Path, target: Path) -> Path:
    raise OSError("disk full")


@pytest.mark.parametrize(
    "root", ["ftp://host/folder", "https://host/folder", "://", "s3:///folder", "s3://a bucket/x", "abfs://", "foo://x"]
)
def test_a_root_that_is_none_is_refused_by_name(root: str) -> None:
    with pytest.raises(StorageError) as caught:
        Storage(root)
    assert str(caught.value).startswith(f"{root}: ")
    assert str(caught.value).endswith("use a path or an s3://, gs:// or abfs:// URI")


def test_a_root_beside_the_working_directory_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = Storage("corpus")
    monkeypatch.chdir("/")
    storage.write_bytes("a", b"1")
    assert (tmp_path / "corpus" / "a").read_bytes() == b"1"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=f"{tmp_path}/file/below/a: cannot be written: .*Not a directory"):
        Storage(str(tmp_path / "file")).write_bytes("below/a", b"")


def test_a_file_of_any_size_goes_up_and_comes_back(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"0123456789" * 1_000_000)
    storage = Storage(str(tmp_path / "root"))
    storage.upload(tmp_path / "big", "folder/copy")
    assert storage.local("folder/copy", tmp_path).read_bytes() == (tmp_path / "big").read_bytes()
    assert storage.list("folder") == ["folder/copy"]


def test_a_missing_file_is_told_from_one_that_cannot_be_read(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    for read in (storage.read_bytes, storage.read_parquet):
        with pytest.raises(FileNotFoundError, match=f"{tmp_path}/f/a: cannot be read: there is no such file") as caught:
            read("f/a")
        assert isinstance(caught.value, StorageError)
    storage.delete("f/a")
    storage.write_bytes("f/a", b"no Parquet")
    with pytest.raises(
        StorageError, match=f"{tmp_path}/f/a: cannot be read: .*magic bytes.*; check the path"
    ) as caught:
        storage.read_parquet("f/a")
    assert not isinstance(caught.value, FileNotFoundError)
