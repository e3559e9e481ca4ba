"""One server, asked until it answers: a request that meets trouble is asked again by itself, and no more requests are
in progress than the server bears.

What a server does wrong is never the fault of what it was asked. One that gives no answer to anything is waited for;
after that, or where it refuses the key or the account, it is asked no more. Only a request that fails again and again
while others are answered is to blame itself. Limitations: that takes as many failures as `max_retries` says.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import httpx2
from openai import APIStatusError, AsyncOpenAI, PermissionDeniedError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from factory.base.redact import redact
from factory.engines import Health, LanguageModel, Message, Request, RequestError, Sampling, ServerError
from factory.engines.answers import Answer, Refusal, Trouble, judge, read, read_names
from factory.engines.dialect import Dialect
from factory.engines.flow import Flow

_Got = TypeVar("_Got")

_DOUBLING = wait_random_exponential(multiplier=0.25, max=15)
_SOON_S = 1.0
"""Longest pause before a request is tried again on a server that answers others."""

_AWAY_AFTER_S = 10.0
"""A server that has given no answer for so long is said to be away."""

_LEAVE_AFTER_S = 15.0
"""Seconds that a server is waited for once the run is stopping."""

_NO_API = 3
"""Answers that are none, before the first that is one, after which the address leads to no API."""

_ALONE = 3
"""Failures of a request after which it is seen whether the server answers anything."""

_LIST_S, _GREETING_S = 30.0, 30.0
"""Longest waits, in seconds, for a list of models, and for an answer to what any server answers that is well."""

_CONNECT_S = 10.0
_HELLO = Request((Message(role="user", content="Say hello."),), Sampling(max_tokens=16))
"""What tells a server that is well from one that is not."""


class Server:
    """One server, for requests of one event loop. `dialect` is how it wants to be asked, as far as it has shown."""

    def __init__(
        self,
        model: LanguageModel,
        key: str | None,
        headers: Mapping[str, str],
        patience_s: float,
        health: Health,
    ) -> None:
        self.dialect = Dialect()
        self._model = model
        self._patience_s = patience_s
        self._health = health
        self._name = f"model {model.name}: {(model.base_url or 'https://api.openai.com/v1').partition('?')[0]}"
        # Asking again is done here, where all requests know of each other.
        self._client = AsyncOpenAI(
            api_key=key or "none",
            default_headers=headers,
            base_url=model.base_url,
            max_retries=0,
            timeout=httpx2.Timeout(model.timeout_s, connect=min(_CONNECT_S, model.timeout_s), pool=None),
        )
        self._flow = Flow(model.max_num_seqs, self._sleep)
        self._answers = 0
        self._answered_at = 0.0
        self._absent = False
        self._greeting = asyncio.Lock()
        self._greeted_at = 0.0
        self._trouble_since: float | None = None
        self._ended: str | None = None
        self._end = asyncio.Event()

    def learn_from(self, other: Server) -> None:
        """Take over what another one of the same server has found out."""
        self.dialect, self._answers = other.dialect, other._answers

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def check(self) -> None:
        """See that the server is there and has the model. Its list is asked first; where it has none, or one without
        the name, a chat request tells. Raises ServerError."""
        names = await self._retrying(self._names)
        if names is not None and self._model.name in names:
            return
        some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "") if names else "no list of its models"
        try:
            await self.ask(_HELLO, 1)
        except (RequestError, ServerError) as error:
            failure = str(error)
            said = failure.removeprefix(f"{self._name} ")
            if names and (self._absent or (isinstance(error, RequestError) and "model" in said.lower())):
                failure = self._say(f"does not have it; it has {some}; it {said}")
        else:
            self.tell(f"answers, though it has {some}")
            return
        raise ServerError(failure)

    async def ask(self, request: Request, n: int, *, probe: bool = False) -> Answer:
        """The server's answer to a request for `n` completions, of which it may give fewer; with `probe`, to one for
        the alternatives of the first token, where it gives them. Raises RequestError or ServerError."""
        return await self._retrying(partial(self._once, request, n, probe))

    def learn_single(self) -> None:
        """Note that the server gives fewer completions than asked for."""
        if self.dialect.many:
            self.dialect = replace(self.dialect, many=False)
            self.tell("gives one completion whatever n says: candidates are asked for one by one")

    def learn_ignored(self, field: str) -> None:
        """Note that the server ignores a field, which its answers show."""
        if field in (self.dialect.choice, "logprobs" if self.dialect.top else None):
            self.dialect, note = self.dialect.instead_of(field)
            self.tell(note)

    def tell(self, note: str) -> None:
        """Have the run say what was found out, once."""
        if (line := self._say(note)) not in self._health.notes:
            self._health.notes.append(line)

    async def _retrying(self, ask: Callable[[], Awaitable[_Got]]) -> _Got:
        failures = _Failures(self._answers)

        async def failed(state: RetryCallState) -> None:
            assert state.outcome is not None
            await self._failed(state.outcome.exception(), failures)

        async def wait(seconds: float) -> None:
            await self._sleep(seconds)

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Trouble), wait=self._pause, before_sleep=failed, sleep=wait
        )
        self._health.asking += 1
        try:
            return await retrying(ask)
        finally:
            self._health.asking -= 1

    async def _once(self, request: Request, n: int, probe: bool) -> Answer:
        async with self._flow.slot() as sent_at:
            if self._ended is not None:
                raise ServerError(self._ended)
            return await self._send(request, n, probe, sent_at)

    async def _send(self, request: Request, n: int, probe: bool, sent_at: float) -> Answer:
        """One answer. A field that is refused is left out at once, and for good once an answer has come without it."""
        dialect, notes = self.dialect, list[str]()
        while True:
            sent = dialect.arguments(self._model, request, n, probe=probe)
            verdict: Exception
            try:
                async with asyncio.timeout(self._model.timeout_s):
                    response = await self._client.chat.completions.with_raw_response.create(**sent)
                answer = read(response.http_response, self._model.api_key_env)
            except (Trouble, ServerError) as met:
                verdict = met
            except Exception as error:  # the layers below HTTP leak their own: an AttributeError of a reset connection
                verdict = judge(error, self._model.api_key_env)
            else:
                if notes:
                    self.dialect = dialect
                for note in notes:
                    self.tell(note)
                self._answered()
                return replace(answer, asked=frozenset({*sent, *sent.get("extra_body", ())}))
            # Outside of the handler: the client's error holds the key, and would be the context of what is raised.
            if isinstance(verdict, Refusal) and (other := dialect.after(verdict, sent)):
                dialect, note = other
                notes.append(note)
                continue
            raise self._verdict(verdict, sent_at)

    async def _names(self) -> list[str] | None:
        """The models that the server lists; none where it does not, or not with this key: a request will tell."""
        sent_at, refused = time.monotonic(), False
        try:
            response = await self._client.with_options(timeout=_LIST_S).models.with_raw_response.list()
        except PermissionDeniedError:
            return None
        except Exception as error:  # as of a request
            verdict = judge(error, self._model.api_key_env)
            refused = isinstance(error, APIStatusError)
        else:
            return read_names(response.http_response)
        if isinstance(verdict, Refusal) or (refused and isinstance(verdict, Trouble) and not verdict.busy):
            return None
        raise self._verdict(verdict, sent_at)

    def _verdict(self, verdict: Exception, sent_at: float) -> Exception:
        """What is raised for it."""
        if isinstance(verdict, Refusal):
            self._answered()
            return RequestError(self._say(str(verdict)))
        if isinstance(verdict, Trouble):
            verdict.sent_at = sent_at
            if verdict.busy:
                self._flow.refused(sent_at, verdict.pause_s)
            return verdict
        return self._over(str(verdict))

    def _answered(self) -> None:
        self._answers += 1
        self._answered_at = time.monotonic()
        self._trouble_since = None
        self._health.waiting = None
        self._flow.answered()

    async def _failed(self, trouble: BaseException | None, failures: _Failures) -> None:
        """Before a request is tried again: raises ServerError where nothing will come of it, RequestError where the
        request is to blame."""
        assert isinstance(trouble, Trouble)
        if self._trouble_since is None:
            self._trouble_since = max(trouble.sent_at, self._answered_at)
        failures.count += 1
        if self._ended is not None:
            raise ServerError(self._ended)
        if not self._answers and (trouble.absent or (trouble.strange and failures.count >= _NO_API)):
            self._absent = trouble.absent
            hint = "is it the model's name there?" if "model" in str(trouble) else "does base_url end in /v1?"
            raise self._over(f"{trouble}; {hint}")
        patience = self._patience_s if self._health.patient else _LEAVE_AFTER_S
        if trouble.pause_s >= patience:
            raise self._over(f"{trouble}; it wants to be left alone for {trouble.pause_s:.0f} s")
        untold = self._answers == failures.answers and self._health.patient and trouble.weight
        if untold and (failures.count > _ALONE or self._away() >= patience):
            await self._greet()
        if (away := self._away()) >= patience:
            raise self._over(f"{trouble}; no answer for {away:.0f} s (run.server_patience_s)")
        if max(away, trouble.pause_s) >= _AWAY_AFTER_S:
            self._health.waiting = self._say(f"{trouble}; waited for {away:.0f} s so far, at most {patience:.0f} s")
        if self._answers > failures.answers:
            failures.weight += trouble.weight
            failures.answers = self._answers
        if failures.weight > self._model.max_retries:
            raise RequestError(self._say(f"answers others, but failed {failures.count} times on this: {trouble}"))

    def _away(self) -> float:
        """Seconds for which the server has answered nothing."""
        return 0.0 if self._trouble_since is None else time.monotonic() - self._trouble_since

    async def _greet(self) -> None:
        """Ask what any healthy server answers: with no other requests in progress, nothing else would tell. Whoever
        comes while another asks takes what that one learns."""
        came_at = time.monotonic()
        async with self._greeting:
            if self._greeted_at < came_at:
                with suppress(Trouble, RequestError, ServerError, TimeoutError):
                    async with asyncio.timeout(_GREETING_S):
                        await self._once(_HELLO, 1, probe=False)
                self._greeted_at = time.monotonic()

    def _over(self, why: str) -> ServerError:
        """The server is asked no more, by anyone."""
        self._ended = self._say(why)
        self._end.set()
        return ServerError(self._ended)

    def _say(self, what: str) -> str:
        return redact(f"{self._name} {what}")

    def _pause(self, state: RetryCallState) -> float:
        """Seconds before a request is tried again: those that the server asked for, spread; else at random, up to a
        bound that doubles, but no longer than the server has given no answer at all."""
        trouble = state.outcome.exception() if state.outcome else None
        if isinstance(trouble, Trouble) and trouble.pause_s:
            return trouble.pause_s + random.random()
        return min(_DOUBLING(state), max(_SOON_S, self._away()))

    async def _sleep(self, seconds: float) -> bool:
        """Wait so long, but not beyond the end, nor for long once the run is stopping. Whether it was so long."""
        until = asked = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._end.is_set():
            if not self._health.patient:
                until = min(until, time.monotonic() + _LEAVE_AFTER_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._end.wait(), min(left, _SOON_S))
        return until == asked and not self._end.is_set()


@dataclass(slots=True)
class _Failures:
    """What one request has met: how often it failed, and how much of that speaks against it, since the server answered
    something else between two failures; `answers` are those that it had given by the last one."""

    answers: int
    count: int = 0
    weight: int = 0
