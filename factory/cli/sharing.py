"""The command that shares a corpus: to a dataset on the Hugging Face hub."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic_core import to_jsonable_python

from factory.cli.options import AsJson, CorpusPlace, print_json
from factory.export.push import push as push_corpus
from factory.export.view import announce_push, show_push
from factory.views.progress import CountView


def push(  # noqa: PLR0917 -- typer reads the options off the signature
    corpus: CorpusPlace,
    to: Annotated[
        str, typer.Argument(metavar="hf://datasets/OWNER/NAME", help="The dataset; made if it is not there.")
    ],
    version: Annotated[int | None, typer.Option(min=0, help="Version of the corpus; the newest unless set.")] = None,
    private: Annotated[
        bool | None,
        typer.Option(
            "--private/--public",
            help="Who may read a new dataset; private by default.",
        ),
    ] = None,
    message: Annotated[str | None, typer.Option(help="Title of the commit; version and rows unless set.")] = None,
    as_json: AsJson = False,
) -> None:
    """Push a version's rows and card to the Hugging Face hub, in one commit; nothing else of the corpus goes there.

    The token is in HF_TOKEN, or kept by: hf auth login. Before anything is sent it says how much goes where.
    """
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]  # as documented

    disable_progress_bars()  # there is one of our own, and the library has one for every file
    pushed = push_corpus(
        corpus, to, version=version, private=private, message=message, announce=announce_push, report=CountView()
    )
    if as_json:
        print_json(to_jsonable_python(pushed))
    else:
        show_push(pushed)
