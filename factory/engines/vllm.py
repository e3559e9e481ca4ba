"""The vLLM engine, inside the worker's process tree.

vLLM's synchronous engine is stepped by one thread that owns it from its making to its end; coroutines hand it requests
through a queue. A process of its own for the engine (AsyncLLM) halves the speed where cores are few, and gains little
where one worker feeds one engine. Gives up: an engine that fails takes its worker's requests with it; requests carry
no seed, since batching changes the arithmetic anyway.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import os
import queue
import re
import secrets
import textwrap
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError

from factory.batching import settle
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
from factory.models import resolve

_HEADROOM = 1.1
"""Requests in flight per sequence the engine runs: a freed slot never waits for the event loop (as in Ray Data)."""

_REASONS = (
    (
        r"^(?:LocalEntry|Repository|Revision)NotFound|^GatedRepo|Repo id must|Invalid repository ID|couldn't connect to"
        r"|not a valid model identifier|gated repo",
        "there is no such directory or bundled model, and the Hugging Face hub has none of that name and revision, "
        "cannot be reached, or wants a token (HF_TOKEN)",
    ),
    (
        r"KV cache is needed|cache blocks",
        "not enough memory for the KV cache; lower max_model_len, or raise gpu_memory_utilization (on a CPU: "
        "cpu_kv_cache_gib)",
    ),
    (
        r"out of memory|Free memory on device|on kv cache allocation",
        "not enough memory; free some, use a smaller or quantized model, or lower gpu_memory_utilization (on a CPU: "
        "cpu_kv_cache_gib) or raise tensor_parallel",
    ),
    (r"derived max_model_len", "max_model_len is more than the model was made for"),
    (r"chat_template is not set", "its tokenizer has no chat template; use a model that is tuned to chat"),
    (r"TemplateError", "its chat template refuses a system message, which every prompt here begins with"),
    (r"[Aa]rchitecture|HybridKVCacheCoordinator", "this vLLM cannot generate text with the model's architecture"),
    (r"compute capability|does not support b?float|not supported for quantization", "wrong dtype for it or this GPU"),
)
"""What vLLM 0.32 says when it cannot start, and what to tell people."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A request on its way to the engine's thread."""

    id: str
    prompt: list[int]
    params: Any
    future: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Abort:
    id: str


class VllmEngine:
    """vLLM on this machine's GPUs or, with its CPU build, on its cores. Raises EngineStartError."""

    def __init__(self, model: LanguageModel) -> None:
        self.capacity = max(model.max_num_seqs + 1, int(model.max_num_seqs * _HEADROOM))
        self._ids = itertools.count()
        self._inbox: queue.SimpleQueue[_Call | _Abort | None] = queue.SimpleQueue()
        self._calls: dict[str, _Call] = {}
        self._closed = False
        started: Future[tuple[ChatTokenizer, int]] = Future()
        # OpenMP keeps a pool of threads for each thread that calls it: the thread that steps also loads.
        self._thread = threading.Thread(target=self._pump, args=(model, started), name="vllm", daemon=True)
        self._thread.start()
        self._chat, self._max_model_len = started.result()

    async def generate(self, request: Request) -> Reply:
        """Answer one request; cancelling it frees its place in the engine."""
        if self._closed:
            raise EngineDeadError("the engine is closed")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call = _Call(str(next(self._ids)), self._prompt(request), _sampling_params(request), future)
        self._inbox.put(call)
        try:
            output = await future
        except asyncio.CancelledError:
            self._inbox.put(_Abort(call.id))
            raise
        return _reply(output, self._chat)

    async def close(self) -> None:
        """Stop the engine and free its memory; whatever is in flight ends with EngineDeadError."""
        self._closed = True
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)

    def _prompt(self, request: Request) -> list[int]:
        try:
            prompt = self._chat(request.messages)
        except (TemplateError, ValueError) as error:
            raise RequestError(f"the model's chat template refuses these messages: {error}") from error
        if len(prompt) + request.sampling.max_tokens > self._max_model_len:
            raise RequestError(
                f"a prompt of {len(prompt)} tokens and a completion of {request.sampling.max_tokens} (max_tokens) do "
                f"not fit max_model_len {self._max_model_len}"
            )
        return prompt

    # What follows runs in the engine's thread.

    def _pump(self, model: LanguageModel, started: Future[tuple[ChatTokenizer, int]]) -> None:
        try:
            engine, chat = _start(model)
        except BaseException as error:  # whatever it is, the thread that waits for the start must hear of it
            started.set_exception(error)
            return
        started.set_result((chat, engine.model_config.max_model_len))
        try:
            self._serve(engine)
            cause = "the engine was closed"
        except Exception as error:  # whatever vLLM raises while it steps, the engine is lost
            logging.getLogger(__name__).exception("vLLM stopped")
            cause = f"vLLM stopped: {type(error).__name__}: {error}"
        self._refuse(cause)
        engine.engine_core.shutdown()

    def _serve(self, engine: Any) -> None:
        while True:
            while self._calls == {} or not self._inbox.empty():
                item = self._inbox.get()
                if item is None:
                    return
                self._take(engine, item)
            done = [output for output in engine.step() if output.finished]
            settle(*((self._calls.pop(output.request_id).future, output) for output in done))

    def _take(self, engine: Any, item: _Call | _Abort) -> None:
        from vllm.exceptions import VLLMClientError
        from vllm.inputs.engine import tokens_input

        if isinstance(item, _Abort):
            if self._calls.pop(item.id, None):
                engine.abort_request([item.id])
            return
        self._calls[item.id] = item
        try:
            engine.add_request(item.id, tokens_input(item.prompt), item.params)
        except (ValueError, VLLMClientError) as error:
            del self._calls[item.id]
            settle((item.future, RequestError(f"vLLM refuses the request: {error}")))

    def _refuse(self, cause: str) -> None:
        """Fail what waits, and whatever still comes until the engine is closed."""
        settle(*((call.future, EngineDeadError(cause)) for call in self._calls.values()))
        while not self._closed or not self._inbox.empty():
            item = self._inbox.get()
            if isinstance(item, _Call):
                settle((item.future, EngineDeadError(cause)))


def _sampling_params(request: Request) -> Any:
    return _params(request.sampling, request.n, json.dumps(request.json_schema) if request.json_schema else None)


@lru_cache(256)  # vLLM copies them before it changes them
def _params(sampling: Sampling, n: int, schema: str | None) -> Any:
    from vllm.exceptions import VLLMClientError
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

    guide = StructuredOutputsParams(json=schema) if schema is not None else None
    try:
        return SamplingParams(
            n=n,
            structured_outputs=guide,
            output_kind=RequestOutputKind.FINAL_ONLY,
            detokenize=False,
            **sampling.model_dump(),
        )
    except VLLMClientError as error:
        raise RequestError(f"vLLM refuses the sampling: {error}") from error


def _reply(output: Any, chat: ChatTokenizer) -> Reply:
    failed = [part.finish_reason for part in output.outputs if part.finish_reason not in ("stop", "length")]
    if failed:
        raise RequestError(f"vLLM ended the request with {failed[0]!r}; a JSON schema it cannot compile does that")
    return Reply(
        completions=tuple(_completion(part.token_ids, part.finish_reason, chat) for part in output.outputs),
        prompt_tokens=len(output.prompt_token_ids),
        cached_tokens=output.num_cached_tokens or 0,
    )


def _completion(ids: Sequence[int], finish_reason: str, chat: ChatTokenizer) -> Completion:
    said = ids[:-1] if finish_reason == "stop" else ids  # the last one is the token that stopped it
    return Completion(chat.decode(said), len(ids), finish_reason)


def _start(model: LanguageModel) -> tuple[Any, ChatTokenizer]:
    # vLLM reads these when it is imported.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(model.cpu_kv_cache_gib)
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    try:
        from vllm import EngineArgs
        from vllm.platforms import current_platform
        from vllm.v1.engine.llm_engine import LLMEngine
    except ImportError as error:
        raise EngineStartError(
            f"model {model.name}: vLLM cannot be imported ({error}); pip install '.[cpu]' or '.[gpu]'"
        ) from error
    # The CPU build reuses whole blocks of 128 tokens unless told otherwise, longer than most turns; dies of a request
    # that it prefills in two chunks; and compiles for a minute, with a C++ compiler, to gain a fifth in speed.
    cpu = {"block_size": 32, "enable_chunked_prefill": False, "enforce_eager": True}
    platform = cpu if current_platform.is_cpu() else {}
    gc.freeze()  # vLLM collects garbage four times while it starts, and would look through all it imported each time
    try:
        engine = LLMEngine.from_engine_args(
            EngineArgs(
                model=resolve(model.name),
                served_model_name=model.name,
                revision=model.revision,
                tokenizer_revision=model.revision,
                dtype=model.dtype,
                quantization=model.quantization,
                trust_remote_code=model.trust_remote_code,
                max_model_len=model.max_model_len,
                max_num_seqs=model.max_num_seqs,
                tensor_parallel_size=model.tensor_parallel,
                distributed_executor_backend="mp" if model.tensor_parallel > 1 else "uni",
                gpu_memory_utilization=model.gpu_memory_utilization,
                enable_prefix_caching=True,
                # A small model writes blank lines between JSON tokens until max_tokens, if it may.
                structured_outputs_config={"backend": "guidance", "disable_any_whitespace": True},
                # vLLM seeds the whole process: workers with the default seed of 0 would draw the same dialogues.
                seed=secrets.randbits(31),
                disable_log_stats=True,
                use_tqdm_on_load=False,
                **platform,
            )
        )
        return engine, ChatTokenizer(engine.get_tokenizer())
    except Exception as error:  # vLLM raises many kinds; each becomes one sentence for people
        raise EngineStartError(f"model {model.name}: {_explain(error)}") from error


def _explain(error: Exception) -> str:
    """One sentence for what vLLM raised at its start, and the first line of its own words."""
    said = f"{type(error).__name__}: {error}"
    sentence = next((text for pattern, text in _REASONS if re.search(pattern, said)), "vLLM cannot start it")
    own = re.sub(r"^.*validation errors? for \w+\s+(?:Value error, )?|\s*\[type=.*", "", str(error), flags=re.DOTALL)
    return f"{sentence} (vLLM: {textwrap.shorten(own, 300, placeholder=' ...')})"
