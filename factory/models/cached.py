"""Models that are made on this machine once, in the cache of Hugging Face's libraries (`HF_HOME`).

Limitations: what lies there is not checked again, and nothing is ever taken away (`hf cache` knows nothing of it).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path


def made_once(name: str, write: Callable[[Path], None]) -> Path:
    """The folder of a model of this name, which `write` fills if it is not there. Others find all of it or nothing.

    Raises OSError if the cache cannot be written.
    """
    from huggingface_hub import cached_assets_path

    target = cached_assets_path("persona-factory", "models", name)
    if (target / "config.json").is_file():
        return target
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{name}-") as folder:
        fresh = Path(folder, "model")
        write(fresh)
        try:
            fresh.rename(target)
        except OSError:
            if not (target / "config.json").is_file():  # else another process was faster
                raise
    return target
