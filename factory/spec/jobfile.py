"""Reading a job file: the YAML, and the prompt templates that it names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from factory.base.places import absolute
from factory.methods.prompts import PromptError, check
from factory.spec.identity import entries
from factory.spec.job import Job, Section, method
from factory.spec.layers import Lines, YamlError, dotted
from factory.spec.yamlfile import load_yaml

SECTIONS: tuple[Section, ...] = ("makers", "scores")


def load_job(path: str | Path, overrides: Sequence[str] = ()) -> Job:
    """Read and check a job file. `overrides` are `dotted.field=value`, the value in YAML. Raises YamlError."""
    job, lines = load_yaml(path, Job, overrides, base=Path(path).resolve().parent)
    try:
        entries(job)
    except ValueError as error:
        raise YamlError(f"{path}: {error}") from error
    for section in SECTIONS:
        job = _with_prompts(job, section, Path(path), lines)
    return job


def _with_prompts(job: Job, section: Section, path: Path, lines: Lines) -> Job:
    """The job with the texts of the section's templates in the place of their paths."""
    given = dict(getattr(job, section))
    for name, params in given.items():
        prompt = getattr(params, "prompt", None)
        if prompt is None:
            continue
        field = (section, name, "prompt")
        where = f"{path}, {lines.get(field, 'line ?')}: {dotted(field)}"
        try:
            text = Path(absolute(prompt, job.base)).read_text(encoding="utf-8")
            check(text, method(params.model_copy(update={"prompt": None}), section).variables)
        except OSError as error:
            raise YamlError(
                f"{where}: {absolute(prompt, job.base)}: {error.strerror or error}; paths start at the job file"
            ) from error
        except (PromptError, ValueError) as error:
            raise YamlError(f"{where}: {prompt}: {error}") from error
        given[name] = params.model_copy(update={"prompt": text})
    return job.model_copy(update={section: given})
