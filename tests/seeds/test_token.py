"""Seeds behind https:// that want a token: where it comes from, and where it goes."""

from __future__ import annotations

import http.server
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError

from factory.seeds.files import SourceError
from factory.seeds.source import SeedSource
from tests.reading import personas, read_seeds

TOKEN = "t0ken-that-nobody-shows"  # noqa: S105
ROW = b'{"persona": "I ski."}\n'
SKI = [(("I ski.",),)]


class Server(http.server.BaseHTTPRequestHandler):
    """Gives files to those who have the token; `/away/NAME` leads to `away`, another host, and `/here/NAME` to NAME."""

    files: dict[str, bytes]
    sent: list[str | None]
    away = ""
    open = False

    def do_GET(self) -> None:
        given, (*folder, name) = self.headers.get("Authorization"), self.path.strip("/").split("/")
        self.sent.append(given)
        if folder:
            self.answer(302, b"", Location=f"{self.away if folder == ['away'] else ''}/{name}")
        elif given == f"Bearer {TOKEN}" or self.open:
            self.answer(200, self.files[name])
        else:
            self.answer(401, b"")

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(**settings: object) -> Iterator[tuple[str, type[Server]]]:
    handler = type("Started", (Server,), {"sent": [], "files": {"p.jsonl": ROW}, **settings})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()


def source(path: str, variable: str | None = "DATA_TOKEN") -> list[SeedSource]:
    return [SeedSource(path=path, token_env=variable)]


def test_the_token_is_sent_and_follows_no_redirect_to_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_TOKEN", f"{TOKEN}\n")
    with serving(open=True) as (away, other), serving(away=away) as (address, server):
        for path in ("p.jsonl", "here/p.jsonl", "away/p.jsonl"):
            assert personas(read_seeds(source(f"{address}/{path}"), Path())) == SKI
        assert server.sent == [f"Bearer {TOKEN}"] * 4
        assert other.sent == [None]


def test_a_file_in_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_TOKEN", TOKEN)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("d/p.jsonl", ROW)
    with serving(files={"p.zip": (tmp_path / "p.zip").read_bytes()}) as (address, _):
        (seed,) = read_seeds(source(f"zip://d/*::{address}/p.zip"), Path())
    assert seed.source == f"zip://d/p.jsonl::{address}/p.zip"


@pytest.mark.parametrize(
    ("value", "variable", "message"),
    [
        (TOKEN, None, "p.jsonl: cannot be read: 401 .*name the variable with its token in the source's `token_env`"),
        ("", "DATA_TOKEN", "p.jsonl: set the environment variable DATA_TOKEN to the token"),
        (f"{TOKEN} x", "DATA_TOKEN", "p.jsonl: .*DATA_TOKEN holds a blank"),
        (f"{TOKEN[::-1]}", "DATA_TOKEN", "p.jsonl: cannot be read: 401 "),
    ],
)
def test_what_is_wrong_is_told_without_the_token(
    monkeypatch: pytest.MonkeyPatch, value: str, variable: str | None, message: str
) -> None:
    monkeypatch.setenv("DATA_TOKEN", value)
    with serving() as (address, _), pytest.raises(SourceError, match=message) as caught:
        read_seeds(source(f"{address}/p.jsonl", variable), Path())
    assert not value or value.strip() not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "variable", "message"),
    [
        ("https://host/p.jsonl", TOKEN, "the name of an environment variable is wanted"),
        ("s3://bucket/p.jsonl", "DATA_TOKEN", "a token is sent to https:// addresses only"),
    ],
)
def test_a_token_s_variable_is_named_for_an_address_alone(path: str, variable: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SeedSource(path=path, token_env=variable)
