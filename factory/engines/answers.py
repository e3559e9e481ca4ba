"""What a server's answer means: completions, trouble of the server, or a refusal of this one request.

Servers that speak OpenAI's chat completions differ in all that their clients seldom look at: reasons, counts, the form
of errors. What is told here is told by statuses, codes and the words of the common ones. Limitations: a refusal that is
worded in another way than theirs is taken by its status alone.
"""

from __future__ import annotations

import html
import json
import math
import re
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import httpx2
from openai import APIStatusError, APITimeoutError
from pydantic import BaseModel, Field, ValidationError

from factory.base.redact import redact
from factory.engines import ServerError

_WORDS, _LOOKED_AT = 300, 4000
"""Characters of a server's own words that are kept, and of its answer that are looked at for them."""

_REQUEST = frozenset({400, 413, 422})
_ABSENT = frozenset({404, 405, 410})
_BUSY = frozenset({429, 504, 529})
_NO_MONEY = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance"}
)
_NO_MONEY_SAID = re.compile(r"insufficient (?:account )?(?:balance|credits?|funds)|credit balance is too low", re.I)
_BAD_KEY_SAID = re.compile(
    r"(?:invalid|incorrect|wrong|missing|expired) api.?key|api.?key (?:is )?(?:not valid|invalid|expired)", re.I
)
_TOO_LARGE_SAID = re.compile(r"request (?:is )?too large", re.I)
_OF_THE_REQUEST = re.compile(r"moderation|flagged|content.?(?:policy|filter)|safety|logprobs", re.I)

_NEVER = (httpx2.UnsupportedProtocol, httpx2.InvalidURL, httpx2.TooManyRedirects)

LENGTH = frozenset({"length", "max_tokens", "max_length", "model_length", "content_filter"})
"""Reasons of a completion that was cut off, in lower case; all others end one that is whole."""
KNOWN = LENGTH | {"stop"}
_BROKEN_OFF = frozenset({"error", "abort"})
"""Reasons of an answer that the server could not finish, or would not as it was shut down."""


class Trouble(Exception):  # noqa: N818 -- what is asked again is no error yet
    """The server did not answer: it is asked again. It is `busy` where it has too much to do, and wants to be left
    alone for `pause_s`; `absent` where it does not know the address or the model; `strange` where what it sent is no
    answer. `weight` is how much it counts against the request, where others are answered. `sent_at` is set where it is
    met."""

    def __init__(
        self,
        words: str,
        *,
        busy: bool = False,
        absent: bool = False,
        strange: bool = False,
        pause_s: float = 0.0,
        weight: int = 1,
    ) -> None:
        super().__init__(words)
        self.busy, self.absent, self.strange, self.pause_s, self.weight = busy, absent, strange, pause_s, weight
        self.sent_at = math.inf


class Refusal(Exception):  # noqa: N818 -- a field may be to blame
    """The server refuses this one request. `named` are the words among which it may name a field, the likeliest first,
    `code` is its own."""

    def __init__(self, words: str, named: tuple[str, ...] = (), code: str = "") -> None:
        super().__init__(words)
        self.named, self.code = named, code


class Text(NamedTuple):
    """One text, why it ended (none where the server does not say), and what the server says was thought before it."""

    text: str
    reason: str | None
    thought: str | None


class Counts(NamedTuple):
    """Tokens of the prompt, those of them that were cached, and of all texts with their thoughts; those of the thoughts
    alone, none if the server does not tell them apart."""

    prompt: int
    cached: int
    generated: int
    thinking: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The texts, and what the server counted; none if it does not count. `first` are the likeliest first tokens of the
    text with their log probabilities, if the server gives them; `asked` are the fields that it was asked with."""

    texts: tuple[Text, ...]
    counted: Counts | None
    first: tuple[tuple[str, float], ...] = ()
    asked: frozenset[str] = frozenset()

    @property
    def unknown_reasons(self) -> list[str | None]:
        """Reasons that are not OpenAI's."""
        return [one.reason for one in self.texts if one.reason is None or one.reason.lower() not in KNOWN]


class _Message(BaseModel):
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    reasoning: Any = None

    @property
    def thought(self) -> str | None:
        """What a server with a reasoning parser tells apart, under either of the two usual names."""
        return self.reasoning_content or (self.reasoning if isinstance(self.reasoning, str) else None) or None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: Any = None


class _Token(BaseModel):
    token: str
    logprob: float


class _Position(BaseModel):
    top_logprobs: list[_Token]


class _Logprobs(BaseModel):
    content: list[_Position] = Field(min_length=1)


class _Body(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None


def read(response: httpx2.Response, key_from: str) -> Answer:
    """The completions of an answer with status 200. Raises Trouble for what is none, and ServerError for one that holds
    an error of the key or the account, as some proxies send it."""
    body = _parsed(response)
    if body is None:
        words, detail = _shown(response), _detail(response)
        code = detail.get("code")
        if over := _refused_account(code if isinstance(code, int) else 200, detail, words, key_from):
            raise over
        raise Trouble(f"sent something other than a chat completion: {words}", strange=True)
    if any(choice.finish_reason in _BROKEN_OFF for choice in body.choices):
        raise Trouble("broke an answer off")
    return Answer(
        tuple(Text(_text(one.message.content), one.finish_reason, one.message.thought) for one in body.choices),
        _counts(body.usage),
        _first(body.choices[0].logprobs),
    )


def _parsed(response: httpx2.Response) -> _Body | None:
    with suppress(ValidationError):  # not to be the context of another error: it holds what the server sent
        return _Body.model_validate_json(response.content)
    return None


def read_names(response: httpx2.Response) -> list[str] | None:
    """The names in a list of models, sorted; none if it is no such list."""
    try:
        return sorted(str(served["id"]) for served in json.loads(response.content)["data"])
    except (ValueError, KeyError, TypeError):
        return None


def judge(error: Exception, key_from: str) -> Trouble | Refusal | ServerError:
    """What an error of the client means; `key_from` is the variable that holds the key."""
    if isinstance(error, APIStatusError):
        return _judge_status(error.response, key_from)
    if isinstance(error, UnicodeEncodeError):
        return Refusal(f"cannot be sent this text: {error.reason}")
    beneath = list(_causes(error))
    late = isinstance(error, TimeoutError | APITimeoutError)
    if late and not any(isinstance(cause, httpx2.ConnectTimeout) for cause in beneath):
        return Trouble("does not answer in time (timeout_s)", busy=True, weight=4)
    said = redact(str(beneath[-1]) or type(beneath[-1]).__name__)[:_WORDS]
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in beneath):
        return ServerError(f"has a certificate that cannot be trusted: {said}")
    if any(isinstance(cause, _NEVER) for cause in beneath):
        return ServerError(f"cannot be asked: {said}; check base_url")
    return Trouble(f"cannot be reached: {said}")


def _judge_status(response: httpx2.Response, key_from: str) -> Trouble | Refusal | ServerError:
    status, words, detail = response.status_code, _shown(response), _detail(response)
    if over := _refused_account(status, detail, words, key_from):
        return over
    if status in _REQUEST or status == 403 or (status == 429 and _TOO_LARGE_SAID.search(words)):
        return Refusal(f"answers {status}: {words}", _named(detail, words), str(detail.get("code") or ""))
    if status in _ABSENT:
        return Trouble(f"answers {status}: {words}", absent=True)
    pause_s = _pause(response)
    busy = status in _BUSY or pause_s > 0
    return Trouble(f"answers {status}: {words}", busy=busy, pause_s=pause_s, weight=int(status != 429))


def _refused_account(status: int, detail: dict[str, Any], words: str, key_from: str) -> ServerError | None:
    """The error for a key or an account that is refused, if this is one. A 403 without an error's object is a page of
    what stands before the server, and of the request: it does not like the content."""
    codes = {str(detail.get("code")), str(detail.get("type"))}
    said = _message(detail)
    if status == 402 or codes & _NO_MONEY or _NO_MONEY_SAID.search(said):
        return ServerError(f"says that the account has no credit: {words}")
    if status == 401 or (status == 400 and _BAD_KEY_SAID.search(said)):
        return ServerError(f"refuses the key in {key_from}: {words}")
    if status == 403 and detail and not _OF_THE_REQUEST.search(json.dumps(detail)):
        return ServerError(f"refuses the key in {key_from}, or the place that it is used at: {words}")
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _pause(response: httpx2.Response) -> float:
    """Seconds that the server wants to be left alone, by its Retry-After: a number or a date."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        value = response.headers.get(name, "").strip()
        if re.fullmatch(r"\d+(?:\.\d+)?", value):
            return float(value) / unit
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            continue
        return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())
    return 0.0


def _shown(response: httpx2.Response) -> str:
    """The server's own words: the message of an error, the title of a page, or the beginning of what it sent."""
    sent = response.text[:_LOOKED_AT]
    page = re.search(r"<title>\s*(.*?)\s*</title>", sent, re.IGNORECASE | re.DOTALL)
    text = _message(_json(response)) or (f"a web page, {html.unescape(page[1])!r}" if page else sent or "nothing")
    return redact(" ".join(text[:_LOOKED_AT].split()))[:_WORDS]


def _json(response: httpx2.Response) -> Any:
    with suppress(ValueError):
        return json.loads(response.content)
    return None


def _detail(response: httpx2.Response) -> dict[str, Any]:
    """The error's own object, which most servers put below `error`."""
    body = _json(response)
    inner = body.get("error", body) if isinstance(body, dict) else None
    return inner if isinstance(inner, dict) else {}


def _message(body: Any) -> str:
    """The message of an error, wherever it stands: OpenAI's, FastAPI's (`detail`), a plain string."""
    match body:
        case str():
            return body
        case {"error": inner} if inner:
            return _message(inner)
        case {"message": str(text)} | {"detail": str(text)} | {"msg": str(text)}:
            return text
        case {"message": inner} | {"detail": inner} if inner:
            return _message(inner)
        case [first, *_]:
            return _message(first)
    return ""


def _named(detail: dict[str, Any], words: str) -> tuple[str, ...]:
    """Fields that a refusal names: by `param`, by the place in the body (FastAPI), or as words of the message."""
    places = [place for one in _listed(detail.get("detail")) for place in _listed(one.get("loc"))]
    param = str(detail.get("param") or "").partition(".")[0]
    return (param, *map(str, places), *re.findall(r"[A-Za-z_]\w*", words))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(content: str | list[dict[str, Any]] | None) -> str:
    """A message's text, which some servers give in parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content)
    return content or ""


def _first(logprobs: Any) -> tuple[tuple[str, float], ...]:
    with suppress(ValidationError):
        told = _Logprobs.model_validate(logprobs).content[0].top_logprobs
        return tuple((one.token, min(one.logprob, 0.0)) for one in told if not math.isnan(one.logprob))
    return ()


def _counts(usage: Any) -> Counts | None:
    if not isinstance(usage, dict) or not isinstance(usage.get("completion_tokens"), int):
        return None
    return Counts(
        _number(usage, "prompt_tokens") or 0,
        _number(usage.get("prompt_tokens_details"), "cached_tokens") or 0,
        usage["completion_tokens"],
        _number(usage.get("completion_tokens_details"), "reasoning_tokens"),
    )


def _number(counts: Any, name: str) -> int | None:
    found = counts.get(name) if isinstance(counts, dict) else None
    return found if isinstance(found, int) else None
