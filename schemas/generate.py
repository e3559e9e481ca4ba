"""Write the JSON Schemas of job files, training files and records beside this file: python schemas/generate.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from factory.spec.job import Job
from factory.store.dead_letters import DeadLetter
from factory.store.records import Row
from factory.training.extractor import ExtractorConfig
from factory.training.lm import LmConfig
from factory.training.nli import NliConfig

FOLDER = Path(__file__).parent
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """The schemas by file name."""
    return {
        "job.schema.json": Job.model_json_schema(),
        "train_lm.schema.json": LmConfig.model_json_schema(),
        "train_extractor.schema.json": ExtractorConfig.model_json_schema(),
        "train_nli.schema.json": NliConfig.model_json_schema(),
        "row.schema.json": TypeAdapter(Row).json_schema(mode="serialization"),
        "dead_letter.schema.json": TypeAdapter(DeadLetter).json_schema(mode="serialization"),
    }


def text_of(schema: dict[str, Any]) -> str:
    """A schema as it stands in its file."""
    return json.dumps({"$schema": _DIALECT, **schema}, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, schema in schemas().items():
        (FOLDER / name).write_text(text_of(schema), encoding="utf-8")
