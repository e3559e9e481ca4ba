"""The command that makes seeds of dumps of comments."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic_core import to_jsonable_python

from factory.base.places import in_shell
from factory.cli.options import AsJson, print_json
from factory.running.threads import Personal, Rebuilt, Wish, rebuild
from factory.seeds.comments import By, Choice
from factory.seeds.files import FileFormat
from factory.seeds.values import MAX_FACT
from factory.views import display
from factory.views.progress import CountView

_SAID = {
    "used": "comments are in the seeds",
    "merged": "of them, in a dialogue, go on the turn before them",
    "replaced": "comments have a placeholder for personal data",
    "alone": "comments have no answer of another author's, and answer none",
    "json": "lines are no JSON",
    "missing_field": "comments lack an id, thread, author or text, or have a longer one than a seed may",
    "deleted": "comments, or their authors, were deleted",
    "too_short": "comments are too short",
    "too_long": "comments are too long",
    "personal_data": "comments hold personal data, and were dropped",
    "repeated": "comments repeat another",
    "older": "comments are older than the ones that a seed has room for",
    "cut_by_depth": "times a dialogue begins anew since the path was too long",
    "cut_by_author": "times a dialogue begins anew since a third author answers",
    "too_long_turns": "dialogues have a turn that is too long, and were dropped",
}


def threads(  # noqa: PLR0917 -- typer reads the options off the signature
    dumps: Annotated[
        list[str], typer.Argument(metavar="DUMP...", help="Files of comments: paths, folders, globs, s3:// and others.")
    ],
    to: Annotated[str, typer.Option("--to", metavar="FOLDER", help="A new folder for the seeds: a path or a URI.")],
    by: Annotated[By, typer.Option(help="Dialogues of threads, or a persona of what each author wrote.")] = "thread",
    depth: Annotated[int, typer.Option(min=1, max=998, help="Answers that a dialogue's path goes down.")] = 10,
    min_characters: Annotated[int, typer.Option(min=1, help="Of a comment that is kept.")] = 9,
    max_characters: Annotated[
        int | None, typer.Option(min=1, max=5000, help="Of a comment that is kept; 127, or 1000 by author.")
    ] = None,
    personal_data: Annotated[
        Personal, typer.Option(help="Comments with e-mail addresses, numbers or postal addresses; see the docs.")
    ] = "keep",
    form: Annotated[FileFormat, typer.Option("--format", metavar="jsonl|parquet", help="Of the dumps.")] = "auto",
    address: Annotated[str | None, typer.Option(help="Ray cluster to join; RAY_ADDRESS by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make seeds of dumps of comments, such as Reddit's: dialogues of two, or personas by author. Killed or stopped,
    the same command continues, and ends in the same files."""
    most = max_characters or (127 if by == "thread" else MAX_FACT)
    if by == "author" and most > MAX_FACT:
        raise typer.BadParameter(f"a fact has {MAX_FACT:,} characters at most", param_hint="--max-characters")
    if most < min_characters:
        raise typer.BadParameter("it is less than --min-characters", param_hint="--max-characters")
    if form not in ("auto", "jsonl", "parquet"):
        raise typer.BadParameter("dumps are JSON Lines or Parquet", param_hint="--format")
    wish = Wish(Choice(by, min_characters, most), depth, personal_data)
    try:
        done = rebuild(dumps, to, wish, form, address, CountView())
    except KeyboardInterrupt:
        display.fail("stopped; the same command continues from here")
        raise typer.Exit(130) from None
    if as_json:
        print_json(to_jsonable_python(done))
    else:
        _show(done, to)


def _show(done: Rebuilt, to: str) -> None:
    for where in done.damaged:
        display.err.print(f"damaged: {where}", markup=False)
    for name, what in _SAID.items():
        if name in done.counts:
            display.out.print(f"{done.counts[name]:>14,}  {what}")
    display.out.print(f"{done.seeds:,} seeds in {done.files:,} files: {to}", markup=False)
    display.out.print(f"next: factory init {in_shell(to)}", markup=False)
