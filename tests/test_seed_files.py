"""Where seeds come from: local paths and globs, compressed files, S3, Google Cloud Storage and the web."""

from __future__ import annotations

import bz2
import gzip
import http.server
import json
import lzma
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.config import Config
from smart_open import open as smart_open

from factory.records import Seed
from factory.seed_files import SourceError
from factory.seeds import BadSeed, SeedSource
from tests.reading import read_seeds

PERSONAS = b'{"id": "a", "facts": ["I ski.", "I cook."]}\n{"persona": "A chef. She sings."}\n'
GOOD = b'{"persona": "I ski."}\n'


def read(base: Path, path: str) -> list[Seed | BadSeed]:
    return read_seeds([SeedSource(path=path)], base)


def compressed(name: str) -> bytes:
    if name.endswith(".zst"):
        with smart_open(name, "wb") as file:
            file.write(PERSONAS)
        return Path(name).read_bytes()
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    return pack[Path(name).suffix](PERSONAS)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst", ".GZ"])
def test_compressed(tmp_path: Path, suffix: str) -> None:
    data = compressed(str(tmp_path / f"x{suffix.lower()}"))
    (tmp_path / f"p.v2.jsonl{suffix}").write_bytes(data)
    items = read(tmp_path, f"p.v2.jsonl{suffix}")
    assert [(item.line, type(item)) for item in items] == [(1, Seed), (2, Seed)]


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
        ("folder", "folder .* name files"),
        ("p.xlsx", "p.xlsx: the extension names no format"),
        ("p", "p: the extension names no format"),
        ("s3://key:secret@bucket/p.jsonl", "credentials do not belong in a path"),
        ("http://[half/p.jsonl", "no valid address"),
        ("telepathy://mind/p.jsonl", "telepathy://mind/p.jsonl: cannot be read"),
        ("s3://bucket.jsonl", "bucket.jsonl"),
    ],
)
def test_sources_that_cannot_be_read(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "p.xlsx").write_bytes(b"")
    (tmp_path / "p").write_bytes(b"")
    with pytest.raises(SourceError, match=message) as caught:
        read(tmp_path, path)
    assert "secret" not in str(caught.value)


def test_a_file_whose_name_is_no_utf8_is_named(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl")).write_bytes(PERSONAS)
    with pytest.raises(SourceError, match=r"'caf.udce9.jsonl': the name is no UTF-8"):
        read(tmp_path, "*.jsonl")


def test_sources_are_found_before_the_first_seed(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_bytes(PERSONAS)
    with pytest.raises(SourceError, match=r"q\.jsonl"):
        read_seeds([SeedSource(path="p.jsonl"), SeedSource(path="q.jsonl")], tmp_path)


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
    with pytest.raises(SourceError, match=r"s3://seeds/none\.jsonl: cannot be read.*AWS"):
        read(tmp_path, f"s3://{bucket}/none.jsonl")


class Store(http.server.BaseHTTPRequestHandler):
    """Files from a folder, plain and as the JSON API of Google Cloud Storage serves them."""

    root = Path()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        file = self.root / unquote(parts.path).rsplit("/", 1)[-1]
        if "broken" in parts.path:
            self.answer(200, GOOD, length=10_000)
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
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "test")
    (tmp_path / "p.jsonl").write_bytes(PERSONAS)
    items = read(tmp_path, "gs://b/p.jsonl")
    assert [(item.source, item.line) for item in items] == [("gs://b/p.jsonl", 1), ("gs://b/p.jsonl", 2)]
    with pytest.raises(SourceError, match=r"gs://b/none\.jsonl: cannot be read.*GOOGLE"):
        read(tmp_path, "gs://b/none.jsonl")
