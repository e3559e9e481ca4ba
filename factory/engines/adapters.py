"""LoRA adapters, as PEFT writes them: where they lie, what vLLM is told of them, and one merged into its model.

Where an engine holds several, vLLM computes each one's part on its own, which its CPU build does at a third of the
model's speed (SmolLM2, two cores); one that is alone is merged there, once. Limitations: a tokenizer that lies with an
adapter is not read; the base model's answers for it too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from factory.base.fingerprint import blake
from factory.engines import LanguageModel
from factory.models import is_folder, resolve, revision_of, short
from factory.models.cached import made_once

_VERSION = "1"
"""Raised when weights would be merged otherwise."""
_UNUSED = ["onnx/*", "original/*", "*.gguf", "*.msgpack", "*.h5", "*.pth"]
"""Files of a hub's model that transformers does not open."""
_CONFIG = "adapter_config.json"
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM makes room for."""


class AdapterError(Exception):
    """An adapter that cannot be used: which, why, and what to do."""


def located(adapter: str) -> Path:
    """The adapter's folder, downloaded if it is a hub's. Raises AdapterError."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        place = resolve(adapter)
        folder = Path(
            place
            if is_folder(place)
            else snapshot_download(adapter, ignore_patterns=["*.md", "optimizer*", "training_args.bin"])
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise AdapterError(
            f"adapter {adapter}: there is no such folder, and the Hugging Face hub has none of that name, cannot be "
            f"reached, or wants a token (HF_TOKEN): {error}"
        ) from error
    if not (folder / _CONFIG).is_file():
        raise AdapterError(f"adapter {short(adapter)}: {folder} holds no {_CONFIG}, so it is not a PEFT adapter")
    return folder


def arguments(folders: Sequence[Path]) -> dict[str, Any]:
    """What vLLM's engine is opened with to answer with any of these adapters. Raises AdapterError."""
    if not folders:
        return {}
    rank = max(_rank(folder) for folder in folders)
    room = next(room for room in _RANKS if room >= rank)
    # One place more, which stays empty: the CPU build answers requests without an adapter by the last place's when they
    # are in one batch with others (vLLM 0.32).
    return {"enable_lora": True, "max_loras": len(folders) + 1, "max_lora_rank": room}


def merged(model: LanguageModel, adapter: Path) -> Path:
    """The model with an adapter in its weights, made in the cache if it is not there: in float32, then rounded to the
    type of the model's files. Raises OSError and what transformers and PEFT raise."""
    from huggingface_hub import snapshot_download

    place = resolve(model.name)
    folder = place if is_folder(place) else snapshot_download(place, revision=model.revision, ignore_patterns=_UNUSED)
    name = blake("merged", _VERSION, revision_of(folder, None), revision_of(str(adapter), None))
    return made_once(f"merged-{name}", partial(_merge, folder, adapter, model.trust_remote_code))


def _merge(folder: str, adapter: Path, trusted: bool, fresh: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    kept = AutoConfig.from_pretrained(folder, trust_remote_code=trusted).dtype or torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, trust_remote_code=trusted)
    whole = PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)
    whole.to(kept).save_pretrained(fresh)
    AutoTokenizer.from_pretrained(folder, trust_remote_code=trusted).save_pretrained(fresh)


def _rank(folder: Path) -> int:
    try:
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        kind, rank = config["peft_type"], max([config["r"], *(config.get("rank_pattern") or {}).values()])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AdapterError(f"adapter {folder.name}: {_CONFIG} cannot be read: {error!r}") from error
    if kind != "LORA" or not isinstance(rank, int) or not 1 <= rank <= _RANKS[-1]:
        raise AdapterError(
            f"adapter {folder.name}: {_CONFIG} names {kind} of rank {rank}; vLLM takes LoRA up to rank {_RANKS[-1]}"
        )
    return rank
