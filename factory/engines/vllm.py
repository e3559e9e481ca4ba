"""The vLLM engine, in a process of its own below the worker.

Prompts go there as token ids and answers come back so, in one message for all that are there at the time: templates,
tokenizers, scorers and the coroutines of the dialogues have an interpreter to themselves. In one process with them the
engine waits at each of their steps (a tenth of its speed). vLLM's own engine process (AsyncLLM) hands over every token,
which halves the speed where cores are few. Limitations: an engine that fails takes its worker's requests with it; the
process imports what the worker has imported.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

from factory.base.futures import settle
from factory.base.packages import needing
from factory.engines import (
    Completion,
    EngineDeadError,
    EngineStartError,
    LanguageModel,
    Reply,
    Request,
    RequestError,
    Sampling,
)
from factory.engines.chat import ChatTokenizer
from factory.engines.choices import drawn
from factory.engines.parsers import parser
from factory.engines.template import ChatTemplateError
from factory.engines.trie import ChoiceTrie
from factory.engines.vllm_process import Answer, Ask, NextToken, Texts, explain
from factory.models import OPENING

_Started: TypeAlias = "tuple[Connection[Any, Any], ChatTokenizer, int, list[int]]"

_HEADROOM = 1.1
"""Requests in flight per sequence the engine runs: a freed slot never waits for the event loop (as in Ray Data)."""

_MAIN = """
import sys, types

factory = sys.modules["factory"] = types.ModuleType("factory")
factory.__path__ = sys.argv[3:]
from factory.engines.vllm_process import main

main(int(sys.argv[1]), int(sys.argv[2]))
"""
"""Of the process: the package without what its public names import, Ray and polars among it, which takes a second."""


class VllmEngine:
    """vLLM on this machine's GPUs or, with its CPU build, on its cores, to answer with one of the adapters (`None`: the
    model alone). Raises EngineStartError, or EngineDeadError if the process dies while it starts."""

    def __init__(self, model: LanguageModel, adapters: Sequence[str | None] = (None,)) -> None:
        self.capacity = max(model.max_num_seqs + 1, int(model.max_num_seqs * _HEADROOM))
        self._name, self._ids = model.name, itertools.count()
        self._adapters = {adapter: place for place, adapter in enumerate(adapters)}
        self._unsent: list[Ask | int] = []
        self._calls: dict[int, asyncio.Future[Answer]] = {}
        self._ended: str | None = None
        self._chance = random.Random()
        started: Future[_Started] = Future()
        # The kernel ends the process with the thread that started it: this one lives as long as the engine.
        self._thread = threading.Thread(target=self._attend, args=(model, adapters, started), name="vllm", daemon=True)
        self._thread.start()
        self._pipe, self._chat, self._max_model_len, self._stops = started.result()

    async def generate(self, request: Request) -> Reply:
        """Answer one request; cancelling it frees its place in the engine."""
        if request.choices:
            return await self._choose(request)
        prompt, longest = self._prompt(request), request.sampling.max_tokens
        self._check_fits(prompt, longest, f"a completion of {longest} (max_tokens)")
        schema = json.dumps(request.json_schema) if request.json_schema else None
        texts = Texts(_sampled(request.sampling), request.n, schema)
        return _reply(request, prompt, await self._ask(request, prompt, texts), self._chat)

    async def _choose(self, request: Request) -> Reply:
        """The choices' probabilities, by as many prompts as their tokens have branches, and completions that are drawn
        by them."""
        prompt = self._prompt(request)
        paths = [tuple(self._chat.answer(request.messages, choice)) for choice in request.choices]
        if len(set(paths)) < len(paths):
            raise RequestError(f"the model's tokenizer cannot tell all choices apart: {', '.join(request.choices)}")
        self._check_fits(prompt, longest := max(map(len, paths)) + 1, f"a choice of {longest}")
        trie = ChoiceTrie(paths, self._stops)
        asked = [([*prompt, *path], NextToken(tuple(tokens))) for path, tokens in trie.branches.items()]
        answers = await asyncio.gather(*(self._ask(request, ids, wanted) for ids, wanted in asked))
        probabilities = trie.probabilities(
            {path: answer.logprobs for path, answer in zip(trie.branches, answers, strict=True)}
        )
        return Reply(
            drawn(request, probabilities, len(asked), self._chance),
            prompt_tokens=sum(len(ids) for ids, _ in asked),
            cached_tokens=sum(answer.cached_tokens for answer in answers),
            calls=len(asked),
            probabilities=probabilities,
            source="logprobs",
        )

    async def _ask(self, request: Request, prompt: list[int], wanted: Texts | NextToken) -> Answer:
        ask = Ask(next(self._ids), prompt, wanted, self._adapters[request.adapter])
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._calls[ask.id] = future
        self._send(ask)
        try:
            answer = await future
        except asyncio.CancelledError:
            if self._calls.pop(ask.id, None):
                self._send(ask.id)
            raise
        failed = [reason for _, _, reason in answer.completions if reason not in ("stop", "length")]
        if failed:
            raise RequestError(f"vLLM ended the request with {failed[0]!r}; a JSON schema it cannot compile does that")
        return answer

    async def close(self) -> None:
        """Stop the engine and free its memory; whatever is in flight ends with EngineDeadError."""
        if self._ended is None:
            with suppress(OSError):  # it has just died
                self._pipe.send(None)
        self._ended = "the engine was closed"
        await asyncio.to_thread(self._thread.join)

    def _send(self, item: Ask | int) -> None:
        """Send it with all else that this turn of the event loop has to send."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(item)

    def _flush(self) -> None:
        items, self._unsent = self._unsent, []
        try:
            if self._ended is None:
                self._pipe.send(items)
                return
        except OSError:  # the process is gone, and its thread is about to say why
            self._thread.join()
        self._refuse()

    def _prompt(self, request: Request) -> list[int]:
        try:
            return self._chat(request.messages)
        except ChatTemplateError as error:
            raise RequestError(f"model {self._name}: {error}") from error

    def _check_fits(self, prompt: list[int], longest: int, answer: str) -> None:
        if len(prompt) + longest > self._max_model_len:
            raise RequestError(
                f"a prompt of {len(prompt)} tokens and {answer} do not fit max_model_len {self._max_model_len}"
            )

    def _refuse(self) -> None:
        """Fail what waits for an engine that has ended."""
        refused = []
        with suppress(KeyError):  # until it is empty: another thread may be adding or taking
            while True:
                refused.append(self._calls.popitem()[1])
        settle(*((future, EngineDeadError(str(self._ended))) for future in refused))

    # What follows runs in the engine's thread.

    def _attend(self, model: LanguageModel, adapters: Sequence[str | None], started: Future[_Started]) -> None:
        try:
            process, pipe = _spawn()
            opened = _open(model, adapters, process, pipe)
        except BaseException as error:  # whatever it is, the thread that waits for the start must hear of it
            started.set_exception(error)
            return
        started.set_result((pipe, *opened))
        try:
            while not isinstance(answers := pipe.recv(), EngineDeadError):
                settled = [(self._calls.pop(number, None), answer) for number, answer in answers]
                settle(*((future, answer) for future, answer in settled if future is not None))
            cause = str(answers)
        except (EOFError, OSError):
            cause = f"vLLM's process died ({_end_of(process)})"
        self._ended = self._ended or cause
        self._refuse()
        process.wait()


def _spawn() -> tuple[subprocess.Popen[bytes], Connection[Any, Any]]:
    """The process, and the pipe to it."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(  # noqa: S603 -- this very interpreter
            [sys.executable, "-P", "-c", _MAIN, str(theirs.fileno()), str(os.getpid()), str(Path(__file__).parents[1])],
            pass_fds=[theirs.fileno()],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
    return process, Connection(ours.detach())


def _open(
    model: LanguageModel, adapters: Sequence[str | None], process: subprocess.Popen[bytes], pipe: Connection[Any, Any]
) -> tuple[ChatTokenizer, int, list[int]]:
    """The model's tokenizer, its longest length and the tokens that end its answers."""
    try:
        pipe.send((model, tuple(adapters)))
        _prepare_for_tokenizer(model)  # while the process is at work
        pipe.poll(None)
        with OPENING:
            told = pipe.recv()
    except (EOFError, OSError):
        raise EngineDeadError(f"model {model.name}: vLLM's process died as it started ({_end_of(process)})") from None
    if isinstance(told, EngineStartError):
        raise told
    tokenizer, max_model_len, stops = told
    try:
        named = model.engine_args.get("reasoning_parser")
        chat = ChatTokenizer(tokenizer, model.chat_template_kwargs, named and parser(named, tokenizer))
        return chat, max_model_len, stops
    except (EngineStartError, ChatTemplateError) as error:
        raise EngineStartError(f"model {model.name}: {error}") from error
    except Exception as error:  # of the chat template, or of a tokenizer that vLLM alone knows
        raise EngineStartError(f"model {model.name}: {explain(error)}") from error


def _prepare_for_tokenizer(model: LanguageModel) -> None:
    """Import what a tokenizer is made of, and where its repository's code is imported from."""
    with OPENING, needing(f"model {model.name}: engine vllm", "gpu"):
        from transformers import PreTrainedTokenizerFast  # noqa: F401
        from transformers.dynamic_module_utils import init_hf_modules

        if model.trust_remote_code:
            try:
                init_hf_modules()  # type: ignore[no-untyped-call]
            except OSError as error:
                raise EngineStartError(
                    f"model {model.name}: its code needs a folder that can be written ({error}); set HF_MODULES_CACHE"
                ) from error


def _end_of(process: subprocess.Popen[bytes]) -> str:
    code = process.wait()
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


@lru_cache(256)
def _sampled(sampling: Sampling) -> str:
    return json.dumps(sampling.told())


def _reply(request: Request, prompt: list[int], answer: Answer, chat: ChatTokenizer) -> Reply:
    completions = tuple(_completion(request, *completion, chat) for completion in answer.completions)
    return Reply(completions, len(prompt), answer.cached_tokens)


def _completion(request: Request, ids: list[int], tokens: int, finish_reason: str, chat: ChatTokenizer) -> Completion:
    text, thought, thinking = chat.said(ids, guided=request.json_schema is not None)
    ends = [place for stop in request.sampling.stop if (place := text.find(stop)) >= 0]
    return Completion(
        text[: min(ends, default=None)], tokens, finish_reason, reasoning=thought, reasoning_tokens=thinking
    )
