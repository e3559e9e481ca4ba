"""Arguments of vLLM's engine that a job passes through, and which of them change nothing that is said.

Any argument counts as part of what the model is, unless it is known here as a knob: rows would rather be redone for
nothing than kept by mistake. Limitations: names and values are vLLM's, and are checked when a worker opens the model.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

KNOBS = frozenset({
    "all2all_backend", "async_scheduling", "block_size", "compilation_config", "cpu_offload_gb",
    "cudagraph_capture_sizes", "data_parallel_size", "device_ids", "disable_custom_all_reduce", "download_dir",
    "enable_chunked_prefill", "enable_expert_parallel", "enforce_eager", "kv_cache_memory_bytes",
    "long_prefill_token_threshold", "max_cudagraph_capture_size", "max_num_batched_tokens",
    "max_parallel_loading_workers", "num_gpu_blocks_override", "optimization_level", "performance_mode",
    "pipeline_parallel_size", "safetensors_load_strategy",
})  # fmt: skip
"""Arguments that change how fast it answers, or what that takes, and nothing else."""

TAKEN = {
    "model": "name", "revision": "revision", "tokenizer_revision": "revision", "dtype": "dtype",
    "quantization": "quantization", "trust_remote_code": "trust_remote_code", "max_model_len": "max_model_len",
    "max_num_seqs": "max_num_seqs", "tensor_parallel_size": "tensor_parallel",
    "gpu_memory_utilization": "gpu_memory_utilization",
}  # fmt: skip
"""Arguments that are fields of a model, by the names of these."""

OURS = frozenset({
    "disable_log_stats", "distributed_executor_backend", "enable_lora", "enable_prefix_caching", "hf_token",
    "max_lora_rank", "max_loras", "seed", "served_model_name", "structured_outputs_config", "tokenizer",
    "use_tqdm_on_load",
})  # fmt: skip
"""Arguments that are the factory's to set, or a secret's."""


def refusal(name: str) -> str | None:
    """Why a job may not pass an argument, if so."""
    if name in TAKEN:
        return f"this is the field {TAKEN[name]} of the model"
    if name == "hf_token":
        return "a token does not belong in a job file; set HF_TOKEN in the environment of the workers"
    return "the factory sets this argument itself" if name in OURS else None


def identifying(arguments: dict[str, Any]) -> dict[str, Any]:
    """Those of the arguments that can change what the model says."""
    return {name: value for name, value in arguments.items() if name not in KNOBS}


def unknown(arguments: Iterable[str], known: Iterable[str]) -> str | None:
    """What is wrong with the first argument that vLLM does not have, if one is."""
    names = list(known)
    for name in arguments:
        if name not in names:
            near = get_close_matches(name, names, 1)
            return f"engine_args.{name}: vLLM has no such argument" + (f"; did you mean {near[0]}?" if near else "")
    return None
