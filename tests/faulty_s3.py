"""A proxy before an S3 server that does harm by order: answers late, or 503, or 403, or never, or breaks off.

It is a process of its own, on loopback, and speaks one request a connection. `Faults` gives it orders from a test and
reads what it did.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal
from urllib.parse import unquote

Kind = Literal["slow", "slowdown", "reset", "cut", "lost", "silence", "denied", "unconditional"]
"""`reset` breaks off within the request, and nothing reaches the server; `cut` within the answer; `lost` before it,
when the server has done what was asked; `unconditional` has the server not hear of a condition, as if it knew none."""

_CONTROL = "/-faults"


@dataclass
class Order:
    """Harm the next `times` requests (all, if none) after the first `skip` whose method and target fit."""

    kind: Kind
    method: str = ""
    part: str = ""
    times: int | None = 1
    skip: int = 0
    seconds: float = 1.0

    def strikes(self, method: str, target: str) -> bool:
        if self.times == 0 or self.part not in target or self.method not in ("", method):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times = None if self.times is None else self.times - 1
        return True


class Faults:
    """The orders of the proxy at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def order(self, *orders: Order) -> None:
        """Take the place of all orders, and forget the requests so far."""
        self._call(json.dumps([asdict(order) for order in orders]).encode())

    def log(self) -> list[tuple[str, str, Kind | None]]:
        """The requests since: method, target, and the harm that was done to it."""
        return [(method, target, kind) for method, target, kind in self._call()["log"]]

    def struck(self) -> list[str]:
        """The methods and targets of the requests that were harmed."""
        return [f"{method} {target}" for method, target, kind in self.log() if kind]

    def left(self) -> list[Order]:
        """The orders that have not been carried out as often as they said."""
        return [order for order in (Order(**order) for order in self._call()["orders"]) if order.times]

    def _call(self, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(f"{self.url}{_CONTROL}", data=body, timeout=10) as answer:
            return json.load(answer)


def environment(endpoint: str) -> dict[str, str]:
    """The variables that lead clients to a server of S3."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }


@contextmanager
def process(*arguments: str) -> Iterator[str]:
    """The address of a server on loopback, started as `python -m ARGUMENTS PORT`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", *arguments, str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while server.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        assert server.poll() is None, command
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


class _Proxy:
    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._orders: list[Order] = []
        self._log: list[tuple[str, str, Kind | None]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await self._request(reader, writer)
        writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if target == _CONTROL:
            await self._control(headers, reader, writer)
            return
        target = unquote(target)
        order = next((order for order in self._orders if order.strikes(method, target)), None)
        kind = order.kind if order else None
        self._log.append((method, target, kind))
        if "expect" in headers:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if kind == "reset":
            if half := int(headers.get("content-length", 0)) // 2:
                await reader.read(half)
            _break_off(writer)
            return
        body = await _body(headers, reader)
        if kind == "slowdown":
            _refuse(writer, "503 Slow Down", "SlowDown", "Please reduce your request rate.", method)
        elif kind == "denied":
            _refuse(writer, "403 Forbidden", "AccessDenied", "Access Denied", method)
        elif kind == "silence":
            await reader.read()  # until the client gives up
        else:
            kept = "\r\n".join(
                line
                for line in lines
                if not line.lower().startswith(("connection:", "expect:", "transfer-encoding:"))
                and not (kind == "unconditional" and line.lower().startswith("if-none-match:"))
            )
            if "transfer-encoding" in headers:
                kept += f"\r\nContent-Length: {len(body)}"
            answer = await self._forward(f"{first}\r\n{kept}\r\nConnection: close\r\n\r\n".encode("latin-1") + body)
            if order and kind == "slow":
                await asyncio.sleep(order.seconds)
            if kind == "cut":
                start = answer.index(b"\r\n\r\n") + 4
                writer.write(answer[: (start + len(answer)) // 2 if start < len(answer) else start // 2])
                await writer.drain()
                await asyncio.sleep(0.05)  # a reset overtakes what was not read yet
            if kind in ("cut", "lost"):
                _break_off(writer)
                return
            writer.write(answer)
        await writer.drain()

    async def _control(
        self, headers: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if "content-length" in headers:
            orders = json.loads(await _body(headers, reader))
            self._orders, self._log = [Order(**order) for order in orders], []
        told = {"log": self._log, "orders": [asdict(order) for order in self._orders]}
        _answer(writer, "200 OK", json.dumps(told).encode())
        await writer.drain()

    async def _forward(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        head, blank, body = answer.partition(b"\r\n\r\n")
        return head + b"\r\nConnection: close" + blank + body


async def _body(headers: dict[str, str], reader: asyncio.StreamReader) -> bytes:
    if "chunked" not in headers.get("transfer-encoding", ""):
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    while (await reader.readline()).strip():
        pass
    return body


def _refuse(writer: asyncio.StreamWriter, status: str, code: str, message: str, method: str) -> None:
    error = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    _answer(writer, status, b"" if method == "HEAD" else error.encode())


def _answer(writer: asyncio.StreamWriter, status: str, body: bytes) -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\nConnection: close"
    writer.write(f"{head}\r\n\r\n".encode() + body)


def _break_off(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, as a machine does that is gone."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _main(upstream: int, port: int) -> None:
    server = await asyncio.start_server(_Proxy(upstream).serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2])))
