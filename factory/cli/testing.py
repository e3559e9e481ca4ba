"""The command that tests the model behind a score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from factory.cli.options import AsJson, JobFile, Overrides, ScoreName, print_json
from factory.spec.jobfile import load_job
from factory.views import display


def judge_test(  # noqa: PLR0917 -- typer reads the options off the signature
    job: JobFile,
    corpus: Annotated[
        str | None, typer.Argument(metavar="CORPUS", help="Whose rows; the job's own, unless set.")
    ] = None,
    score: ScoreName = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows that are drawn at most.")] = 50,
    seed: Annotated[int, typer.Option(help="Draws other rows.")] = 0,
    pairs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Labelled pairs, JSON Lines: better, worse, fact, before.")
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Say whether the model behind a score is fit: does it go by order, opinion, doubt, spelling or wording, and is it
    right.

    Exit codes: 0 no test finds it unfit, 2 a mistake in the job file, 1 anything else.
    """
    from factory.views.judge_test import judge_test as test
    from factory.views.judge_test import show_tests

    told = test(load_job(job, overrides or ()), corpus, score=score, rows=rows, seed=seed, pairs=pairs)
    if as_json:
        print_json(told)
    else:
        show_tests(told, display.out)
    if told["fit"] is False:
        raise typer.Exit(1)
