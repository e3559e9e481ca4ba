"""A stand-in for the Hugging Face hub on loopback, with datasets in memory: what its own libraries ask of it.

It speaks the hub's own protocol: a repository is created, files are announced (`preupload`), large ones are sent by Git
LFS or Xet, and a commit is a stream of JSON lines. Limitations: one branch, one page of a listing, a token is a name,
and what is sent by Xet goes to a folder that nothing reads.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

OWNER, TOKEN, READER = "me", "hf_write_token_of_me", "hf_read_token_of_me"


@dataclass
class File:
    """The content of a file, and whether it is a large one."""

    content: bytes
    large: bool

    @property
    def oid(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def entry(self, path: str) -> dict[str, Any]:
        told = {"type": "file", "path": path, "size": len(self.content), "oid": self.oid}
        lfs = {"oid": self.sha256, "size": len(self.content), "pointerSize": 130}
        return told | ({"lfs": lfs} if self.large else {})


@dataclass
class Repository:
    """The commits of a dataset, each with its title and all its files."""

    private: bool
    commits: list[tuple[str, str, dict[str, File]]] = field(default_factory=list)

    def commit(self, title: str, files: Mapping[str, File]) -> str:
        oid = hashlib.sha1(f"{len(self.commits)} {title}".encode()).hexdigest()
        self.commits.append((oid, title, dict(files)))
        return oid

    def at(self, revision: str) -> dict[str, File] | None:
        if revision == "main":
            return self.commits[-1][2]
        return next((files for oid, _, files in self.commits if oid == revision), None)


@dataclass
class Answer:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def refusal(status: int, message: str, code: str | None = None) -> Answer:
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return Answer(status, {"error": message}, headers)


_NO_REPO = refusal(404, "Repository not found", "RepoNotFound")
_NO_ENTRY = refusal(404, "Entry not found", "EntryNotFound")


class HubServer:
    """Datasets, what was sent by LFS, and the requests so far. `harm` gives an answer by method and a part of the path,
    once, instead of the hub's. Where `xet` is a folder, it has what was sent so."""

    def __init__(self) -> None:
        self.datasets: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.harm: dict[tuple[str, str], Answer] = {}
        self.xet: Path | None = None
        self.url = ""
        self._lock = threading.Lock()

    def environment(self) -> dict[str, str]:
        """The variables that lead clients here."""
        return {"HF_ENDPOINT": self.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}

    def files(self, name: str) -> dict[str, File]:
        return self.datasets[name].commits[-1][2]

    def sent(self) -> list[str]:
        """What was sent by LFS."""
        return [path for method, path in self.asked if method == "PUT"]

    def answer(self, method: str, target: str, token: str | None, body: bytes) -> Answer:
        path = unquote(urlsplit(target).path)
        with self._lock:
            self.asked.append((method, path))
            for (of, part), told in self.harm.items():
                if of == method and part in path:
                    del self.harm[of, part]
                    return told
            return self._answer(method, path, token, body)

    def _answer(self, method: str, path: str, token: str | None, body: bytes) -> Answer:
        if token not in (None, TOKEN, READER):
            return refusal(401, "Invalid credentials in Authorization header")
        if path == "/api/repos/create":
            return self._create(json.loads(body), token)
        if path == "/api/validate-yaml":
            return Answer(200, {"errors": [], "warnings": []})
        if sent := re.fullmatch(r"/lfs/([0-9a-f]{64})", path):
            self.large[sent[1]] = body
            return Answer()
        if batch := re.fullmatch(r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self._batch(json.loads(body)) if batch[1] in self.datasets else _NO_REPO
        asked = re.fullmatch(r"(?:/api)?/datasets/([^/]+/[^/]+)(?:/(\w[\w-]*)(?:/([^/]+)(?:/(.+))?)?)?", path)
        repository = self.datasets.get(asked[1]) if asked else None
        if asked is None or repository is None or (repository.private and token is None):
            return _NO_REPO
        files = repository.at(asked[3] or "main")
        if files is None:
            return refusal(404, "Revision not found", "RevisionNotFound")
        return self._of_dataset(method, asked[1], repository, asked[2], asked[4], files, token, body)

    def _create(self, asked: dict[str, Any], token: str | None) -> Answer:
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] != OWNER or token != TOKEN:
            return refusal(403, f"You don't have the rights to create a dataset under the namespace {OWNER!r}")
        if name in self.datasets:
            return refusal(409, "You already created this dataset repo")
        made = Repository(asked.get("visibility") == "private")
        made.commit("initial commit", {".gitattributes": File(b"*.parquet filter=lfs\n", False)})
        self.datasets[name] = made
        return Answer(200, {"url": f"{self.url}/datasets/{name}"})

    def _batch(self, asked: dict[str, Any]) -> Answer:
        def told(one: dict[str, Any]) -> dict[str, Any]:
            actions = {} if one["oid"] in self.large else {"upload": {"href": f"{self.url}/lfs/{one['oid']}"}}
            return one | ({"actions": actions} if actions else {})

        return Answer(200, {"transfer": "basic", "objects": [told(one) for one in asked["objects"]]})

    def _of_dataset(
        self, method: str, name: str, repository: Repository, what: str | None, rest: str | None,
        files: dict[str, File], token: str | None, body: bytes,
    ) -> Answer:  # fmt: skip
        head = repository.commits[-1][0]
        if what in (None, "revision"):
            told = {"_id": "1", "id": name, "sha": head, "private": repository.private, "downloads": 0, "likes": 0,
                    "tags": [], "siblings": [{"rfilename": path} for path in files]}  # fmt: skip
            return Answer(200, told)
        if what == "tree":
            below = f"{rest}/" if rest else ""
            found = [file.entry(path) for path, file in sorted(files.items()) if path.startswith(below)]
            folders = {path.rpartition("/")[0] for path in files if path.startswith(below) and "/" in path}
            return Answer(200, found + [{"type": "directory", "path": one, "oid": "0" * 40} for one in folders])
        if what == "paths-info":
            wanted = json.loads(body)["paths"]
            return Answer(200, [files[path].entry(path) for path in wanted if path in files])
        if what == "resolve":
            file = files.get(rest or "")
            if file is None:
                return _NO_ENTRY
            etag = {"ETag": f'"{file.sha256 if file.large else file.oid}"', "X-Repo-Commit": head}
            return Answer(200, file.content, etag)
        if token != TOKEN:
            return refusal(403, f"Forbidden: you must have write access to {name}")
        if what == "xet-write-token":
            expires = int(time.time()) + 3600
            return Answer(200, {"casUrl": f"local://{self.xet}", "exp": expires, "accessToken": "any"})
        if what == "preupload":
            return Answer(200, {"files": [self._announced(one, files) for one in json.loads(body)["files"]]})
        if what == "commit":
            return self._commit(name, repository, [json.loads(line) for line in body.splitlines()])
        raise AssertionError(f"the stand-in does not know {method} {what}")

    def _announced(self, one: dict[str, Any], files: dict[str, File]) -> dict[str, Any]:
        large, held = one["path"].endswith(".parquet"), files.get(one["path"])
        oid = None if held is None else held.sha256 if held.large else held.oid
        return {"path": one["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}

    def _commit(self, name: str, repository: Repository, lines: list[dict[str, Any]]) -> Answer:
        header, *operations = [(line["key"], line["value"]) for line in lines]
        head, _, before = repository.commits[-1]
        if header[1].get("parentCommit", head) != head:
            return refusal(412, "A commit has happened since. Please refresh and try again.")
        files = dict(before)
        for key, value in operations:
            path = value["path"]
            if key == "deletedFile":
                del files[path]
            elif key == "file":
                files[path] = File(base64.b64decode(value["content"]), False)
            else:
                assert key == "lfsFile"
                files[path] = File(self.large[value["oid"]], True)
                assert len(files[path].content) == value["size"]
        oid = repository.commit(header[1]["summary"], files)
        return Answer(200, {"commitUrl": f"{self.url}/datasets/{name}/commit/{oid}", "commitOid": oid})


def _handler(server: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            if self.headers["Transfer-Encoding"] == "chunked":
                body = b"".join(self.chunks())
            else:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            token = (self.headers["Authorization"] or "").removeprefix("Bearer ") or None
            if self.path.startswith("/lfs/"):
                token = TOKEN  # its address is the permission
            answer = server.answer(self.command, self.path, token, body)
            content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            kind = "application/octet-stream" if isinstance(answer.body, bytes) else "application/json"
            part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
            status, whole = answer.status, len(content)
            if part and status == 200:
                status, content = 206, content[int(part[1]) : int(part[2] or whole) + 1]
                answer.headers["Content-Range"] = f"bytes {part[1]}-{int(part[1]) + len(content) - 1}/{whole}"
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = respond  # noqa: N815

        def chunks(self) -> Iterator[bytes]:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def hub() -> Iterator[HubServer]:
    """A hub without datasets, while the body runs."""
    server = HubServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
