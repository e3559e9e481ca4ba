"""The command that erases what a corpus holds of one seed."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic_core import to_jsonable_python

from factory.cli.options import AsJson, CorpusPlace, print_json
from factory.planning.forget import forget as forget_seed
from factory.store.corpus import Corpus
from factory.views.forget import show_forgotten
from factory.views.progress import CountView


def forget(
    corpus: CorpusPlace,
    seed: Annotated[str, typer.Argument(metavar="SEED", help="The seed's whole id, as factory explain prints it.")],
    delete: Annotated[bool, typer.Option("--delete", help="Erase what is listed; without it nothing is.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what a corpus holds of one seed; with --delete, erase it from all versions and prove that it is gone.

    Exit codes: 0 listed, or nothing is left; 1 files still hold it, or anything else.
    """
    found = forget_seed(Corpus(corpus), seed, delete=delete, report=CountView())
    if as_json:
        print_json(to_jsonable_python(found))
    else:
        show_forgotten(found, delete)
    if delete and found.left:
        raise typer.Exit(1)
