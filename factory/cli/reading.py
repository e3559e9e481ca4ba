"""The commands that read a corpus: status, letters, show, explain, audit, compare and report."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer
from pydantic_core import to_json

from factory.cli.options import AsJson, CorpusPlace, ScoreName, print_json
from factory.export.view import parse_decisions
from factory.spec.jobfile import load_job
from factory.store.corpus import Corpus
from factory.store.failures import Only, examples, failures
from factory.store.records import Decision
from factory.views import display
from factory.views.audit import audit as corpus_audit
from factory.views.audit import show_audit
from factory.views.explain import explain as explain_row
from factory.views.explain import find_row
from factory.views.letters import print_letters, show_letters, show_no_letters
from factory.views.progress import counting
from factory.views.status import status as corpus_status

_SHOWN, _DIALOGUES = 20, 10
"""Dead letters and dialogues that are shown unless told otherwise."""


def status(corpus: CorpusPlace, as_json: AsJson = False) -> None:
    """Say what is in a corpus: decisions, reasons, gates, dead letters, and what they cost."""
    counts = corpus_status(Corpus(corpus))
    if as_json:
        print_json(counts)
    else:
        display.show_status(counts)


def letters(  # noqa: PLR0917 -- typer reads the options off the signature
    corpus: CorpusPlace,
    of: Annotated[
        Literal["rows", "seeds"] | None, typer.Option(help="Only rows that failed, or seeds that could not be read.")
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Only those of this maker; seeds for unreadable seeds.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only those with this reason.")] = None,
    seed: Annotated[str | None, typer.Option(help="Only rows of this seed.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Dead letters to show, the newest of each reason; 20, with --json all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what could not be made (dead letters): counts by reason, then details and the model's last texts."""
    opened, only = Corpus(corpus), Only(of=of, stage=stage, reason=reason, seed=seed)
    opened.scan()
    counts = failures(opened.scan_dead_letters(**only))
    if as_json and limit is None:
        print_letters(counts, opened.dead_letters(**only))
        return
    some = examples(opened.scan_dead_letters(**only), limit or _SHOWN)
    if as_json:
        print_letters(counts, some)
    elif counts:
        show_letters(counts, some)
    else:
        show_no_letters(failures(opened.scan_dead_letters()))


def show(  # noqa: PLR0917 -- typer reads the options off the signature
    corpus: CorpusPlace,
    decision: Annotated[Decision | None, typer.Option(help="Only rows with this decision.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only rows with this reason.")] = None,
    seed: Annotated[str | None, typer.Option(help="Only rows of this seed: its id, or the start of it.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Dialogues to show; 10, with --json all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines, a whole row each.")] = False,
) -> None:
    """Read dialogues in the terminal."""
    opened = Corpus(corpus)
    opened.scan()
    fitting = (
        row
        for row in opened.rows()
        if decision in (None, row.decision)
        and (reason is None or any(given.split(":")[0] == reason for given in row.reasons))
        and (seed is None or any(source.id.startswith(seed) for source in row.seeds))
    )
    shown = 0
    for row in islice(fitting, limit or (None if as_json else _DIALOGUES)):
        shown += 1
        if as_json:
            typer.echo(to_json(row))
        else:
            display.show_row(row)
    if not (shown or as_json):
        reasons = ", ".join(corpus_status(opened)["reasons"])
        display.out.print(f"No dialogue fits.{f' Reasons in this corpus: {reasons}.' if reason and reasons else ''}")


def explain(
    corpus: CorpusPlace,
    row: Annotated[str, typer.Argument(metavar="ROW", help="A row's id, or its first digits.")],
    tokens: Annotated[bool, typer.Option(help="Show prompts as the model's chat template makes them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Explain a row back to its seeds: recipes, prompts as sent, scored pairs, gates, versions."""
    opened = Corpus(corpus)
    found = find_row(opened, row)
    explanation = explain_row(opened, found, tokens=tokens)
    if as_json:
        print_json(explanation)
    else:
        display.show_explanation(explanation, found)


def audit(
    corpus: CorpusPlace,
    by: Annotated[
        list[str], typer.Option("--by", metavar="role|attributes.NAME", help="What to group speakers by (repeatable).")
    ],
    as_json: AsJson = False,
) -> None:
    """Compare decisions by group of speakers, and how often each reason hits them: shares with intervals."""
    told = corpus_audit(Corpus(corpus), by)
    if as_json:
        print_json(told)
    else:
        show_audit(told, display.out)


def compare(  # noqa: PLR0917 -- typer reads the options off the signature
    one: Annotated[str, typer.Argument(metavar="A", help="A corpus, or files of dialogues, as seeds name them.")],
    other: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[C]...", help="More corpora, with a job that judges them.")
    ] = None,
    version_a: Annotated[int | None, typer.Option(min=0, help="Version of A; the newest unless set.")] = None,
    version_b: Annotated[int | None, typer.Option(min=0, help="Version of B.")] = None,
    decision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="accept|flag|reject",
            help="Rows of corpora so decided; accept unless set.",
            autocompletion=lambda: [*get_args(Decision)],
        ),
    ] = None,
    dialogues: Annotated[int, typer.Option(min=10, help="Dialogues of each side that are compared at most.")] = 1000,
    judge: Annotated[
        Path | None,
        typer.Option(metavar="JOB", help="A job file: hold corpora of the same seeds against each other by its model."),
    ] = None,
    score: ScoreName = None,
    as_json: AsJson = False,
) -> None:
    """Compare two corpora, or a corpus and real talk: means of scores with intervals, distance of embeddings. With
    --judge, which of two or more corpora of the same seeds is better, slot by slot."""
    from factory.views.compare import compare as compare_sides
    from factory.views.compare import show_compared
    from factory.views.tournament import show_tournament, tournament

    decisions = parse_decisions(decision or ["accept"])
    if judge is not None:
        held = tournament(
            load_job(judge),
            (one, other, *(more or ())),
            versions=(version_a, version_b),
            decisions=decisions,
            slots=dialogues,
            score=score,
        )
        print_json(held) if as_json else show_tournament(held, display.out)
        return
    if more or score is not None:
        raise typer.BadParameter("more than two sides, and --score, need a job that judges them")
    told = compare_sides(one, other, (version_a, version_b), decisions, dialogues)
    if as_json:
        print_json(told)
    else:
        show_compared(told, display.out)


def report(
    corpus: CorpusPlace,
    to: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the page goes; the figures go beside it, as .json.")
    ] = Path("report.html"),
    since: Annotated[
        int | None, typer.Option(min=0, help="Version to compare with; by default, the one that the last run found.")
    ] = None,
    dialogues: Annotated[int, typer.Option(min=0, help="Dialogues on the page.")] = 400,
    as_json: AsJson = False,
) -> None:
    """Write a page that shows a corpus: its funnel, distributions, diversity, persona groups, cost and dialogues."""
    from factory.views.report import STEPS
    from factory.views.report import report as write_report

    with counting("parts of the report", STEPS) as progress:
        page, figures = write_report(Corpus(corpus), to, since=since, dialogues=dialogues, progress=progress)
    if as_json:
        print_json({"page": str(page), "figures": str(figures)})
    else:
        display.out.print(f"{page}\n{figures}", markup=False)
