"""The command that draws pairs of a corpus to label by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic_core import to_jsonable_python
from rich.markup import escape
from rich.table import Table

from factory.base.places import in_shell
from factory.cli.options import AsJson, CorpusPlace, print_json
from factory.store.corpus import Corpus
from factory.views.display import out
from factory.views.labelling import Drawn, write
from factory.views.pairs import CHECKS


def pairs(  # noqa: PLR0917 -- typer reads the options off the signature
    corpus: CorpusPlace,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="A page (.html) or JSON Lines (.jsonl).")],
    near: Annotated[
        str | None,
        typer.Option(metavar="0.64,0.98", help="Thresholds; those of the corpus's own conditions without it."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Pairs to draw.")] = 200,
    check: Annotated[str, typer.Option(metavar="|".join(CHECKS), help="What is held against what.")] = CHECKS[0],
    score: Annotated[
        str | None, typer.Option(help="The score whose pairs they are, where several stored pairs.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other pairs.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Draw scored pairs near the thresholds to label by hand, as a page or a file; then: factory calibrate."""
    known = next((one for one in CHECKS if one == check), None)
    if known is None:
        raise typer.BadParameter(f"give one of {', '.join(CHECKS)}", param_hint="--check")
    drawn = write(
        Corpus(corpus), to, near=_thresholds(near), check=known, score=score, count=count, seed=seed
    )  # fmt: skip
    if as_json:
        told = {"corpus": drawn.corpus, "score": drawn.score, "check": drawn.check, "near": drawn.near}
        print_json(told | {"strata": to_jsonable_python(drawn.strata), "draw": drawn.id, "to": str(to)})
    else:
        _show(drawn, to)


def _thresholds(near: str | None) -> list[float]:
    try:
        return [float(part) for part in near.split(",")] if near else []
    except ValueError:
        raise typer.BadParameter("write numbers with commas, such as 0.64,0.98", param_hint="--near") from None


def _show(drawn: Drawn, to: Path) -> None:
    models = ", ".join(sorted({str(pair.record["scored_by"]) for pair in drawn.pairs}))
    near = ", ".join(f"{at:g}" for at in drawn.near)
    out.print(escape(f"{drawn.score}, {drawn.check}, scored by {models}; thresholds {near}"))
    table = Table("P(contradiction)", "pairs", "drawn", box=None, pad_edge=False, header_style="bold")
    for stratum in drawn.strata:
        table.add_row(str(stratum), f"{stratum.pairs:,}", str(stratum.drawn))
    out.print(table)
    page = to.suffix == ".html"
    then = f"then: {drawn.command} {'the file that it saves' if page else in_shell(str(to))}"
    do = f"label them in a browser: {to}" if page else f"fill in label and labelled_by in {to}"
    out.print(f"{do}\n{then}", markup=False)
