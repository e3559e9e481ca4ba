"""Seeds in zip and tar archives: which of their files are read, in what order, and what damage costs."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import boto3
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.seeds import compressed
from factory.seeds.archives import find_files
from factory.seeds.files import SourceError, stamp
from factory.seeds.source import BadSeed
from tests.reading import outcome, personas, read

SKI, COOK = b'{"persona": "I ski."}\n', b'{"persona": "I cook."}\n'
FILES = {"b.jsonl": SKI, "deep/a.jsonl": COOK, "README.md": b"Hello.", "__MACOSX/._b.jsonl": b"\0", "deep/c.txt": b"A."}


def zipped(files: Mapping[str, bytes]) -> bytes:
    with zipfile.ZipFile(packed := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("deep")
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


def tarred(files: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    with tarfile.open(fileobj=(packed := io.BytesIO()), mode=mode) as archive:  # type: ignore[call-overload]
        link = tarfile.TarInfo("link.jsonl")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


PACKED: dict[str, Callable[[Mapping[str, bytes]], bytes]] = {
    "p.zip": zipped,
    "p.tar.gz": tarred,
    "p.tgz": tarred,
    "p.TAR": lambda files: tarred(files, "w"),
    "p.tar.xz": lambda files: tarred(files, "w:xz"),
}


def names(base: Path, path: str) -> list[str]:
    return [file.name for file in find_files(path, "auto", base)]


@pytest.mark.parametrize("name", PACKED)
def test_an_archive_stands_for_the_files_in_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PACKED[name](FILES))
    kind = "zip" if name == "p.zip" else "tar"
    first, second, third = (f"{kind}://{one}::{name}" for one in ("b.jsonl", "deep/a.jsonl", "deep/c.txt"))
    items = read(tmp_path, name)
    assert personas(items) == [(("I ski.",),), (("I cook.",),), (("A.",),)]
    assert [item.source for item in items] == [first, second, third]
    assert names(tmp_path, f"{kind}://deep/*.jsonl::{name}") == [second]
    assert names(tmp_path, f"{kind}://**/*.jsonl::{name}") == [first, second]
    assert personas(read(tmp_path, f"{kind}://deep/a.jsonl::{name}")) == [(("I cook.",),)]


@pytest.mark.parametrize("name", ["p.zip", "p.tar.gz"])
def test_names_that_begin_at_the_folder_that_was_packed(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PACKED[name]({"./a.jsonl": SKI, "./deep/b.jsonl": COOK}))
    kind = name[2:5]
    assert personas(read(tmp_path, name)) == [(("I ski.",),), (("I cook.",),)]
    assert names(tmp_path, f"{kind}://*.jsonl::{name}") == [f"{kind}://a.jsonl::{name}"]


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_many_archives_are_not_open_at_once(tmp_path: Path, pack: Callable[[Mapping[str, bytes]], bytes]) -> None:
    suffix = "zip" if pack is zipped else "tgz"
    for number in range(40):
        (tmp_path / f"{number}.{suffix}").write_bytes(pack({"a.jsonl": SKI, "b.jsonl": COOK}))
    before = len(psutil.Process().open_files())
    files = find_files(f"*.{suffix}", "auto", tmp_path)
    for file in files:
        with compressed.open_file(file) as stream:
            assert stream.read() in (SKI, COOK)
    assert len(files) == 80
    assert len(psutil.Process().open_files()) <= before + 2


def test_all_files_of_a_tar_archive_are_read_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.tar").write_bytes(tarred({f"{number}.jsonl": SKI for number in range(9)}, "w"))
    opened: list[str] = []
    was = compressed._raw
    monkeypatch.setattr(compressed, "_raw", lambda file: opened.append(file.name) or was(file))
    assert len(read(tmp_path, "p.tar")) == 1
    assert opened.count("p.tar") <= 4  # `read` lists it twice


def test_files_of_a_tar_archive_in_another_order(tmp_path: Path) -> None:
    (tmp_path / "p.tar.gz").write_bytes(tarred({"a.jsonl": SKI, "b.jsonl": COOK, "a.jsonl ": SKI}))
    files = find_files("tar://*.jsonl::p.tar.gz", "auto", tmp_path)
    for file, data in ((files[1], COOK), (files[0], SKI), (files[0], SKI), (files[1], COOK)):
        with compressed.open_file(file) as stream:
            assert stream.read() == data


def test_files_that_are_compressed_themselves_and_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"persona": ["I read."]}), tmp_path / "p.parquet")
    held = {"a.jsonl.gz": gzip.compress(SKI), "p.parquet": (tmp_path / "p.parquet").read_bytes()}
    for name, pack in PACKED.items():
        (tmp_path / name).write_bytes(pack(held))
        assert personas(read(tmp_path, name)) == [(("I ski.",),), (("I read.",),)]


def test_what_was_parsed_is_kept_as_long_as_the_archive_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "p.zip").write_bytes(zipped(FILES))
    os.utime(tmp_path / "p.zip", (1e9, 1e9))
    stamps = {stamp(file) for file in find_files("p.zip", "auto", tmp_path)}
    os.utime(tmp_path / "p.zip", (1e9, 1e9 + 5))
    assert None not in stamps
    assert stamps.isdisjoint(stamp(file) for file in find_files("p.zip", "auto", tmp_path))


def test_bad_rows_and_damage_are_named_by_archive_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "p.zip").write_bytes(zipped({"d/a.jsonl": SKI + b"no\n"}))
    (bad,) = [item for item in read(tmp_path, "p.zip") if isinstance(item, BadSeed)]
    assert str(bad).startswith("zip://d/a.jsonl::p.zip, line 2: json: ")
    data = bytearray(
        zipped({"a.jsonl": b"".join(b'{"persona": "I own %d."}\n' % n for n in range(999)), "b.jsonl": SKI})
    )
    data[data.index(b"b.jsonl") - 60] ^= 0xFF
    (tmp_path / "d.zip").write_bytes(data)
    found = outcome(read(tmp_path, "d.zip"))
    assert [reason for _, reason in found[-2:]] == ["compression", ""]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("half.zip", r"half\.zip: cannot be read as a zip archive: .*fetch it again"),
        ("half.tar.gz", r"half\.tar\.gz: cannot be read as a tar archive: .*fetch it again"),
        ("other.tar", r"other\.tar: cannot be read as a tar archive"),
        ("empty.zip", r"empty\.zip holds no file that can be read; there is a\.md"),
        ("zip://*.csv::empty.zip", r"empty\.zip holds no file that matches \*\.csv; there is a\.md"),
        ("zip://a.md::empty.zip", r"in empty\.zip: a\.md has an extension that names no format"),
        ("zip://*.zip::outer.zip", r"outer\.zip holds an archive, in\.zip: unpack the outer one"),
        ("zip://*::none.zip", r"none\.zip .* matches no file"),
    ],
)
def test_archives_that_cannot_be_read(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "half.zip").write_bytes(zipped(FILES)[:-30])
    (tmp_path / "half.tar.gz").write_bytes(tarred(FILES)[:-30])
    (tmp_path / "other.tar").write_bytes(SKI)
    (tmp_path / "empty.zip").write_bytes(zipped({"a.md": b"A."}))
    (tmp_path / "outer.zip").write_bytes(zipped({"in.zip": zipped(FILES)}))
    with pytest.raises(SourceError, match=message):
        read(tmp_path, path)


def test_archives_in_an_object_store(tmp_path: Path, bucket: str) -> None:
    for name in ("p.zip", "p.tar.gz"):
        boto3.client("s3").put_object(Bucket=bucket.removeprefix("s3://"), Key=f"in/{name}", Body=PACKED[name](FILES))
        assert personas(read(tmp_path, f"{bucket}/in/{name}")) == [(("I ski.",),), (("I cook.",),), (("A.",),)]
    assert names(tmp_path, f"zip://deep/*.txt::{bucket}/in/*.zip") == [f"zip://deep/c.txt::{bucket}/in/p.zip"]
