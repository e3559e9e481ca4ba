"""A good job file, to be made wrong, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.spec.jobfile import load_job
from factory.spec.layers import YamlError

GOOD = """\
corpus: out/c
seeds:
  - path: a.jsonl
  - path: b.csv
    format: csv
models:
  writer: {engine: scripted, name: scripted}
makers:
  converse:
    turns: 6
    topics: [pets, work]
select: {}
run:
  rows_per_shard: 8
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "job.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def complaint(path: Path, *overrides: str) -> str:
    """What is said of a job file, with `FILE` for its path."""
    with pytest.raises(YamlError) as caught:
        load_job(path, overrides)
    return str(caught.value).replace(str(path), "FILE")
