"""A stand-in for the Hugging Face Hub that is read from: data sets in a folder, OWNER/NAME/FILES, at two revisions.

`main` and COMMIT are the folder as it is; any other revision is unknown. A data set whose name begins with `private`
is there for TOKEN alone, and of `gated` its owner wants conditions accepted. Limitations: no pages, no uploads.
"""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "4f2b" * 10
TOKEN = "hf_atokenthatnobodyshows"
_API = re.compile(r"/api/datasets/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?")
_FILE = re.compile(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.*)")


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the Hub does; `asked` are the paths that were asked for, `tokens` what came with them."""

    root: Path
    asked: list[str]
    tokens: set[str | None]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.asked.append(path)
        self.tokens.add(self.headers.get("Authorization"))
        if (match := _API.fullmatch(path)) or (match := _FILE.fullmatch(path)):
            self._answer_of(*match.groups())
        else:
            self._refuse(404, "")

    def _answer_of(self, name: str, what: str | None, revision: str | None = None, path: str | None = None) -> None:
        folder = self.root / name
        kind = name.partition("/")[2]
        if kind.startswith("private") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._refuse(401, "RepoNotFound")
        if kind == "gated":
            return self._refuse(403, "GatedRepo")
        if not folder.is_dir():
            return self._refuse(404, "RepoNotFound")
        if path is None and what not in (None, "revision", "tree"):  # of a file, what comes second is the revision
            what, revision, path = None, what, revision
            return self._file(folder / str(path), revision)
        if revision not in (None, "main", COMMIT):
            return self._refuse(404, "RevisionNotFound")
        if what == "tree":
            return self._tree(folder, path or "")
        return self._send(200, json.dumps({"id": name, "sha": COMMIT, "siblings": [], "tags": []}).encode())

    def _tree(self, folder: Path, path: str) -> None:
        if not (folder / path).is_dir():
            return self._refuse(404, "EntryNotFound")
        found = (folder / path).rglob("*") if "recursive=true" in self.path.lower() else (folder / path).iterdir()
        listed = [
            {
                "type": "directory" if one.is_dir() else "file",
                "oid": "0" * 40,
                "size": one.stat().st_size if one.is_file() else 0,
                "path": str(one.relative_to(folder)),
            }
            for one in sorted(found)
        ]
        return self._send(200, json.dumps(listed).encode())

    def _file(self, file: Path, revision: str | None) -> None:
        if revision != COMMIT or not file.is_file():
            return self._refuse(404, "EntryNotFound")
        data = file.read_bytes()
        if (wanted := self.headers.get("Range")) is None:
            return self._send(200, data)
        first, last = map(int, wanted.removeprefix("bytes=").split("-"))
        return self._send(206, data[first : last + 1])

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, json.dumps({"error": code}).encode(), {"X-Error-Code": code})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def hub_of(folder: Path) -> Iterator[tuple[str, type[Hub]]]:
    """A Hub of the data sets in a folder: its address, and the handler that notes what it is asked."""
    handler = type("HubOfFolder", (Hub,), {"root": folder, "asked": [], "tokens": set()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
