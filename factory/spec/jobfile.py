"""Reading a job file: the YAML, and the prompt templates that it names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from factory.base.places import absolute
from factory.methods.prompts import PromptError, check
from factory.spec.job import Job, Stages, prompt_task
from factory.spec.yamlfile import Lines, YamlError, dotted, load_yaml


def load_job(path: str | Path, overrides: Sequence[str] = ()) -> Job:
    """Read and check a job file. `overrides` are `dotted.field=value`, the value in YAML. Raises YamlError."""
    job, lines = load_yaml(path, Job, overrides, base=Path(path).resolve().parent)
    return _with_prompts(job, Path(path), lines)


def _with_prompts(job: Job, path: Path, lines: Lines) -> Job:
    updated: dict[str, BaseModel] = {}
    for name in Stages.model_fields:
        params = getattr(job.stages, name)
        prompt = getattr(params, "prompt", None)
        if prompt is None:
            continue
        field = ("stages", name, "prompt")
        where = f"{path}, {lines.get(field, 'line ?')}: {dotted(field)}"
        try:
            text = Path(absolute(prompt, job.base)).read_text(encoding="utf-8")
            check(text, prompt_task(job, name))
        except OSError as error:
            raise YamlError(
                f"{where}: {absolute(prompt, job.base)}: {error.strerror or error}; paths start at the job file"
            ) from error
        except (PromptError, ValueError) as error:
            raise YamlError(f"{where}: {prompt}: {error}") from error
        updated[name] = params.model_copy(update={"prompt": text})
    return job.model_copy(update={"stages": job.stages.model_copy(update=updated)}) if updated else job
