"""A server of chat completions on loopback that misbehaves on command."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """An answer, of which `sent` is the share that is sent before the connection is reset; `after_s` is how long it
    takes. No `body` is no answer at all."""

    status: int = 200
    body: bytes | None = b""
    headers: dict[str, str] = field(default_factory=dict)
    sent: float = 1.0
    after_s: float = 0.0


def as_json(body: Any, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/json", **named})


def completions(*texts: str, reason: str | None = "stop", usage: bool = True) -> Answer:
    choices = [
        {"index": number, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
        for number, text in enumerate(texts)
    ]
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": choices}
    details = {"prompt_tokens_details": {"cached_tokens": 4}}
    counted = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16, **details}
    return as_json(body | ({"usage": counted} if usage else {}))


def first_token(**alternatives: float) -> Answer:
    """One token, with the alternatives to it and their probabilities."""
    top = [{"token": token, "logprob": math.log(share), "bytes": None} for token, share in alternatives.items()]
    answer = json.loads(completions(top[0]["token"], reason="length").body or b"")
    answer["choices"][0]["logprobs"] = {"content": [top[0] | {"top_logprobs": top}]}
    return as_json(answer)


def error(status: int, message: str = "no", code: str | None = None, **headers: str) -> Answer:
    return as_json({"error": {"message": message, "type": "some_error", "code": code}}, status, **headers)


def page(text: str = "Log in here", status: int = 200) -> Answer:
    return Answer(status, f"<!doctype html><html><title>{text}</title></html>".encode(), {"Content-Type": "text/html"})


def stream(text: str = "Hello") -> Answer:
    piece = {"id": "1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}
    body = f"data: {json.dumps(piece)}\n\ndata: [DONE]\n\n".encode()
    return Answer(200, body, {"Content-Type": "text/event-stream"})


HANG = Answer(body=None)
RESET = Answer(sent=0.0)
HALF = Answer(200, completions("Half of").body, {"Content-Type": "application/json"}, sent=0.5)
CUT = Answer(200, (completions("Half of").body or b"")[:80], {"Content-Type": "application/json"})
MODELS = as_json({"object": "list", "data": [{"id": "m", "object": "model", "created": 0, "owned_by": "o"}]})


def allowing(limit: int, seconds: float) -> Callable[[], bool]:
    """A rate limit: whether one more request is allowed, so many of them in each window of time."""
    sent: list[float] = []

    def allowed() -> bool:
        now = time.monotonic()
        sent[:] = [at for at in sent if now - at < seconds]
        if len(sent) < limit:
            sent.append(now)
            return True
        return False

    return allowed


class ModelServer:
    """Asks `reply` for the answer to each request, given its body; remembers bodies and keys, and how many requests
    were under way at once at most. `good` counts the answers with completions that were sent whole."""

    def __init__(self, reply: Callable[[dict[str, Any]], Answer] = lambda _: completions("Hello.")) -> None:
        self.reply = reply
        self.models = MODELS
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.gateway: set[str | None] = set()
        self.good = self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._http: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def in_turn(self, *answers: Answer) -> None:
        """Give these answers, one a request, then the last one for ever."""
        left = list(answers)
        self.reply = lambda _: left.pop(0) if len(left) > 1 else left[0]

    def start(self) -> None:
        """Listen, on the port of before if there was one."""
        self.closing.clear()
        self._http = _Listening(("127.0.0.1", self._port), _handler(self))
        self._port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Close the port, and every connection."""
        self.closing.set()
        assert self._http is not None
        self._http.shutdown()
        self._http.server_close()

    def answer(self, body: dict[str, Any]) -> Answer:
        with self.lock:
            self.asked.append(body)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            answer = self.reply(body)
        if answer.body is None:
            self.closing.wait(60)
        else:
            self.closing.wait(answer.after_s or 0.01)
        with self.lock:
            self.at_once -= 1
        return RESET if self.closing.is_set() else answer


class _Listening(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_: Any) -> None:
        """Clients go away, and are sent away."""


def _handler(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # noqa: N802
            server.keys.add(self.headers["Authorization"])
            server.gateway.add(self.headers["X-Gateway"])
            self.send(server.models)

        def do_POST(self) -> None:  # noqa: N802
            server.keys.add(self.headers["Authorization"])
            server.gateway.add(self.headers["X-Gateway"])
            answer = server.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send(answer)
            if answer.status == 200 and answer.sent == 1.0 and b'"choices": [{"index": 0, "message"' in answer.body:
                with server.lock:
                    server.good += 1

        def send(self, answer: Answer) -> None:
            body = answer.body or b""
            head = {"Content-Length": str(len(body)), **answer.headers}
            if answer.sent:
                self.send_response(answer.status)
                for name, value in head.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body[: round(len(body) * answer.sent)])
                self.wfile.flush()
            if answer.sent < 1.0 or server.closing.is_set():
                time.sleep(0.01)  # or what was written goes with the connection
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def serving(server: ModelServer) -> Iterator[ModelServer]:
    """Keep it up."""
    server.start()
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            server.stop()
