"""Any server that speaks OpenAI's chat completions: vLLM, TGI, llama.cpp, OpenAI itself.

How servers differ is found out as they answer: `n` that is ignored, fields that are refused or named otherwise, reasons
and counts that are missing. Limitations: token counts of single completions are shares of one count, since a server
counts all `n` together; servers that count nothing leave their tokens out of every cost.
"""

from __future__ import annotations

import asyncio

from factory.base.redact import KeyFormatError, read_key, without_keys
from factory.engines import Completion, Health, LanguageModel, Reply, Request, RequestError, ServerError
from factory.engines.answers import KNOWN, LENGTH, Answer
from factory.engines.server import Server


class OpenAIEngine:
    """A server that is asked over HTTP, at most `max_num_seqs` requests at once. Raises ServerError."""

    def __init__(self, model: LanguageModel, patience_s: float, health: Health) -> None:
        self.capacity = model.max_num_seqs
        self._model = model
        try:
            key = read_key(model.api_key_env)
        except KeyFormatError as error:
            raise ServerError(f"model {model.name}: {error}") from None
        if key is None and model.base_url is None:
            raise ServerError(
                f"model {model.name}: set the environment variable {model.api_key_env} to the server's key, or "
                "base_url to a server that needs none"
            )
        checked = Server(model, key, patience_s, health)
        asyncio.run(_check(checked))
        self._server = Server(model, key, patience_s, health)
        self._server.learn_from(checked)

    async def generate(self, request: Request) -> Reply:
        """Answer one request, with as many requests to the server as that takes."""
        if request.n > 1 and not self._server.dialect.many:
            return self._reply(request, await self._singles(request, request.n))
        answers = [await self._server.ask(request, request.n)]
        missing = request.n - len(answers[0].texts)
        if missing > 0:
            self._server.learn_single()
            answers += await self._singles(request, missing)
        return self._reply(request, answers)

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    async def _singles(self, request: Request, count: int) -> list[Answer]:
        return await asyncio.gather(*(self._server.ask(request, 1) for _ in range(count)))

    def _reply(self, request: Request, answers: list[Answer]) -> Reply:
        completions = [said for answer in answers for said in self._completions(request, answer)][: request.n]
        filtered = any(reason == "content_filter" for answer in answers for _, reason in answer.texts)
        if filtered and not any(completion.text for completion in completions):
            raise RequestError(f"model {self._model.name}: the server's content filter withheld the answer")
        counted = [answer.counted for answer in answers if answer.counted]
        return Reply(
            tuple(completions),
            prompt_tokens=sum(prompt for prompt, _, _ in counted),
            cached_tokens=sum(cached for _, cached, _ in counted),
        )

    def _completions(self, request: Request, answer: Answer) -> list[Completion]:
        for reason in answer.unknown_reasons:
            told = f"with {reason!r}" if reason else "without a reason"
            self._server.tell(f"ends its answers {told}: taken for whole, unless they are as long as allowed")
        if answer.counted is None:
            self._server.tell("counts no tokens: costs leave its answers out")
        generated, several = answer.counted[2] if answer.counted else 0, len(answer.texts)
        whole = generated < request.sampling.max_tokens * several
        return [
            Completion(_clean(text), (generated + number) // several, _ended(reason, whole=whole))
            for number, (text, reason) in enumerate(answer.texts)
        ]


async def _check(server: Server) -> None:
    """Check a server, in an event loop of its own."""
    try:
        await server.check()
    finally:
        await server.close()


def _ended(reason: str | None, *, whole: bool) -> str:
    """OpenAI's word for why a completion ended; `whole` if it is shorter than allowed."""
    if reason is None or reason.lower() not in KNOWN:
        return "stop" if whole else "length"
    return "length" if reason.lower() in LENGTH else "stop"


def _clean(text: str) -> str:
    """JSON can carry halves of surrogate pairs, which no UTF-8 column can hold; and some proxies answer a refused key
    with a completion that quotes it."""
    return without_keys(text.encode("utf-8", "replace").decode("utf-8"))
