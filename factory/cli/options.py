"""What several files of commands share: options, and how JSON is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from factory.store.corpus import Corpus

DEFAULT_JOB = Path("factory.yaml")


def _job_named(job: Path) -> Path:
    if job == DEFAULT_JOB and not job.exists():
        raise typer.BadParameter("there is no factory.yaml here: name a job file, or write one with: factory init FILE")
    return job


JobFile = Annotated[
    Path,
    typer.Argument(
        metavar="JOB", callback=_job_named, help="Job file; factory.yaml in the working directory, unless it is named."
    ),
]

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a field: --set makers.converse.turns=12"),
]
ScoreName = Annotated[
    str | None, typer.Option("--score", metavar="NAME", help="The score whose model is asked, if the job has several.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _checked(corpus: str) -> str:
    """Have every command refuse a corpus with dead letters of another version of the factory, also one that reads only
    rows. Raises CorpusError."""
    Corpus(corpus).dead.shards()
    return corpus


CorpusPlace = Annotated[
    str, typer.Argument(metavar="CORPUS", help="Where the corpus lives: a path or a URI.", callback=_checked)
]


def print_json(value: dict[str, Any]) -> None:
    """Print it on standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
