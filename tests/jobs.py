"""Small jobs for tests that run the whole factory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from factory.spec.job import Job
from factory.spec.jobfile import load_job


def write_personas(folder: Path, count: int, marked: dict[int, str] | None = None) -> None:
    """`count` personas in JSON Lines; those in `marked` have the given fact besides."""
    facts = [[f"I have {number} hens.", f"I live on street number {number}."] for number in range(count)]
    for number, fact in (marked or {}).items():
        facts[number].append(fact)
    lines = (json.dumps({"id": f"p{number}", "facts": own}) for number, own in enumerate(facts))
    (folder / "personas.jsonl").write_text("\n".join(lines), encoding="utf-8")


def write_job(folder: Path, engine: str = "scripted", **changes: Any) -> Path:
    """A job file for the personas in the folder: dialogues of a scripted engine, accepted without scores."""
    content: dict[str, Any] = {
        "corpus": str(folder / "corpus"),
        "seeds": [{"path": "personas.jsonl"}],
        "models": {"writer": {"engine": "scripted", "name": engine}},
        "makers": {"converse": {"turns": 4}},
        "select": {},
        "run": {"rows_per_shard": 4},
        **changes,
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def scripted_job(folder: Path, engine: str = "scripted", **changes: Any) -> Job:
    """The same, loaded."""
    return load_job(write_job(folder, engine, **changes))
