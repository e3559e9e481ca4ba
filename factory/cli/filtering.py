"""The command that filters existing dialogues, and keeps their own columns."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer
from pydantic_core import to_jsonable_python

from factory.cli.options import DEFAULT_JOB, AsJson, JobFile, Overrides, print_json
from factory.export.filtered import ADDED, write_filtered
from factory.export.view import parse_decisions
from factory.spec.jobfile import load_job
from factory.store.records import Decision
from factory.views import display
from factory.views.progress import CountView


def filter_rows(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="A new file: JSON Lines; gzip if it ends with .gz.")],
    job: JobFile = DEFAULT_JOB,
    overrides: Overrides = None,
    decision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="accept|flag|reject",
            help="Rows so decided; accept unless set.",
            autocompletion=lambda: [*get_args(Decision)],
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the rows of a job's dialogues that passed, as they stand in their files, with all their columns."""
    result = write_filtered(
        load_job(job, overrides or ()), to, parse_decisions(decision or ["accept"]), report=CountView()
    )
    if as_json:
        print_json(to_jsonable_python(result))
        return
    display.out.print(f"written: {result.rows:,} rows to {to}, each with the column {ADDED!r}", markup=False)
    for why, count in result.left_out.items():
        display.out.print(f"left out: {count:,} {why}", markup=False)
