"""Where seeds come from: local paths and globs, S3, Google Cloud Storage and the web."""

from __future__ import annotations

import getpass
import gzip
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.seeds.archives import find_files
from factory.seeds.files import SourceError
from factory.seeds.source import SeedSource
from tests.reading import read, read_seeds

PERSONAS = b'{"id": "a", "facts": ["I ski.", "I cook."]}\n{"persona": "A chef. She sings."}\n'
GOOD = b'{"persona": "I ski."}\n'
NAMES = st.text(" #%?[]*!&+=~'é水a1.-", min_size=1, max_size=12).filter(lambda name: name.strip(".~- ") == name)


def test_globs_and_names(tmp_path: Path) -> None:
    base = tmp_path / "jobs"
    for name in ("jobs/b.txt", "jobs/a.txt", "jobs/deep/er/c.txt", "jobs/odd[1].txt", "other/d.txt", "jobs/e.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"I am {name}.\n")
    sources = [
        SeedSource(path="[ab].txt"),
        SeedSource(path="d*/**/*.txt"),
        SeedSource(path="odd[1].txt"),
        SeedSource(path="../other/*.txt"),
    ]
    found = [seed.source for seed in read_seeds(sources, base)]
    assert found == ["a.txt", "b.txt", "deep/er/c.txt", "odd[1].txt", "../other/d.txt"]
    assert [seed.source for seed in read(base, str(base / "a.txt"))] == ["a.txt"]
    assert [seed.source for seed in read(base, str(tmp_path / "other" / "*.txt"))] == [f"{tmp_path}/other/d.txt"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.jsonl", "missing.jsonl .* matches no file"),
        ("*.none", r"\*\.none .* matches no file"),
        ("nul\0.txt", "matches no file"),
        ("folder", r"folder .* is a folder without a seed file \(\.jsonl, .*\) directly in it"),
        ("fold*", r"fold\* .* matches only folders: name files"),
        ("link.jsonl", "link.jsonl .* is a link to .*annex/objects/x, which is not there: run `git annex get`"),
        ("~/none.jsonl", "^{home}/none.jsonl matches no file"),
        (f"~{getpass.getuser()}/no/ne.jsonl", f"^{os.path.expanduser('~' + getpass.getuser())}/no/ne.jsonl matches no"),
        ("p.xlsx", "p.xlsx is an Excel file: save the sheet as CSV"),
        ("p.zip", "p.zip: cannot be read as a zip archive"),
        ("p", "p has an extension that names no format"),
        ("s3://key:secret@bucket/p.jsonl", "credentials do not belong in a path"),
        ("http://[half/p.jsonl", "no valid address"),
        ("telepathy://mind/p.jsonl", "telepathy://mind/p.jsonl: cannot be read"),
        ("https://host/a/*.jsonl?token=secret", r"^https://host/a/\*.jsonl: files behind https:// cannot be listed"),
        ("https://host/a/", r"^https://host/a/: files behind https:// cannot be listed"),
    ],
)
def test_sources_that_cannot_be_read(tmp_path: Path, path: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "{home}" in message:
        monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "folder").mkdir()
    for name in ("p.xlsx", "p.zip", "p", "folder/README.md", "folder/_SUCCESS", "folder/.p.jsonl"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "link.jsonl").symlink_to(".git/annex/objects/x")
    with pytest.raises(SourceError, match=message.format(home=tmp_path)) as caught:
        read(tmp_path, path)
    assert "secret" not in str(caught.value)


def test_a_file_whose_name_is_no_utf8_is_named(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl")).write_bytes(PERSONAS)
    with pytest.raises(SourceError, match=r"'caf.udce9.jsonl': the name is not UTF-8"):
        read(tmp_path, "*.jsonl")


def test_sources_are_found_before_the_first_seed(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_bytes(PERSONAS)
    with pytest.raises(SourceError, match=r"q\.jsonl"):
        read_seeds([SeedSource(path="p.jsonl"), SeedSource(path="q.jsonl")], tmp_path)


def found(base: Path, path: str) -> list[str]:
    return [file.name for file in find_files(path, "auto", base)]


def test_a_folder_stands_for_the_seed_files_in_it(tmp_path: Path) -> None:
    for name in ("s/b.jsonl", "s/a.csv.gz", "s/README.md", "s/_done.txt", "s/.c.txt", "s/deeper/d.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(GOOD)
    assert found(tmp_path, "s") == found(tmp_path, "s/") == ["s/a.csv.gz", "s/b.jsonl"]
    assert [file.name for file in find_files("s", "text", tmp_path)] == ["s/README.md", "s/a.csv.gz", "s/b.jsonl"]


def test_a_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("home/p.jsonl", "jobs/~/p.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(GOOD)
    assert found(tmp_path, "~/*.jsonl") == ["home/p.jsonl"]
    assert found(tmp_path / "jobs", "~/p.jsonl") == ["~/p.jsonl"]


@settings(deadline=None)
@given(folder=NAMES, name=NAMES)
def test_any_name_is_found_on_a_disk(tmp_path_factory: pytest.TempPathFactory, folder: str, name: str) -> None:
    base = tmp_path_factory.mktemp("base")
    (base / folder).mkdir()
    (base / folder / f"{name}.jsonl").write_bytes(PERSONAS)
    for path in (f"{folder}/{name}.jsonl", f"{folder}/*.jsonl", folder, f"{base}/{folder}/*.jsonl"):
        assert [item.source for item in read(base, path)] == [f"{folder}/{name}.jsonl"] * 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_forbidden_file(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_bytes(PERSONAS)
    (tmp_path / "p.jsonl").chmod(0)
    with pytest.raises(SourceError, match=r"p\.jsonl: cannot be read: .*[Pp]ermission"):
        read(tmp_path, "p.jsonl")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An S3 server in a process of its own, and a bucket on it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    patient = Config(retries={"total_max_attempts": 100, "mode": "standard"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3", config=patient).create_bucket(Bucket="seeds")
        yield "seeds"
    server.terminate()
    server.wait()


def test_s3(tmp_path: Path, bucket: str) -> None:
    pq.write_table(pa.table({"persona": ["I ski.", "I cook."]}), tmp_path / "p.parquet")
    store = boto3.client("s3")
    store.put_object(Bucket=bucket, Key="in/p.jsonl.gz", Body=gzip.compress(PERSONAS))
    store.put_object(Bucket=bucket, Key="in/p.parquet", Body=(tmp_path / "p.parquet").read_bytes())
    for name in ("p.jsonl.gz", "p.parquet"):
        items = read(tmp_path, f"s3://{bucket}/in/{name}")
        assert [(item.source, item.line) for item in items] == [(f"s3://{bucket}/in/{name}", line) for line in (1, 2)]
    with pytest.raises(SourceError, match=r"s3://seeds/none\.jsonl matches no file.*AWS"):
        read(tmp_path, f"s3://{bucket}/none.jsonl")
    with pytest.raises(SourceError, match=r"s3://none/p\.jsonl.*AWS"):
        read(tmp_path, "s3://none/p.jsonl")


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(folder=NAMES, name=NAMES)
def test_any_key_is_found_in_s3(tmp_path: Path, bucket: str, folder: str, name: str) -> None:
    store, key = boto3.client("s3"), f"any/{folder}/{name}.jsonl"
    store.put_object(Bucket=bucket, Key=key, Body=PERSONAS)
    for path in (key, f"any/{folder}/*.jsonl", f"any/{folder}", f"any/{folder}/"):
        assert [item.source for item in read(tmp_path, f"s3://{bucket}/{path}")] == [f"s3://{bucket}/{key}"] * 2
    store.delete_object(Bucket=bucket, Key=key)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jsonl", ["a.jsonl", "b.jsonl"]),
        ("[!a].jsonl", ["b.jsonl"]),
        ("?.jsonl", ["a.jsonl", "b.jsonl"]),
        ("d*/*.jsonl", ["d/c.jsonl"]),
        ("**/*.jsonl", ["a.jsonl", "b.jsonl", "d/c.jsonl", "d/e/f.jsonl"]),
        ("d/**", ["d/c.jsonl", "d/e/f.jsonl"]),
        ("d/", ["d/c.jsonl"]),
    ],
)
def test_globs_mean_the_same_on_a_disk_and_in_s3(
    tmp_path: Path, bucket: str, pattern: str, expected: list[str]
) -> None:
    for name in ("b.jsonl", "a.jsonl", "d/c.jsonl", "d/e/f.jsonl", ".hidden.jsonl", "d/.h/g.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(GOOD)
        boto3.client("s3").put_object(Bucket=bucket, Key=f"glob/{name}", Body=GOOD)
    assert found(tmp_path, pattern) == expected
    assert found(tmp_path, f"s3://{bucket}/glob/{pattern}") == [f"s3://{bucket}/glob/{name}" for name in expected]


def test_a_key_is_named_without_what_may_be_a_query(tmp_path: Path, bucket: str) -> None:
    with pytest.raises(SourceError, match=r"^s3://seeds/p\.jsonl\?… matches no file") as caught:
        read(tmp_path, f"s3://{bucket}/p.jsonl?secret_key=secret")
    assert "secret" not in str(caught.value)
    with pytest.raises(SourceError, match=r"^s3://none/p\.jsonl\?…") as caught:
        read(tmp_path, "s3://none/p.jsonl?secret_key=secret")
    assert "secret" not in str(caught.value)


class Store(http.server.BaseHTTPRequestHandler):
    """Files from a folder, plain and as the JSON API of Google Cloud Storage serves them."""

    root = Path()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        file = self.root / unquote(parts.path).rsplit("/", 1)[-1]
        if "broken" in parts.path:
            self.answer(200, GOOD, length=10_000)
        elif parts.path.startswith("/computeMetadata/"):
            self.answer(
                200, b'{"email": "a@b", "scopes": [], "access_token": "x", "expires_in": 3600, "token_type": "B"}'
            )
        elif parts.path == "/storage/v1/b/b/o":
            (prefix,) = parse_qs(parts.query).get("prefix", [""])
            names = [file.name for file in self.root.iterdir() if file.name.startswith(prefix)]
            objects = [{"kind": "storage#object", "name": name, "bucket": "b"} for name in names]
            self.answer(200, json.dumps({"kind": "storage#objects", "items": objects}).encode())
        elif not file.is_file():
            self.answer(404, b"")
        elif parts.path.startswith("/storage/") and "alt=media" not in parts.query:
            self.answer(200, json.dumps({"name": file.name, "bucket": "b", "size": file.stat().st_size}).encode())
        else:
            start = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
            body = file.read_bytes()[start:]
            self.answer(206 if start else 200, body) if body else self.answer(416, b"")

    def answer(self, status: int, body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Store, "root", tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_http(tmp_path: Path, address: str) -> None:
    (tmp_path / "p.jsonl.gz").write_bytes(gzip.compress(PERSONAS))
    pq.write_table(pa.table({"persona": ["I ski.", "I cook."]}), tmp_path / "p.parquet")
    for name in ("p.jsonl.gz", "p.parquet"):
        items = read(tmp_path, f"{address}/in/{name}?token=secret")
        assert [(item.source, item.line) for item in items] == [(f"{address}/in/{name}", line) for line in (1, 2)]


@pytest.mark.parametrize("path", ["none.jsonl", "broken.jsonl"])
def test_http_failure_is_the_source_s(tmp_path: Path, address: str, path: str) -> None:
    with pytest.raises(SourceError, match=f"{path}: cannot be read") as caught:
        read(tmp_path, f"{address}/{path}?token=secret")
    assert "secret" not in str(caught.value)


def test_google_cloud_storage(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", address)
    monkeypatch.setenv("GCE_METADATA_ROOT", address.removeprefix("http://"))
    (tmp_path / "p.jsonl").write_bytes(PERSONAS)
    for path in ("gs://b/p.jsonl", "gs://b/*.jsonl"):
        items = read(tmp_path, path)
        assert [(item.source, item.line) for item in items] == [("gs://b/p.jsonl", 1), ("gs://b/p.jsonl", 2)]
    with pytest.raises(SourceError, match=r"gs://b/none\.jsonl matches no file.*GOOGLE"):
        read(tmp_path, "gs://b/none.jsonl")
