"""The process in which vLLM runs: started by `factory.engines.vllm`, which asks it through a pipe.

vLLM's synchronous engine is stepped in one loop; whatever was asked meanwhile is taken between two steps, and what one
step finished is answered in one message, as token ids. Limitations: requests carry no seed, since batching changes the
arithmetic anyway.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import queue
import re
import secrets
import signal
import textwrap
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from functools import cache, lru_cache
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from factory.base.hardware import has_bfloat16
from factory.base.packages import explain_missing
from factory.engines import UNSET, EngineDeadError, EngineStartError, LanguageModel, RequestError
from factory.engines.adapters import AdapterError, arguments, located, merged
from factory.engines.arguments import unknown
from factory.models import without_signs

_PR_SET_PDEATHSIG = 1

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
    (r"[Aa]rchitecture|HybridKVCacheCoordinator", "this vLLM cannot generate text with the model's architecture"),
    (r"compute capability|does not support b?float|not supported for quantization", "wrong dtype for it or this GPU"),
)
"""What vLLM 0.32 says when it cannot start, and what to tell people."""


class Texts(NamedTuple):
    """Ask for `n` completions: how they are sampled, as JSON, and the JSON Schema that they fit."""

    sampling: str
    n: int
    schema: str | None


class NextToken(NamedTuple):
    """Ask for the log probabilities of some tokens as the first one of a completion."""

    tokens: tuple[int, ...]


class Ask(NamedTuple):
    """A request: its prompt's token ids, what is wanted after them, and the place of its adapter among the engine's."""

    id: int
    prompt: list[int]
    wanted: Texts | NextToken
    adapter: int = 0


class Answer(NamedTuple):
    """What came of a request: of each completion its token ids without the one that ended it, how many tokens it took
    with that one, and its finish reason; prompt tokens from the cache, and log probabilities by token where those were
    wanted."""

    completions: list[tuple[list[int], int, str]]
    cached_tokens: int
    logprobs: dict[int, float]


def main(descriptor: int, worker: int) -> None:
    """Serve the engine at the other end of the pipe until that sends none, or its process, the worker, dies.

    The first message in is the model and its adapters; the first one out its tokenizer, its longest length and the
    tokens that end its answers, or an EngineStartError. Then lists of Ask, and of ids to abort, come in; lists of ids
    with an Answer or a RequestError go out, and at last an EngineDeadError if the engine fails.
    """
    # Whatever becomes of the worker, and whatever this process is doing then, it holds no memory for longer.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:  # it died before that
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's
    os.set_inheritable(descriptor, False)
    pipe = Connection(descriptor)
    gc.disable()  # imports make no garbage to speak of, and to look for it takes a fifth of their time
    try:
        engine, tokenizer, adapters = start(*pipe.recv())
    except EngineStartError as error:
        pipe.send(error)
        return
    gc.enable()
    pipe.send((tokenizer, engine.model_config.max_model_len, _stops(engine, tokenizer)))
    inbox: queue.SimpleQueue[list[Ask | int] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, inbox), daemon=True).start()
    try:
        _serve(engine, adapters, pipe, inbox)
    except Exception as error:  # whatever vLLM raises while it steps, the engine is lost
        logging.getLogger(__name__).exception("vLLM stopped")
        pipe.send(EngineDeadError(f"vLLM stopped: {type(error).__name__}: {error}"))
    engine.engine_core.shutdown()


def _listen(pipe: Connection[Any, Any], inbox: queue.SimpleQueue[list[Ask | int] | None]) -> None:
    with suppress(EOFError):
        while (items := pipe.recv()) is not None:
            inbox.put(items)
    inbox.put(None)


def _serve(
    engine: Any,
    adapters: Sequence[Any],
    pipe: Connection[Any, Any],
    inbox: queue.SimpleQueue[list[Ask | int] | None],
) -> None:
    running: set[int] = set()
    while True:
        while not running or not inbox.empty():
            items = inbox.get()
            if items is None:
                return
            refused = _take(engine, adapters, items, running)
            if refused:
                pipe.send(refused)
        done = [output for output in engine.step() if output.finished]
        if done:
            running.difference_update(int(output.request_id) for output in done)
            pipe.send([(int(output.request_id), _answer(output)) for output in done])


def _take(
    engine: Any, adapters: Sequence[Any], items: list[Ask | int], running: set[int]
) -> list[tuple[int, RequestError]]:
    """Begin what is asked and abort what is to be aborted; what vLLM refuses."""
    refused = []
    for item in items:
        if isinstance(item, int):
            if item in running:
                running.remove(item)
                engine.abort_request([str(item)])
            continue
        try:
            _begin(engine, adapters, item)
            running.add(item.id)
        except RequestError as error:
            refused.append((item.id, error))
    return refused


def _begin(engine: Any, adapters: Sequence[Any], ask: Ask) -> None:
    from vllm.exceptions import VLLMClientError
    from vllm.inputs.engine import tokens_input

    try:
        engine.add_request(
            str(ask.id),
            tokens_input(ask.prompt),
            _params(ask.wanted, _unset(engine)),
            lora_request=adapters[ask.adapter],
        )
    except (ValueError, VLLMClientError) as error:
        raise RequestError(f"vLLM refuses the request: {error}") from error


def _answer(output: Any) -> Answer:
    completions = [_completion(part) for part in output.outputs]
    first = (output.outputs[0].logprobs or [{}])[0]
    return Answer(completions, output.num_cached_tokens or 0, {token: told.logprob for token, told in first.items()})


def _completion(part: Any) -> tuple[list[int], int, str]:
    ids = list(part.token_ids)
    by_token = part.finish_reason == "stop" and not isinstance(part.stop_reason, str)
    return ids[:-1] if by_token else ids, len(ids), str(part.finish_reason)


def _stops(engine: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the tokenizer's, and those of the model's generation config."""
    named = engine.model_config.try_get_generation_config().get("eos_token_id")
    stops = [tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])]
    return list(dict.fromkeys(token for token in stops if token is not None))


@cache
def _unset(engine: Any) -> tuple[tuple[str, Any], ...]:
    """How the model is sampled where a request does not say."""
    own = engine.model_config.get_diff_sampling_param()
    own.pop("max_tokens", None)
    return tuple((own if "temperature" in own else UNSET | own).items())


@lru_cache(256)  # vLLM copies them before it changes them
def _params(wanted: Texts | NextToken, unset: tuple[tuple[str, Any], ...]) -> Any:
    from vllm.exceptions import VLLMClientError
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

    # Log probabilities are those of the model: temperature and the like, or a schema, have no part in them.
    if isinstance(wanted, NextToken):
        asked: dict[str, Any] = {"max_tokens": 1, "temperature": 0, "logprob_token_ids": list(wanted.tokens)}
    else:
        guide = StructuredOutputsParams(json=wanted.schema) if wanted.schema is not None else None
        asked = {"n": wanted.n, "structured_outputs": guide, **dict(unset), **json.loads(wanted.sampling)}
    try:
        # To find a text that ends an answer, vLLM must read it.
        spelled = bool(asked.get("stop"))
        return SamplingParams(output_kind=RequestOutputKind.FINAL_ONLY, detokenize=spelled, **asked)
    except VLLMClientError as error:
        raise RequestError(f"vLLM refuses the sampling: {error}") from error


def _weights(dtype: str) -> str:
    """The type of weights on a processor: of itself none that it only emulates, which takes several times as long."""
    return "float32" if dtype == "auto" and not has_bfloat16() else dtype


def _arguments(model: LanguageModel, revision: str | None, platform: dict[str, Any]) -> dict[str, Any]:
    """What vLLM is told of a model; `platform` is for processors, empty elsewhere."""
    return {
        "served_model_name": model.name,
        "revision": revision,
        "tokenizer_revision": revision,
        "dtype": _weights(model.dtype) if platform else model.dtype,
        "quantization": model.quantization,
        "trust_remote_code": model.trust_remote_code,
        "max_model_len": model.max_model_len,
        "max_num_seqs": model.max_num_seqs,
        "tensor_parallel_size": model.tensor_parallel,
        "distributed_executor_backend": "mp" if model.tensor_parallel > 1 else "uni",
        "gpu_memory_utilization": model.gpu_memory_utilization,
        "enable_prefix_caching": True,
        # A small model writes blank lines between JSON tokens until max_tokens, if it may.
        "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
        # vLLM seeds the whole process: workers with the default seed of 0 would draw the same dialogues.
        "seed": secrets.randbits(31),
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    } | platform


def start(model: LanguageModel, adapters: Sequence[str | None] = (None,)) -> tuple[Any, Any, list[Any]]:
    """vLLM's own engine, with the model and its adapters open (`None` is the model alone), the model's tokenizer, and
    the adapters as requests name them. Raises EngineStartError."""
    # vLLM reads these when it is imported.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(model.cpu_kv_cache_gib)
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    try:
        import torch
        from transformers import AutoTokenizer
        from vllm import EngineArgs
        from vllm.lora.request import LoRARequest
        from vllm.platforms import current_platform
        from vllm.v1.engine.llm_engine import LLMEngine
    except ImportError as error:
        raise EngineStartError(explain_missing(error, f"model {model.name}: engine vllm", "gpu")) from error
    # The CPU build reuses whole blocks of 128 tokens unless told otherwise, longer than most turns; dies of a request
    # that it prefills in two chunks; and compiles for a minute, with a C++ compiler, to gain a fifth in speed.
    cpu = {"block_size": 32, "enable_chunked_prefill": False, "enforce_eager": True}
    platform = cpu if current_platform.is_cpu() else {}
    if platform:  # or the first log probabilities are compiled, too, and without a compiler the engine dies of them
        os.environ["TORCHDYNAMO_DISABLE"] = "1"  # of processes that it starts
        torch._dynamo.config.disable = True
    if wrong := unknown(model.engine_args, (field.name for field in fields(EngineArgs))):
        raise EngineStartError(f"model {model.name}: {wrong}")
    gc.freeze()  # vLLM collects garbage four times while it starts, and would look through all it imported each time
    try:
        folders = [None if adapter is None else located(adapter) for adapter in adapters]
        name, revision = model.name, model.revision
        if platform and len(folders) == 1 and folders[0] is not None:
            name, revision, folders = str(merged(model, folders[0])), None, [None]
        room = arguments([folder for folder in folders if folder is not None])
        loras = [folder and LoRARequest(str(folder), number, str(folder)) for number, folder in enumerate(folders, 1)]
        with without_signs(name) as path:
            # The worker reads thoughts; an answer by a schema has none, and is not to wait for its end.
            asked = {name: value for name, value in model.engine_args.items() if name != "reasoning_parser"}
            given = _arguments(model, revision, platform) | room | asked
            engine = LLMEngine.from_engine_args(EngineArgs(model=path, **given))
            for lora in filter(None, loras):
                engine.add_lora(lora)
            # Not the engine's own, which cannot be sent elsewhere.
            tokenizer = AutoTokenizer.from_pretrained(
                path, revision=revision, trust_remote_code=model.trust_remote_code
            )
        return engine, tokenizer, loras
    except AdapterError as error:
        raise EngineStartError(f"model {model.name}: {error}") from error
    except Exception as error:  # vLLM raises many kinds; each becomes one sentence for people
        raise EngineStartError(f"model {model.name}: {explain(error)}") from error


def explain(error: Exception) -> str:
    """One sentence for what was raised at the start, and the first line of its own words."""
    said = f"{type(error).__name__}: {error}"
    sentence = next((text for pattern, text in _REASONS if re.search(pattern, said)), "vLLM cannot start it")
    own = re.sub(r"^.*validation errors? for \w+\s+(?:Value error, )?|\s*\[type=.*", "", str(error), flags=re.DOTALL)
    return f"{sentence} (vLLM: {textwrap.shorten(own, 300, placeholder=' ...')})"
