"""The openai engine against a server that misbehaves on command, and against a real vLLM server, both on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import uvloop

from factory.base.redact import redact
from factory.engines import Health, LanguageModel, Message, Reply, Request, RequestError, Sampling, ServerError
from factory.engines.openai import OpenAIEngine
from factory.engines.server import Server
from tests.conftest import KEY
from tests.engines.reference import constrained
from tests.model_server import (
    CUT,
    HALF,
    HANG,
    RESET,
    Answer,
    ModelServer,
    allowing,
    as_json,
    completions,
    error,
    first_token,
    page,
    serving,
    stream,
)

ASKED = Request((Message(role="system", content="Chat."), Message(role="user", content="Hi!")), Sampling(max_tokens=8))
BAD = {
    "overloaded": error(503, "overloaded"),
    "broken": error(500),
    "bad gateway": page("502 Bad Gateway", 502),
    "rate limit": error(429, retry_after_ms="10"),
    "reset": RESET,
    "half": HALF,
    "cut": CUT,
    "page": page(),
    "stream": stream(),
    "error as 200": as_json({"choices": None, "error": {"message": "Provider returned error", "code": 502}}),
    "no choices": as_json({"choices": []}),
    "nothing": Answer(200, b""),
    "null": as_json(None),
    "broken off": completions("I was", reason="error"),
    "shut down": completions("I was", reason="abort"),
}


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with serving(ModelServer()) as started:
        yield started


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ask(server: ModelServer | str, request: Request = ASKED, **fields: Any) -> Reply:
    return use(server, lambda engine: engine.generate(request), **fields)


def use(
    server: ModelServer | str,
    work: Callable[[OpenAIEngine], Awaitable[Any]],
    *,
    patience_s: float = 5.0,
    health: Health | None = None,
    **fields: Any,
) -> Any:
    url = server.url if isinstance(server, ModelServer) else server
    model = LanguageModel(**{"engine": "openai", "name": "m", "base_url": url, "timeout_s": 2, **fields})
    engine = OpenAIEngine(model, patience_s, health or Health())

    async def main() -> Any:
        try:
            return await work(engine)
        finally:
            await engine.close()

    return asyncio.run(main())


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_request_that_meets_trouble_is_asked_again(server: ModelServer, bad: Answer) -> None:
    server.in_turn(completions("First."), bad, bad, completions("Hello."))

    async def twice(engine: OpenAIEngine) -> list[str]:
        return [(await engine.generate(ASKED)).completions[0].text for _ in range(2)]

    assert use(server, twice) == ["First.", "Hello."]
    assert len(server.asked) == 4


def test_a_reset_connection_is_trouble_on_the_event_loop_of_workers_too() -> None:
    """On uvloop, which Ray's workers use, a reset at once leaks an error of the layers below HTTP."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.1)
    done = threading.Event()

    def reset() -> None:
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listening.accept()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

    async def many() -> list[Any]:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        server = Server(LanguageModel(engine="openai", name="m", base_url=url), KEY, {}, 2.0, Health())
        return await asyncio.gather(*(server.ask(ASKED, 1) for _ in range(100)), return_exceptions=True)

    thread = threading.Thread(target=reset)
    thread.start()
    try:
        ended = uvloop.run(many())
    finally:
        done.set()
        thread.join()
        listening.close()
    assert {type(one) for one in ended} == {ServerError}


def test_a_request_that_hangs_is_asked_again_by_itself(server: ModelServer) -> None:
    server.reply = lambda body: HANG if len(server.asked) == 3 else completions("Hello.")

    async def many(engine: OpenAIEngine) -> None:
        await asyncio.gather(*(engine.generate(ASKED) for _ in range(8)))

    use(server, many, timeout_s=0.5)
    assert len(server.asked) == 9


def test_a_server_that_is_away_is_waited_for(server: ModelServer) -> None:
    health = Health()

    async def through_a_restart(engine: OpenAIEngine) -> Reply:
        await engine.generate(ASKED)
        await asyncio.to_thread(server.stop)
        waiting = asyncio.create_task(engine.generate(ASKED))
        await asyncio.sleep(1)
        assert not waiting.done()
        await asyncio.to_thread(server.start)
        return await waiting

    assert use(server, through_a_restart, patience_s=60, health=health).completions[0].text == "Hello."
    assert health.waiting is None


@pytest.mark.parametrize(
    ("bad", "said"),
    [(error(503, "overloaded"), "answers 503: overloaded"), (HANG, "does not answer in time"), (RESET, "cannot be")],
)
def test_a_server_that_stays_away_ends_every_request(server: ModelServer, bad: Answer, said: str) -> None:
    server.in_turn(completions("First."), bad)

    async def many(engine: OpenAIEngine) -> list[Any]:
        await engine.generate(ASKED)
        return await asyncio.gather(*(engine.generate(ASKED) for _ in range(5)), return_exceptions=True)

    ended = use(server, many, patience_s=1, timeout_s=0.3 if bad is HANG else 5)
    assert all(isinstance(one, ServerError) for one in ended)
    assert said in str(ended[0])
    assert "run.server_patience_s" in str(ended[0])


def test_a_server_is_no_longer_waited_for_once_the_run_stops(server: ModelServer, monkeypatch: Any) -> None:
    monkeypatch.setattr("factory.engines.server._LEAVE_AFTER_S", 0.5)
    server.in_turn(completions("First."), error(503))
    health = Health()

    async def stopping(engine: OpenAIEngine) -> None:
        await engine.generate(ASKED)
        health.patient = False
        await engine.generate(ASKED)

    with pytest.raises(ServerError):
        use(server, stopping, patience_s=600, health=health)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (error(401, "no such key"), "refuses the key in OPENAI_API_KEY: no such key"),
        (error(403, "not from here"), "refuses the key"),
        (error(402, "pay first"), "no credit: pay first"),
        (error(429, "You have used up your quota.", "insufficient_quota"), "no credit: You have used up"),
        (error(400, "API key not valid. Please pass a valid API key."), "refuses the key"),
        (error(400, "Your credit balance is too low to access the API."), "no credit"),
        (error(429, "try tomorrow", retry_after="86400"), "wants to be left alone for 86400 s"),
        (as_json({"error": {"message": "Insufficient credits", "code": 402}}), "no credit: Insufficient credits"),
    ],
)
def test_a_refused_key_and_an_empty_account_end_it_at_once(server: ModelServer, bad: Answer, said: str) -> None:
    server.reply = lambda _: bad

    async def twice(engine: OpenAIEngine) -> list[Any]:
        first = await asyncio.gather(*(engine.generate(ASKED) for _ in range(3)), return_exceptions=True)
        asked = len(server.asked)
        first += await asyncio.gather(engine.generate(ASKED), return_exceptions=True)
        assert len(server.asked) == asked, "it is asked no more"
        return first

    ended = use(server, twice, patience_s=600)
    assert all(isinstance(one, ServerError) and said in str(one) for one in ended), ended


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (error(400, "maximum context length is 2048 tokens"), "maximum context length"),
        (error(400, "max_tokens is too large: the context has 2048 tokens"), "too large"),
        (error(413), "413"),
        (as_json({"detail": [{"loc": ["body", "messages"], "msg": "too odd"}]}, 422), "too odd"),
        (error(403, "Your input was flagged by moderation"), "flagged"),
        (page("Request blocked", 403), "Request blocked"),
        (as_json({"detail": "odd", "input": "I have insufficient funds."}, 422), "odd"),
        (error(429, "Request too large for m: Limit 10000, Requested 12000"), "too large"),
        (completions("", reason="content_filter"), "content filter"),
    ],
)
def test_a_refused_request_is_a_matter_of_the_request(server: ModelServer, bad: Answer, said: str) -> None:
    server.reply = lambda _: bad
    with pytest.raises(RequestError, match=said):
        ask(server)
    assert len(server.asked) == 1


@pytest.mark.parametrize("bad", [error(500), error(503), RESET, HANG], ids=["500", "503", "reset", "hang"])
@pytest.mark.parametrize("others", [True, False])
def test_a_request_that_a_well_server_always_fails_on_is_to_blame(
    server: ModelServer, others: bool, bad: Answer
) -> None:
    server.reply = lambda body: bad if "poison" in str(body) else completions("Hello.")
    poisoned = Request((Message(role="user", content="poison"),), Sampling())

    async def ask_both(engine: OpenAIEngine) -> Any:
        requests = [poisoned, *([ASKED] * 3 if others else [])]
        return await asyncio.gather(*(engine.generate(one) for one in requests), return_exceptions=True)

    first, *rest = use(server, ask_both, max_retries=2, patience_s=600, timeout_s=0.5 if bad is HANG else 5)
    assert isinstance(first, RequestError), first
    assert "answers others, but failed" in str(first)
    assert all(isinstance(one, Reply) for one in rest)


def test_a_request_is_not_to_blame_for_an_outage_that_it_failed_in(server: ModelServer) -> None:
    """Its failures while the server answered nothing do not count, also once others are answered again."""
    steps = iter(["ok"] + ["out"] * 8)

    def reply(body: dict[str, Any]) -> Answer:
        if (step := next(steps, "back")) == "back" and "long" in str(body) and len(server.asked) % 2:
            return error(500)
        return error(500) if step == "out" else completions("Hello.")

    server.reply = reply
    long = Request((Message(role="user", content="long"),), Sampling())

    async def through_an_outage(engine: OpenAIEngine) -> list[Reply]:
        await engine.generate(ASKED)
        return await asyncio.gather(engine.generate(long), *(engine.generate(ASKED) for _ in range(2)))

    assert len(use(server, through_an_outage, max_retries=3, patience_s=60)) == 3


def test_a_rate_limit_is_waited_out_with_fewer_requests_at_once(server: ModelServer) -> None:
    free = allowing(3, 0.4)
    server.reply = lambda _: completions("Hello.") if free() else error(429, "slow down", retry_after_ms="400")

    async def many(engine: OpenAIEngine) -> None:
        await asyncio.gather(*(engine.generate(ASKED) for _ in range(24)))

    use(server, many, max_num_seqs=24, patience_s=3)
    assert server.good == 24
    assert len(server.asked) < 24 * 5


def test_what_one_request_is_told_to_wait_all_wait(server: ModelServer) -> None:
    at: list[float] = []

    def reply(_: dict[str, Any]) -> Answer:
        at.append(time.monotonic())
        return error(429, "slow down", retry_after="2") if len(at) == 1 else completions("Hello.")

    async def one_and_another(engine: OpenAIEngine) -> None:
        first = asyncio.create_task(engine.generate(ASKED))
        await asyncio.sleep(0.5)
        await asyncio.gather(first, engine.generate(ASKED))

    server.reply = reply
    use(server, one_and_another)
    assert len(at) == 3
    assert at[1] - at[0] >= 1.9, "the server is left alone"


def test_the_key_is_sent(server: ModelServer) -> None:
    ask(server)
    assert server.keys == {f"Bearer {KEY}"}
    assert server.gateway == {None}


def test_headers_are_sent_with_all_requests_from_the_environment(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServerError, match="set the environment variable GATEWAY, as headers_env says"):
        ask(server, headers_env={"X-Gateway": "GATEWAY"})
    assert server.gateway == set()
    monkeypatch.setenv("GATEWAY", " Basic gateway-secret-of-ours\n")
    ask(server, headers_env={"X-Gateway": "GATEWAY"})
    assert server.gateway == {"Basic gateway-secret-of-ours"}
    assert server.keys == {f"Bearer {KEY}"}
    assert "gateway" not in redact("it is Basic gateway-secret-of-ours")


def test_the_request_as_sent(server: ModelServer) -> None:
    ask(server)
    schema = {"type": "object", "properties": {}}
    server.reply = lambda _: completions(*(f"Hello {number}." for number in range(3)))
    sampling = Sampling(
        temperature=0, top_p=0.5, top_k=20, min_p=0.1, repetition_penalty=1.1, presence_penalty=0.2,
        frequency_penalty=0.3, stop=("Bye",),
    )  # fmt: skip
    reply = ask(server, Request(ASKED.messages, sampling, n=3, json_schema=schema))
    plain, full = server.asked
    assert plain.keys() == {"model", "messages", "max_tokens", "stream"}, "what is not set is the server's own"
    assert {name: full[name] for name in sampling.told()} == sampling.told()
    assert full["n"] == 3
    assert full["response_format"]["json_schema"]["schema"] == schema
    assert sum(completion.tokens for completion in reply.completions) == 7
    assert (reply.prompt_tokens, reply.cached_tokens) == (9, 4)


def test_a_server_that_ignores_n_is_asked_as_often_as_completions_are_missing(server: ModelServer) -> None:
    server.reply = lambda _: completions(f"Hello {len(server.asked)}.")
    health = Health()

    async def twice(engine: OpenAIEngine) -> list[Reply]:
        return [await engine.generate(Request(ASKED.messages, Sampling(), n=3)) for _ in range(2)]

    replies = use(server, twice, health=health)
    texts = {completion.text for reply in replies for completion in reply.completions}
    assert len(texts) == len(server.asked) == 6
    assert [body.get("n", 1) for body in server.asked] == [3, 1, 1, 1, 1, 1]
    assert (replies[0].calls, replies[0].prompt_tokens) == (3, 27)
    assert [note.partition("/v1 ")[2][:20] for note in health.notes] == ["gives one completion"]


@pytest.mark.parametrize(
    ("refused", "message", "param"),
    [
        ("max_tokens", "Unsupported parameter: use 'max_completion_tokens' instead.", "max_tokens"),
        ("max_tokens", "max_tokens is not supported with this model; use max_completion_tokens.", None),
        ("temperature", "Unsupported value: only the default is supported.", "temperature"),
        ("top_k", "Unrecognized request argument supplied: top_k", None),
        ("min_p", "Unknown field: min_p", None),
        ("n", "Only one completion choice is allowed", None),
        ("stream", "stream: Extra inputs are not permitted", None),
        ("top_p", "`temperature` and `top_p` cannot both be specified; please use only one.", None),
        ("response_format", "This model does not support response_format of type json_schema", "response_format.type"),
    ],
)
def test_a_field_that_is_refused_is_left_out_once_and_for_all(
    refused: str, message: str, param: str | None, server: ModelServer
) -> None:
    def reply(body: dict[str, Any]) -> Answer:
        kept = body.get(refused)
        if kept is not None and (refused != "response_format" or kept["type"] == "json_schema"):
            return as_json({"error": {"message": message, "param": param, "code": "unsupported"}}, 400)
        return completions(*["{}"] * body.get("n", 1))

    server.reply, health = reply, Health()
    sampling = Sampling(temperature=1, top_p=0.9, top_k=5, min_p=0.1, max_tokens=8)
    request = Request(ASKED.messages, sampling, n=2, json_schema={"type": "object"})

    async def twice(engine: OpenAIEngine) -> list[Reply]:
        return [await engine.generate(request) for _ in range(2)]

    assert [len(reply.completions) for reply in use(server, twice, health=health)] == [2, 2]
    assert sum(refused in body for body in server.asked) == (3 if refused == "response_format" else 1)
    assert len(health.notes) == 1
    assert refused in health.notes[0] or refused in ("n", "response_format")
    if refused == "max_tokens":
        assert server.asked[-1]["max_completion_tokens"] == 8


def test_fastapi_names_a_field_by_its_place(server: ModelServer) -> None:
    detail = [{"loc": ["body", "top_k"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}]
    server.reply = lambda body: as_json({"detail": detail}, 422) if "top_k" in body else completions("Hello.")
    assert ask(server, Request(ASKED.messages, Sampling(top_k=5))).completions[0].text == "Hello."


def test_a_field_is_not_left_out_for_good_where_that_was_not_it(server: ModelServer) -> None:
    server.in_turn(error(400, "Unsupported: top_k"), error(400, "the input is odd"), completions("Hello."))
    request, health = Request(ASKED.messages, Sampling(top_k=5)), Health()

    async def twice(engine: OpenAIEngine) -> None:
        with pytest.raises(RequestError, match="odd"):
            await engine.generate(request)
        await engine.generate(request)

    use(server, twice, health=health)
    assert ["top_k" in body for body in server.asked] == [True, False, True]
    assert health.notes == []


@pytest.mark.parametrize(
    ("reason", "ended"),
    [("stop", "stop"), ("length", "length"), ("max_tokens", "length"), ("MAX_TOKENS", "length"), ("eos_token", "stop"),
     ("content_filter", "length"), ("tool_calls", "stop"), ("STOP", "stop"), (None, "stop")],
)  # fmt: skip
def test_reasons_of_all_sorts_or_none(reason: str | None, ended: str, server: ModelServer) -> None:
    server.reply = lambda _: completions("Hello.", reason=reason)
    health = Health()
    assert ask(server, health=health).completions[0].finish_reason == ended
    assert len(health.notes) == ((reason or "").lower() not in ("stop", "length", "max_tokens", "content_filter"))


@pytest.mark.parametrize("reason", [None, "done"])
def test_an_answer_without_a_known_reason_that_is_as_long_as_allowed_was_cut_off(
    reason: str | None, server: ModelServer
) -> None:
    server.reply = lambda _: completions("Hello.", reason=reason)
    assert ask(server, Request(ASKED.messages, Sampling(max_tokens=7))).completions[0].finish_reason == "length"


def test_no_usage_and_content_in_parts_or_none(server: ModelServer) -> None:
    parts: list[Any] = [[{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}], None]
    server.reply = lambda _: completions(*parts, usage=False)
    health = Health()
    reply = ask(server, Request(ASKED.messages, Sampling(), n=2), health=health)
    assert [completion.text for completion in reply.completions] == ["Hello.", ""]
    assert (reply.prompt_tokens, reply.completions[0].tokens) == (0, 0)
    assert "counts no tokens" in health.notes[0]


def thinking(content: str, thought: str | None = None, tokens: int | None = None) -> Any:
    answer = json.loads(completions(content).body or b"")
    if thought is not None:
        answer["choices"][0]["message"]["reasoning_content"] = thought
    if tokens is not None:
        answer["usage"]["completion_tokens_details"] = {"reasoning_tokens": tokens}
    return as_json(answer)


@pytest.mark.parametrize(
    ("answer", "said", "counted"),
    [
        (thinking("<think>She sails.</think>\n\nHello."), ("Hello.", "She sails."), None),
        (thinking("She sails.</think>Hello.", tokens=1), ("Hello.", "She sails."), 1),
        (thinking("Hello.", "She sails."), ("Hello.", "She sails."), None),
        (thinking("", "She sails."), ("", "She sails."), None),
        (thinking("Hello."), ("Hello.", None), 0),
    ],
)
def test_thoughts_are_told_apart_and_counted(
    server: ModelServer, answer: Any, said: tuple[str, str | None], counted: int | None
) -> None:
    server.reply = lambda _: answer
    completion = ask(server).completions[0]
    assert (completion.text, completion.reasoning) == said
    assert (
        0 < completion.reasoning_tokens <= completion.tokens
        if counted is None
        else (completion.reasoning_tokens == counted)
    )


def test_what_the_job_says_besides_goes_into_each_request(server: ModelServer) -> None:
    ask(server, chat_template_kwargs={"enable_thinking": False}, extra_body={"reasoning_effort": "low"})
    assert server.asked[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert server.asked[0]["reasoning_effort"] == "low"


def test_no_more_requests_at_once_than_the_job_says(server: ModelServer) -> None:
    use(server, lambda engine: asyncio.gather(*(engine.generate(ASKED) for _ in range(20))), max_num_seqs=3)
    assert len(server.asked) == 20
    assert server.most_at_once == 3


LISTS = {
    "missing": error(404),
    "not for this key": error(403, "You have insufficient permissions for this operation."),
    "not implemented": error(500, "not implemented"),
    "a page": page("Sign in"),
    "half": Answer(200, b'{"data": [{"id": "m"', {"Content-Type": "application/json"}),
    "another form": as_json(["m"]),
    "without the name": as_json({"data": [{"id": "some/m"}]}),
    "empty": as_json({"data": []}),
}


@pytest.mark.parametrize("models", LISTS.values(), ids=LISTS)
def test_where_the_list_of_models_tells_nothing_a_request_tells(server: ModelServer, models: Answer) -> None:
    server.models, health = models, Health()
    assert ask(server, health=health).completions[0].text == "Hello."
    assert len(server.asked) == 2
    assert len(health.notes) == 1
    assert "127.0.0.1" in health.notes[0]


@pytest.mark.parametrize("status", [400, 404])
def test_a_model_that_the_server_does_not_have(server: ModelServer, status: int) -> None:
    server.reply = lambda _: error(status, "The model does not exist")
    with pytest.raises(ServerError, match="does not have it; it has m"):
        ask(server, name="other", patience_s=600)


def test_one_hanging_request_is_no_server_that_is_away(server: ModelServer) -> None:
    """It hangs for longer than a server is waited for, with no others under way."""
    server.reply = lambda body: HANG if "poison" in str(body) else completions("Hello.")
    poisoned = Request((Message(role="user", content="poison"),), Sampling())
    with pytest.raises(RequestError, match="answers others"):
        ask(server, poisoned, timeout_s=0.7, patience_s=1, max_retries=4)


def test_a_pause_is_cut_short_once_the_run_stops(server: ModelServer, monkeypatch: Any) -> None:
    monkeypatch.setattr("factory.engines.server._LEAVE_AFTER_S", 0.5)
    server.in_turn(completions("First."), error(429, "slow down", retry_after="300"))
    health = Health()

    async def stopping(engine: OpenAIEngine) -> None:
        await engine.generate(ASKED)
        waiting = asyncio.create_task(engine.generate(ASKED))
        await asyncio.sleep(0.5)
        assert "slow down" in str(health.waiting)
        health.patient = False
        await asyncio.wait_for(waiting, 10)

    with pytest.raises(ServerError):
        use(server, stopping, patience_s=600, health=health)


@pytest.mark.parametrize("nothing", [error(404), page("Sign in"), page("Not found", 404), error(405)])
def test_an_address_that_leads_to_no_api(server: ModelServer, nothing: Answer) -> None:
    server.models, server.reply = nothing, lambda _: nothing
    with pytest.raises(ServerError, match=r"127.0.0.1.*does base_url end in /v1\?"):
        ask(server, patience_s=600)


def test_a_server_that_is_not_up_yet_is_waited_for() -> None:
    server, health = ModelServer(), Health()
    server.start()
    server.stop()

    async def late() -> Reply:
        opening = asyncio.create_task(asyncio.to_thread(ask, server, patience_s=60, health=health))
        await asyncio.sleep(1)
        server.start()
        return await opening

    assert asyncio.run(late()).completions[0].text == "Hello."
    server.stop()
    with pytest.raises(ServerError, match=r"cannot be reached: .*run.server_patience_s"):
        ask(server, patience_s=0.5)


def test_a_key_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ServerError, match="set the environment variable OPENAI_API_KEY"):
        OpenAIEngine(LanguageModel(engine="openai", name="m"), 0, Health())


YES_OR_NO = Request(ASKED.messages, Sampling(temperature=0, top_k=5, max_tokens=8), choices=("Yes", "No"), samples=4)


def test_choices_are_as_probable_as_the_server_shows(server: ModelServer) -> None:
    server.reply, health = lambda _: first_token(yes=0.6, no=0.2, Well=0.2), Health()
    reply = ask(server, YES_OR_NO, health=health)
    assert reply.probabilities == pytest.approx((0.75, 0.25))
    assert (reply.source, reply.samples, reply.calls, reply.prompt_tokens) == ("logprobs", 0, 1, 9)
    assert [(one.text, one.choice, one.tokens) for one in reply.completions] == [("Yes", 0, 7)]
    (body,) = server.asked
    assert (body["top_logprobs"], body["max_tokens"], body["structured_outputs"]) == (20, 1, {"choice": ["Yes", "No"]})
    assert health.notes == []


def test_choices_whose_first_tokens_tell_nothing_are_sampled(server: ModelServer) -> None:
    answers = [first_token(Yes=0.5, Maybe=0.3), completions("Yes", "yes.", "No", "Perhaps")]
    server.in_turn(*answers)
    health = Health()
    reply = ask(server, YES_OR_NO, health=health)
    assert reply.probabilities == pytest.approx((2 / 3, 1 / 3))
    assert (reply.source, reply.samples, reply.unmatched, reply.calls) == ("samples", 4, 1, 2)
    assert (reply.prompt_tokens, sum(one.tokens for one in reply.completions)) == (18, 14), (
        "all that was asked is counted"
    )
    assert [one.text for one in reply.completions] == ["Yes"]
    probe, sampling = server.asked
    assert (sampling["n"], sampling["temperature"]) == (4, 1)
    assert sampling["max_tokens"] > len('{"answer": "Yes"}'), "there is room for a choice, whatever the request's own"
    assert "top_k" not in sampling
    assert "logprobs" not in sampling
    assert [note.partition("/v1 ")[2][:27] for note in health.notes] == ["takes no structured_outputs"]


def test_answers_none_of_which_is_a_choice_give_no_probabilities(server: ModelServer) -> None:
    server.reply = lambda body: completions(*["Well…"] * body.get("n", 1))
    reply = ask(server, replace(YES_OR_NO, n=3))
    assert (reply.probabilities, reply.samples, reply.unmatched) == (None, 4, 4)
    assert [(one.text, one.choice) for one in reply.completions] == [("Well…", None)] * 3
    assert sum(one.tokens for one in reply.completions) == 14


REFUSALS = {
    "logprobs": as_json({"error": {"message": "You may not request logprobs from this model"}}, 403),
    "top_logprobs": as_json({"error": {"message": "top_logprobs is not for this model", "param": "top_logprobs"}}, 400),
    "structured_outputs": as_json({"error": {"message": "Unrecognized argument supplied: structured_outputs"}}, 400),
    "guided_choice": as_json(
        {"detail": [{"loc": ["body", "guided_choice"], "msg": "Extra inputs not permitted"}]}, 422
    ),
    "response_format": as_json({"error": {"message": "response_format is not supported"}}, 400),
    "n": as_json({"error": {"message": "n is not supported", "param": "n"}}, 400),
}


def test_what_a_server_refuses_of_choices_is_found_out_once(server: ModelServer) -> None:
    def reply(body: dict[str, Any]) -> Answer:
        return next((refusal for field, refusal in REFUSALS.items() if field in body), completions("No."))

    server.reply, health = reply, Health()

    async def twice(engine: OpenAIEngine) -> list[Reply]:
        return [await engine.generate(YES_OR_NO) for _ in range(2)]

    for got in use(server, twice, health=health):
        assert (got.probabilities, got.samples, got.unmatched) == ((0, 1), 4, 0)
    first, again = server.asked[:-4], server.asked[-4:]
    assert all(not REFUSALS.keys() & body.keys() for body in again)
    assert {sum(field in body for body in first) for field in ("logprobs", "n")} == {1}
    assert len(health.notes) == len(set(health.notes)) == 5


def test_a_server_that_ignores_logprobs_is_found_out_once(server: ModelServer) -> None:
    server.reply, health = lambda body: completions(*["No"] * body.get("n", 1)), Health()

    async def twice(engine: OpenAIEngine) -> list[Reply]:
        return [await engine.generate(YES_OR_NO) for _ in range(2)]

    assert [reply.calls for reply in use(server, twice, health=health)] == [2, 1]
    assert [note.partition("/v1 ")[2] for note in health.notes] == [
        "gives no log probabilities: answers to choices are sampled and counted"
    ]


def test_a_server_with_fewer_alternatives_is_asked_for_fewer(server: ModelServer) -> None:
    def reply(body: dict[str, Any]) -> Answer:
        if body["top_logprobs"] > 5:
            return error(400, "Invalid value for top_logprobs: must be between 0 and 5")
        return first_token(Yes=0.9, No=0.1)

    server.reply = reply
    assert ask(server, YES_OR_NO).source == "logprobs"
    assert [body["top_logprobs"] for body in server.asked] == [20, 5]


def test_choices_are_held_in_the_way_that_the_server_knows(server: ModelServer) -> None:
    """It ignores what it does not know, so its answers tell."""

    def reply(body: dict[str, Any]) -> Answer:
        if "response_format" not in body:
            return completions(*["I would say yes."] * body.get("n", 1))
        schema = body["response_format"]["json_schema"]["schema"]
        said = {name: described["enum"][0] for name, described in schema["properties"].items()}
        return completions(*[json.dumps(said)] * body.get("n", 1))

    server.reply = reply

    async def thrice(engine: OpenAIEngine) -> list[Reply]:
        return [await engine.generate(YES_OR_NO) for _ in range(3)]

    assert [reply.unmatched for reply in use(server, thrice)] == [4, 4, 0]


def test_choices_meet_trouble_as_texts_do(server: ModelServer) -> None:
    server.in_turn(completions("First."), error(503), RESET, first_token(Yes=0.9, No=0.1))

    async def both(engine: OpenAIEngine) -> Reply:
        await engine.generate(ASKED)
        return await engine.generate(YES_OR_NO)

    assert use(server, both).probabilities == pytest.approx((0.9, 0.1))


def test_a_filter_that_withholds_every_sample_is_a_matter_of_the_request(server: ModelServer) -> None:
    server.reply = lambda body: completions(*[""] * body.get("n", 1), reason="content_filter")
    with pytest.raises(RequestError, match="content filter"):
        ask(server, YES_OR_NO)


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
        tea = said("Do you like tea?", choices=("Yes", "No"))
        chosen = await engine.generate(tea)
        assert chosen.source == "logprobs"
        assert chosen.probabilities == pytest.approx(constrained(tea), abs=0.03)
        sampled = await engine.generate(said("Do you like tea?", choices=("Yes, I do", "Yes, I am"), samples=200))
        assert (sampled.source, sampled.samples, sampled.unmatched) == ("samples", 200, 0)
        with pytest.raises(RequestError, match="512"):
            await engine.generate(said("I like trains. " * 400))

    health = Health()
    use(vllm_server, talk, name="tiny", health=health, timeout_s=60)
    assert health.notes == []


def test_a_real_vllm_server_refuses_a_wrong_key(vllm_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with pytest.raises(ServerError, match="refuses the key in OPENAI_API_KEY"):
        ask(vllm_server, name="tiny")
