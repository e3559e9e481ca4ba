"""The command that begins: a job file for one's data."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from factory.cli.options import AsJson, print_json
from factory.seeds.archives import chained
from factory.spec.jobfile import load_job
from factory.views import display
from factory.views.draft import described, draft, look


def init(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Files of personas or dialogues: paths, folders, globs, URIs."),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="JOB", help="The job file to write.")] = Path("factory.yaml"),
    as_json: AsJson = False,
) -> None:
    """Look at your data, say what is in it, and write a commented job file for it."""
    if to.exists():
        raise typer.BadParameter(f"{to} is there already; name another with --to", param_hint="--to")
    found = [look(source, Path.cwd()) for source in sources]
    text = draft([replace(one, path=_from(to.parent, one.path)) for one in found], "out/corpus")
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(text, encoding="utf-8")
    load_job(to)  # a path or a column may be refused after all
    if as_json:
        kinds = {one.path: {"personas": len(one.personas), "dialogues": len(one.dialogues), "unreadable": len(one.bad),
                            "whole": not one.more} for one in found}  # fmt: skip
        print_json({"job": str(to), "found": kinds})
        return
    for one in found:
        display.out.print(described(one), markup=False)
    display.out.print(f"written: {to}\nnext: factory check {to}, then factory run {to} --limit 20", markup=False)


def _from(folder: Path, path: str) -> str:
    """A path of the working directory as one that starts at another folder."""
    if parts := chained(path):
        kind, pattern, archive = parts
        return f"{kind}://{pattern}::{_from(folder, archive)}"
    return path if "://" in path or path.startswith(("/", "~")) else os.path.relpath(path, folder)
