"""Models of a real shape with random weights, for speed on a machine that has no real model.

vLLM makes the weights up (`load_format="dummy"`); tokenizer and chat template are SmolLM2's. Such
a model never ends a turn and its turns read as noise: in a worker whose environment names `DUMMY`, every
turn is taken as sound.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from functools import partialmethod
from pathlib import Path

from factory.models import resolve

DUMMY = "BENCHMARK_DUMMY_WEIGHTS"
SHAPES = {
    "8b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    "small": {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4}
    | {"num_key_value_heads": 4},
}
"""Llama 3 8B's, and one to try the way on a CPU."""


def write_shape(folder: Path, shape: str) -> str:
    """Put a model of that shape, but its weights, into the folder; where it is."""
    base, model = Path(resolve("smollm2")), folder / f"shape-{shape}"
    model.mkdir()
    for name in ("chat_template.jinja", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, model)
    config = json.loads((base / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | SHAPES[shape]))
    return str(model)


def make_weights_up() -> None:
    """Have engines of this process make their weights up, and its dialogues take every turn as sound, if the
    environment says so."""
    if DUMMY not in os.environ:
        return
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # as the engine sets it, before vLLM is imported
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    from vllm import EngineArgs

    from factory.methods.makers import converse

    read = converse.read
    EngineArgs.__init__ = partialmethod(EngineArgs.__init__, load_format="dummy")
    converse.read = lambda *said: replace(read(*said), text=said[0].text.strip() or "-", ended=False, fault=None)
