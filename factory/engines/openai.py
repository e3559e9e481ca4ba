"""Any server that speaks OpenAI's chat completions: vLLM, TGI, llama.cpp, OpenAI itself.

The official client retries 408, 409, 429, 5xx, time-outs and lost connections, with back-off and Retry-After. What the
server says of one request (400, 413, 422) is a matter of that request; whatever outlasts the retries is a matter of the
server. Gives up: token counts of single completions, since a server counts all `n` together.
"""

from __future__ import annotations

import asyncio
from typing import Any

from openai import APIConnectionError, APIStatusError, AsyncOpenAI, OpenAI, OpenAIError
from openai.types.chat import ChatCompletion

from factory.engines import Completion, EngineDeadError, EngineStartError, LanguageModel, Reply, Request, RequestError
from factory.redact import KeyFormatError, read_key, redact, without_keys

_REFUSALS = frozenset({400, 413, 422})


class OpenAIEngine:
    """A server that is asked over HTTP, `max_num_seqs` requests at once. Raises EngineStartError."""

    def __init__(self, model: LanguageModel) -> None:
        try:
            key = read_key(model.api_key_env)
        except KeyFormatError as error:
            raise EngineStartError(f"model {model.name}: {error}") from None
        if key is None and model.base_url is None:
            raise EngineStartError(
                f"model {model.name}: set the environment variable {model.api_key_env} to the server's key, or "
                "base_url to a server that needs none"
            )
        self.capacity = model.max_num_seqs
        self._model = model
        self._gate = asyncio.Semaphore(model.max_num_seqs)
        options: dict[str, Any] = {
            "api_key": key or "none",
            "base_url": model.base_url,
            "timeout": model.timeout_s,
            "max_retries": model.max_retries,
        }
        with OpenAI(**options) as client:
            self._check(client)
        self._client = AsyncOpenAI(**options)

    async def generate(self, request: Request) -> Reply:
        """Answer one request."""
        async with self._gate:
            try:
                return _reply(await self._client.chat.completions.create(**self._arguments(request)), request.n)
            except APIStatusError as error:
                kind = RequestError if error.status_code in _REFUSALS else EngineDeadError
                failure = kind(self._say(error))
            except (OpenAIError, AttributeError, TypeError, ValueError) as error:  # the client checks no answer's form
                failure = EngineDeadError(self._say(error))
        raise failure  # outside: the client's error holds the key, and would be this one's context

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _check(self, client: OpenAI) -> None:
        failure, known = None, list[str]()
        try:
            known = sorted(served.id for served in client.models.list())
        except (OpenAIError, AttributeError, TypeError, ValueError) as error:
            failure = EngineStartError(self._say(error))
        if failure is not None:
            raise failure
        if self._model.name not in known:
            some = redact(", ".join(known[:5])) + (", ..." if len(known) > 5 else "")
            raise EngineStartError(f"model {self._model.name}: the server does not have it; it has {some}")

    def _arguments(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        arguments: dict[str, Any] = {
            "model": self._model.name,
            "messages": list(request.messages),
            "n": request.n,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
        }
        if sampling.top_k > 0:  # not OpenAI's own, which refuses a field it does not know
            arguments["extra_body"] = {"top_k": sampling.top_k}
        if request.json_schema is not None:
            schema = {"name": "answer", "schema": request.json_schema, "strict": True}
            arguments["response_format"] = {"type": "json_schema", "json_schema": schema}
        return arguments

    def _say(self, error: Exception) -> str:
        """One sentence for an error, without the key, which a server may repeat. The error itself is not chained to
        what is raised, since it carries the request's headers."""
        server = (self._model.base_url or "api.openai.com").partition("?")[0]
        match error:
            case APIStatusError(status_code=401 | 403):
                text = f"refuses the key in {self._model.api_key_env} ({error.message})"
            case APIStatusError(status_code=404):
                text = f"has no such address or model; does base_url end in /v1? ({error.message})"
            case APIStatusError():
                text = f"answers {error.status_code}: {error.message}"
            case APIConnectionError():
                text = f"cannot be reached or does not answer: {error.__cause__ or error}"
            case _:
                text = f"sent what cannot be read: {error}"
        return redact(f"model {self._model.name}: {server} {text}")


def _reply(response: ChatCompletion, n: int) -> Reply:
    reasons = [choice.finish_reason for choice in response.choices]
    if len(reasons) != n or any(reason not in ("stop", "length") for reason in reasons):
        raise RequestError(f"the server gave {len(reasons)} of {n} completions, which ended with {', '.join(reasons)}")
    usage = response.usage
    generated = usage.completion_tokens if usage else 0
    details = usage.prompt_tokens_details if usage else None
    return Reply(
        completions=tuple(
            Completion(_clean(choice.message.content or ""), (generated + number) // n, choice.finish_reason)
            for number, choice in enumerate(response.choices)
        ),
        prompt_tokens=usage.prompt_tokens if usage else 0,
        cached_tokens=(details.cached_tokens or 0) if details else 0,
    )


def _clean(text: str) -> str:
    """JSON can carry halves of surrogate pairs, which no UTF-8 column can hold; and some proxies answer a refused key
    with a completion that quotes it."""
    return without_keys(text.encode("utf-8", "replace").decode("utf-8"))
