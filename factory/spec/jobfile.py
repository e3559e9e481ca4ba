"""Reading a job file: the YAML, and the prompt templates that it names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from factory.base.places import absolute
from factory.methods import Params
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
        at, named = "", ""

        def read(file: str, field: tuple[str | int, ...], name: str = name) -> str:
            nonlocal at, named
            place = (section, name, *field)
            at, named = f"{path}, {lines.get(place, 'line ?')}: {dotted(place)}", file
            return Path(absolute(file, job.base)).read_text(encoding="utf-8")

        try:
            given[name] = _with_texts(params, section, read)
        except OSError as error:
            place = absolute(named, job.base)
            raise YamlError(f"{at}: {place}: {error.strerror or error}; paths start at the job file") from error
        except (PromptError, ValueError) as error:
            raise YamlError(f"{at}: {named}: {error}") from error
    return job.model_copy(update={section: given})


def _with_texts(params: Params, section: Section, read: Callable[[str, tuple[str | int, ...]], str]) -> Params:
    prompt = getattr(params, "prompt", None)
    if prompt is not None:
        text = read(prompt, ("prompt",))
        check(text, method(params.model_copy(update={"prompt": None}), section).variables)
        params = params.model_copy(update={"prompt": text})
    return params.with_files(read)
