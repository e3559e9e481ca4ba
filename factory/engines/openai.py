"""Any server that speaks OpenAI's chat completions: vLLM, TGI, llama.cpp, OpenAI itself.

How servers differ is found out as they answer: `n` that is ignored, fields that are refused or named otherwise, reasons
and counts that are missing, log probabilities that are not given. Limitations: token counts of single completions are
shares of one count, since a server counts all `n` together; servers that count nothing leave their tokens out of every
cost; choices that begin with the same token are sampled and counted, whatever the server shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from itertools import cycle
from random import Random

from factory.base.redact import KeyFormatError, read_key, without_keys
from factory.engines import (
    Completion,
    Health,
    LanguageModel,
    Reply,
    Request,
    RequestError,
    Sampling,
    ServerError,
)
from factory.engines.answers import KNOWN, LENGTH, Answer, Counts, Text
from factory.engines.choices import begun, counted, drawn, find, shares
from factory.engines.reasoning import split
from factory.engines.server import Server

_JSON_TOKENS = 16
"""Tokens that an answer to choices may have beside the choice's own, of which there are no more than bytes."""


class OpenAIEngine:
    """A server that is asked over HTTP, at most `max_num_seqs` requests at once. Raises ServerError."""

    def __init__(self, model: LanguageModel, patience_s: float, health: Health) -> None:
        self.capacity = model.max_num_seqs
        self._model = model
        self._chance = Random()
        try:
            key = read_key(model.api_key_env)
            headers = {header: read_key(variable, blanks=True) for header, variable in model.headers_env.items()}
        except KeyFormatError as error:
            raise ServerError(f"model {model.name}: {error}") from None
        given = {header: value for header, value in headers.items() if value is not None}
        if lacking := [variable for header, variable in model.headers_env.items() if header not in given]:
            raise ServerError(f"model {model.name}: set the environment variable {lacking[0]}, as headers_env says")
        if key is None and model.base_url is None:
            raise ServerError(
                f"model {model.name}: set the environment variable {model.api_key_env} to the server's key, or "
                "base_url to a server that needs none"
            )
        checked = Server(model, key, given, patience_s, health)
        asyncio.run(_check(checked))
        self._server = Server(model, key, given, patience_s, health)
        self._server.learn_from(checked)

    async def generate(self, request: Request) -> Reply:
        """Answer one request, with as many requests to the server as that takes."""
        if request.choices:
            return await self._choose(request)
        answers = await self._answers(request, request.n)
        return _reply(answers, self._completions(request, answers)[: request.n])

    async def _choose(self, request: Request) -> Reply:
        """The choices' probabilities, shown by the server or else counted, and completions that are drawn by them."""
        room = max(len(choice.encode()) for choice in request.choices) + _JSON_TOKENS
        plain = replace(
            request, sampling=Sampling(temperature=1, top_p=1, max_tokens=max(request.sampling.max_tokens, room))
        )
        answers: list[Answer] = []
        if self._server.dialect.top:
            probe = await self._server.ask(plain, 1, probe=True)
            answers.append(probe)
            if probabilities := begun(probe.first, request.choices):
                completions = drawn(request, probabilities, _generated(answers), self._chance)
                return replace(_reply(answers, completions), probabilities=probabilities, source="logprobs")
            if "logprobs" in probe.asked and not probe.first and not _filtered([probe]):
                self._server.learn_ignored("logprobs")
        # Where they were refused on the way, the answer is a whole one.
        sampled = [answer for answer in answers if "logprobs" not in answer.asked]
        if (missing := request.samples - len(sampled)) > 0:
            sampled += (more := await self._answers(plain, missing))
            answers += more
        said = self._completions(plain, sampled)[: request.samples]
        strays = [one for one in said if find(one.text, request.choices) is None]
        if any(one.finish_reason == "stop" for one in strays):
            for field in frozenset.intersection(*(answer.asked for answer in sampled)):
                self._server.learn_ignored(field)
        return self._count(request, answers, said, strays)

    def _count(
        self, request: Request, answers: list[Answer], said: list[Completion], strays: list[Completion]
    ) -> Reply:
        """The reply by what was said in sampled answers, of which the strays are no choice."""
        probabilities = counted([one.text for one in said], request.choices)
        tokens, completions = _generated(answers), list[Completion]()
        if probabilities is not None:
            completions += drawn(request, probabilities, tokens, self._chance)
        else:
            parts = zip(cycle(strays), shares(tokens, request.n), strict=False)
            completions += [replace(one, tokens=part) for one, part in parts]
        return replace(
            _reply(answers, completions),
            probabilities=probabilities,
            source="samples",
            samples=len(said),
            unmatched=len(strays),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    async def _answers(self, request: Request, count: int) -> list[Answer]:
        """Answers with so many texts together, or more."""
        if count > 1 and not self._server.dialect.many:
            return await self._singles(request, count)
        answer = await self._server.ask(request, count)
        if (missing := count - len(answer.texts)) <= 0:
            return [answer]
        self._server.learn_single()
        return [answer, *await self._singles(request, missing)]

    async def _singles(self, request: Request, count: int) -> list[Answer]:
        return await asyncio.gather(*(self._server.ask(request, 1) for _ in range(count)))

    def _completions(self, request: Request, answers: list[Answer]) -> list[Completion]:
        """The texts of answers. Raises RequestError where a filter withheld all."""
        completions = [said for answer in answers for said in self._read(request, answer)]
        if _filtered(answers) and not any(completion.text for completion in completions):
            raise RequestError(f"model {self._model.name}: the server's content filter withheld the answer")
        return completions

    def _read(self, request: Request, answer: Answer) -> list[Completion]:
        for reason in answer.unknown_reasons:
            told = f"with {reason!r}" if reason else "without a reason"
            self._server.tell(f"ends its answers {told}: taken for whole, unless they are as long as allowed")
        if answer.counted is None:
            self._server.tell("counts no tokens: costs leave its answers out")
        generated, several = _generated([answer]), len(answer.texts)
        whole = generated < request.sampling.max_tokens * several
        thinking = None if answer.counted is None else answer.counted.thinking
        return [
            _completion(text, share, None if thinking is None else thinking // several, whole=whole)
            for text, share in zip(answer.texts, shares(generated, several), strict=True)
        ]


def _completion(text: Text, tokens: int, thinking: int | None, *, whole: bool) -> Completion:
    """One text of an answer; where the thoughts' tokens are not counted, they are taken by the characters."""
    said, thought = split(_clean(text.text))
    if text.thought is not None:
        thought = _clean(text.thought)
    if thought is None:
        return Completion(said, tokens, _ended(text.reason, whole=whole))
    if not thinking:
        thinking = tokens * len(thought) // max(1, len(thought) + len(said))
    return Completion(said, tokens, _ended(text.reason, whole=whole), reasoning=thought, reasoning_tokens=thinking)


def _filtered(answers: Iterable[Answer]) -> bool:
    return any(text.reason == "content_filter" for answer in answers for text in answer.texts)


def _generated(answers: Iterable[Answer]) -> int:
    """Tokens of all texts, as far as the server counts them."""
    return sum(answer.counted.generated for answer in answers if answer.counted)


def _reply(answers: Iterable[Answer], completions: Iterable[Completion]) -> Reply:
    """A reply with the calls and the prompt's tokens of all answers."""
    counts = [answer.counted or Counts(0, 0, 0, None) for answer in answers]
    return Reply(
        tuple(completions),
        prompt_tokens=sum(one.prompt for one in counts),
        cached_tokens=sum(one.cached for one in counts),
        calls=len(counts),
    )


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
