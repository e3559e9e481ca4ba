"""The openai engine against a server that misbehaves on command, and against a real vLLM server, both on loopback."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from factory.engines import (
    EngineDeadError,
    EngineStartError,
    LanguageModel,
    Message,
    Reply,
    Request,
    RequestError,
    Sampling,
)
from factory.engines.openai import OpenAIEngine
from tests.conftest import KEY

ASKED = Request((Message(role="system", content="Chat."), Message(role="user", content="Hi!")), Sampling(max_tokens=8))

Answer = tuple[int, dict[str, str], Any]


def error(status: int, message: str = "no", **headers: str) -> Answer:
    return status, headers, {"error": {"message": message, "type": "some_error"}}


def completions(n: int = 1) -> Answer:
    choices = [
        {"index": k, "message": {"role": "assistant", "content": f"Hello {k}."}, "finish_reason": "stop"}
        for k in range(n)
    ]
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 7,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    return (
        200,
        {},
        {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": choices, "usage": usage},
    )


HANG: Answer = (0, {}, None)


class Server:
    """Gives the answers it is told to, one a request, then its last one for ever; remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [completions()]
        self.models = (
            200,
            {},
            {"object": "list", "data": [{"id": "m", "object": "model", "created": 0, "owned_by": "o"}]},
        )
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()

    def answer(self, body: dict[str, Any]) -> Answer:
        with self.lock:
            self.asked.append(body)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is HANG:
            self.closing.wait(30)
        else:
            time.sleep(0.02)
        with self.lock:
            self.at_once -= 1
        return answer


@pytest.fixture
def server() -> Iterator[tuple[Server, str]]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # noqa: N802
            self.send(state.models)

        def do_POST(self) -> None:  # noqa: N802
            state.keys.add(self.headers["Authorization"])
            self.send(state.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def send(self, answer: Answer) -> None:
            status, headers, body = answer
            if answer is HANG:
                self.close_connection = True
                return
            text = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(text))}).items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield state, f"http://127.0.0.1:{http.server_port}/v1"
    state.closing.set()
    http.shutdown()
    http.server_close()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ask(url: str, request: Request = ASKED, **fields: Any) -> Reply:
    return use(url, lambda engine: engine.generate(request), **fields)


def use(url: str, work: Callable[[OpenAIEngine], Awaitable[Any]], **fields: Any) -> Any:
    model = LanguageModel(**{"engine": "openai", "name": "m", "base_url": url, "max_retries": 0, **fields})

    async def main() -> Any:
        engine = OpenAIEngine(model)
        try:
            return await work(engine)
        finally:
            await engine.close()

    return asyncio.run(main())


def test_busy_broken_and_hanging_server_is_asked_again(server: tuple[Server, str]) -> None:
    state, url = server
    state.answers = [error(429, retry_after_ms="10"), error(500, retry_after_ms="10"), HANG, completions()]
    reply = ask(url, max_retries=3, timeout_s=0.5)
    assert reply.completions[0].text == "Hello 0."
    assert len(state.asked) == 4


def test_what_outlasts_the_retries_is_a_dead_engine(server: tuple[Server, str]) -> None:
    state, url = server
    state.answers = [error(503, "overloaded", retry_after_ms="1")]
    with pytest.raises(EngineDeadError, match="503.*overloaded"):
        ask(url, max_retries=2)
    assert len(state.asked) == 3
    state.answers = [HANG]
    with pytest.raises(EngineDeadError, match="does not answer"):
        ask(url, timeout_s=0.2)


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"Content_Type": "text/html"}, b"<html>Log in here</html>"),
        (200, {"Content_Type": "application/json"}, b'{"choices": [{"mess'),
        (200, {"Content_Type": "application/json"}, {"error": {"message": "no upstream"}}),
    ],
)
def test_an_answer_that_is_none_is_a_matter_of_the_server(server: tuple[Server, str], answer: Answer) -> None:
    state, url = server
    state.answers = [answer]
    with pytest.raises(EngineDeadError, match="sent what cannot be read"):
        ask(url)


def test_a_server_that_goes_away_is_a_dead_engine(server: tuple[Server, str]) -> None:
    async def gone(engine: OpenAIEngine) -> None:
        engine._client.base_url = "http://127.0.0.1:9/v1"
        await engine.generate(ASKED)

    with pytest.raises(EngineDeadError, match="cannot be reached"):
        use(server[1], gone)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_is_a_matter_of_the_request(server: tuple[Server, str], status: int) -> None:
    state, url = server
    state.answers = [error(status, "maximum context length is 2048 tokens")]
    with pytest.raises(RequestError, match="maximum context length"):
        ask(url, max_retries=3)
    assert len(state.asked) == 1


def test_the_key_is_sent_and_never_told(server: tuple[Server, str]) -> None:
    state, url = server
    ask(url)
    assert state.keys == {f"Bearer {KEY}"}
    state.answers = [error(401, f"Incorrect API key provided: {KEY}")]
    with pytest.raises(EngineDeadError, match="refuses the key in OPENAI_API_KEY") as caught:
        ask(url)
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_request_as_sent(server: tuple[Server, str]) -> None:
    state, url = server
    ask(url)
    schema = {"type": "object", "properties": {}}
    state.answers = [completions(3)]
    reply = ask(url, Request(ASKED.messages, Sampling(top_k=20), n=3, json_schema=schema))
    plain, full = state.asked
    assert "top_k" not in plain
    assert "response_format" not in plain
    assert full["top_k"] == 20
    assert full["n"] == 3
    assert full["response_format"]["json_schema"]["schema"] == schema
    assert sum(completion.tokens for completion in reply.completions) == 7
    assert (reply.prompt_tokens, reply.cached_tokens) == (9, 4)


def test_a_server_that_gives_fewer_completions_than_asked(server: tuple[Server, str]) -> None:
    with pytest.raises(RequestError, match="1 of 3 completions"):
        ask(server[1], Request(ASKED.messages, Sampling(), n=3))


def test_no_more_requests_at_once_than_the_job_says(server: tuple[Server, str]) -> None:
    state, url = server
    use(url, lambda engine: asyncio.gather(*(engine.generate(ASKED) for _ in range(20))), max_num_seqs=3)
    assert len(state.asked) == 20
    assert state.most_at_once == 3


def test_start_errors(server: tuple[Server, str], monkeypatch: pytest.MonkeyPatch) -> None:
    state, url = server
    with pytest.raises(EngineStartError, match="does not have it; it has m"):
        ask(url, name="other")
    with pytest.raises(EngineStartError, match=r"127.0.0.1:9/v1 cannot be reached"):
        ask("http://127.0.0.1:9/v1")
    state.models = error(404)
    with pytest.raises(EngineStartError, match="does base_url end in /v1"):
        ask(url)
    state.models = error(401, f"bad key {KEY}")
    with pytest.raises(EngineStartError, match="refuses the key in OPENAI_API_KEY") as caught:
        ask(url)
    assert KEY not in str(caught.value)
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(EngineStartError, match="set the environment variable OPENAI_API_KEY"):
        OpenAIEngine(LanguageModel(engine="openai", name="m"))


def test_a_real_vllm_server(vllm_server: str) -> None:
    persona = Message(role="system", content="You are a person.\nAbout you:\n" + "- I have two cats.\n" * 10)
    mood = {"mood": {"enum": ["glad", "sad"]}}
    schema = {"type": "object", "properties": mood, "required": ["mood"], "additionalProperties": False}

    def said(*texts: str, **fields: Any) -> Request:
        turns = [Message(role="assistant" if n % 2 else "user", content=text) for n, text in enumerate(texts)]
        return Request((persona, *turns), Sampling(top_k=50, max_tokens=40), **fields)

    async def talk(engine: OpenAIEngine) -> None:
        first, *_ = await asyncio.gather(*(engine.generate(said(f"Hi, it is {n}!", n=2)) for n in range(20)))
        assert len(first.completions) == 2
        assert all(completion.finish_reason in ("stop", "length") for completion in first.completions)
        second = await engine.generate(said("Hi, it is 0!", first.completions[0].text, "And you?"))
        assert second.prompt_tokens > first.prompt_tokens
        assert second.cached_tokens >= 64
        guided = await engine.generate(said("Hi!", json_schema=schema))
        written = guided.completions[0]
        assert written.finish_reason == "stop", written.text
        assert json.loads(written.text)["mood"] in ("glad", "sad")
        with pytest.raises(RequestError, match="512"):
            await engine.generate(said("I like trains. " * 400))

    use(vllm_server, talk, name="persona-lm")


def test_a_real_vllm_server_refuses_a_wrong_key(vllm_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with pytest.raises(EngineStartError, match="refuses the key in OPENAI_API_KEY"):
        ask(vllm_server, name="persona-lm")
