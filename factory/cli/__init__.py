"""The `factory` command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
import typer
from pydantic_core import to_jsonable_python

from factory.base.packages import explain_missing
from factory.cli import training as training_cli
from factory.cli.exporting import ExportCommand, own_options
from factory.cli.options import AsJson, Overrides, print_json
from factory.cli.output import lasting_output
from factory.cli.starting import init
from factory.export import ExportError, Form
from factory.export import export as export_corpus
from factory.export.view import parse_decisions, parse_origins, parse_splits, show_export
from factory.methods.registry import MethodError
from factory.planning.diff import diff as corpus_diff
from factory.planning.garbage import gc as collect_garbage
from factory.planning.plan import plan as make_plan
from factory.planning.wanted import PlanError
from factory.running.check import check as check_job
from factory.running.pool import RunError
from factory.running.run import run as run_job
from factory.running.tolerance import Stop
from factory.scorers.classifier import ScorerStartError
from factory.seeds.files import SourceError
from factory.spec.jobfile import load_job
from factory.spec.yamlfile import YamlError
from factory.store import versions as history
from factory.store.corpus import Corpus
from factory.store.failures import Only, examples, failures
from factory.store.storage import StorageError
from factory.store.table import CorpusError
from factory.training import TrainingError
from factory.training.calibrate import CalibrationError
from factory.views import display
from factory.views.audit import audit as corpus_audit
from factory.views.audit import show_audit
from factory.views.card import UNSTATED, write_card
from factory.views.card import card as corpus_card
from factory.views.explain import explain as explain_row
from factory.views.explain import find_row
from factory.views.letters import print_letters, show_letters, show_no_letters
from factory.views.progress import CountView, ProgressView, counting
from factory.views.status import status as corpus_status

app = typer.Typer(
    help="Persona seeds in, a consistent dialogue corpus out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_Job = Annotated[Path, typer.Argument(metavar="JOB", help="Job file, such as jobs/quickstart.yaml.")]


def _checked(corpus: str) -> str:
    """Have every command refuse a corpus with dead letters of another version of the factory, also one that reads only
    rows. Raises CorpusError."""
    Corpus(corpus).dead.shards()
    return corpus


_Corpus = Annotated[
    str, typer.Argument(metavar="CORPUS", help="Where the corpus lives: a path or a URI.", callback=_checked)
]
_Retry = Annotated[bool, typer.Option("--retry-failed", help="Try rows again that failed before.")]
_Limit = Annotated[
    int | None, typer.Option(min=1, help="Make no more than the first N rows of the plan, and keep them.", metavar="N")
]
_Version = Annotated[int, typer.Argument(min=0, metavar="VERSION", help="A version's number, from: factory log.")]
_Rows = Annotated[bool, typer.Option("--rows", help="A line for each row: id, what, why, decisions before and after.")]
_JOB_FILE, _INTERRUPTED = 2, 130
_STOPPED: dict[Stop, int] = {"failures": 3, "server": 4}
_LETTERS = 20


@app.command()
def plan(
    job: _Job,
    overrides: Overrides = None,
    retry_failed: _Retry = False,
    limit: _Limit = None,
    as_json: AsJson = False,
) -> None:
    """Say what a run would make and why; the corpus stays as it is."""
    loaded = load_job(job, overrides or ())
    summary = make_plan(loaded, retry_failed=retry_failed, limit=limit, report=CountView()).summary
    if as_json:
        print_json({"rows": summary.rows, "model_calls": summary.model_calls, **to_jsonable_python(summary)})
    else:
        display.show_plan(loaded.corpus, summary)


@app.command()
def run(  # noqa: PLR0917 -- typer reads the options off the signature
    job: _Job,
    overrides: Overrides = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join; RAY_ADDRESS without it.")] = None,
    retry_failed: _Retry = False,
    limit: _Limit = None,
    allow_failures: Annotated[
        bool, typer.Option("--allow-failures", help="Go on, and end well, however many rows fail.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make what the job wants and the corpus lacks. Ctrl-C commits what is complete; run again to go on.

    Exit codes: 0 made, 2 a mistake in the job file, 3 too many rows failed, 4 a model's server, its key or its quota,
    130 stopped by a person, 1 anything else.
    """
    loaded = load_job(job, overrides or ())
    with lasting_output():
        try:
            with ProgressView() as view:
                result = run_job(
                    loaded, address=address, retry_failed=retry_failed, limit=limit, allow_failures=allow_failures,
                    report=view, report_plan=CountView(),
                )  # fmt: skip
        except KeyboardInterrupt:
            display.fail("stopped at once; what was committed stays, and the same command goes on from there")
            raise typer.Exit(_INTERRUPTED) from None
        if as_json:
            print_json(to_jsonable_python(result))
        else:
            display.show_result(loaded.corpus, result)
        if not result.interrupted:
            display.show_stop(result)
    if result.interrupted:
        raise typer.Exit(_INTERRUPTED)
    if result.stopped is not None:
        raise typer.Exit(_STOPPED[result.stopped])


@app.command()
def check(job: _Job, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Try a job out before its run: storage, seeds, models and keys, and one row through all of it, which is not kept.

    Exit codes: 0 all is well, 2 a mistake in the job file, 1 anything else.
    """
    loaded = load_job(job, overrides or ())
    with lasting_output():
        checked = check_job(loaded, (lambda _: None) if as_json else display.show_step)
        if as_json:
            print_json(to_jsonable_python(checked) | {"sound": checked.sound})
        elif checked.row is not None:
            display.show_row(checked.row)
    if not checked.sound:
        raise typer.Exit(1)


@app.command()
def status(corpus: _Corpus, as_json: AsJson = False) -> None:
    """Say what stands in a corpus: decisions, reasons, gates, dead letters, and what they cost."""
    counts = corpus_status(Corpus(corpus))
    if as_json:
        print_json(counts)
    else:
        display.show_status(counts)


@app.command()
def letters(  # noqa: PLR0917 -- typer reads the options off the signature
    corpus: _Corpus,
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
    """Read the dead letters, what could not be made: counts by reason, then details and the model's last texts."""
    opened, only = Corpus(corpus), Only(of=of, stage=stage, reason=reason, seed=seed)
    opened.scan()
    counts = failures(opened.scan_dead_letters(**only))
    if as_json and limit is None:
        print_letters(counts, opened.dead_letters(**only))
        return
    some = examples(opened.scan_dead_letters(**only), limit or _LETTERS)
    if as_json:
        print_letters(counts, some)
    elif counts:
        show_letters(counts, some)
    else:
        show_no_letters(failures(opened.scan_dead_letters()))


@app.command()
def show(
    corpus: _Corpus,
    decision: Annotated[str | None, typer.Option(help="Only rows so decided: accept, flag or reject.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only rows with this reason.")] = None,
    seed: Annotated[str | None, typer.Option(help="Only rows of this seed.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Dialogues to show.")] = 10,
) -> None:
    """Read dialogues in the terminal."""
    opened, shown = Corpus(corpus), 0
    opened.scan()
    for row in opened.rows():
        if (
            decision in (None, row.decision)
            and (reason is None or any(given.split(":")[0] == reason for given in row.reasons))
            and (seed is None or any(source.id.startswith(seed) for source in row.seeds))
        ):
            display.show_row(row)
            shown += 1
        if shown == limit:
            return
    if not shown:
        display.out.print("No dialogue fits.")


@app.command()
def explain(
    corpus: _Corpus,
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


@app.command()
def audit(
    corpus: _Corpus,
    by: Annotated[
        list[str], typer.Option("--by", metavar="role|attributes.NAME", help="What to group speakers by (repeat it).")
    ],
    as_json: AsJson = False,
) -> None:
    """Compare what was decided of groups of speakers: shares with intervals, the widest spread first."""
    told = corpus_audit(Corpus(corpus), by)
    if as_json:
        print_json(told)
    else:
        show_audit(told, display.out)


@app.command()
def report(
    corpus: _Corpus,
    to: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the page goes; the figures go beside it, as .json.")
    ] = Path("report.html"),
    since: Annotated[
        int | None, typer.Option(min=0, help="Version to compare with; that which the last run found without it.")
    ] = None,
    dialogues: Annotated[int, typer.Option(min=0, help="Dialogues that the page carries.")] = 400,
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


@app.command()
def log(corpus: _Corpus, as_json: AsJson = False) -> None:
    """List a corpus's versions, newest first."""
    versions = history.log(Corpus(corpus))
    if as_json:
        print_json({"versions": to_jsonable_python(versions)})
    else:
        display.show_log(versions)


@app.command()
def diff(corpus: _Corpus, before: _Version, after: _Version, rows: _Rows = False, as_json: AsJson = False) -> None:
    """Say which rows differ between two versions, and why: added, removed, redone, decided anew."""
    found = corpus_diff(Corpus(corpus), before, after)
    if rows:
        for row in found.iter_rows(named=True):
            typer.echo(json.dumps(row, ensure_ascii=False) if as_json else "\t".join(map(str, row.values())))
    elif as_json:
        counted = found.group_by(pl.exclude("row_id"), maintain_order=True).len("rows")
        print_json({"rows": len(found), "changes": counted.to_dicts()})
    else:
        display.show_diff(found)


@app.command()
def restore(corpus: _Corpus, version: _Version) -> None:
    """Make an earlier version of a corpus the newest again; its rows come back as they were."""
    restored = history.restore(Corpus(corpus), version)
    display.out.print(f"version {version} stands again as version {restored.version}: {restored.rows:,} rows")


@app.command()
def gc(
    corpus: _Corpus,
    keep_days: Annotated[int, typer.Option(min=0, help="Keep versions that were current in the last days.")] = 7,
    delete: Annotated[bool, typer.Option("--delete", help="Delete what is listed; without it nothing is.")] = False,
    as_json: AsJson = False,
) -> None:
    """List files that only old versions hold, and what dead runs left behind; with --delete, delete them."""
    garbage = collect_garbage(Corpus(corpus), keep_days, delete=delete)
    if as_json:
        print_json(to_jsonable_python(garbage) | {"bytes": garbage.bytes, "deleted": delete})
    else:
        display.show_garbage(garbage, delete)


@app.command(cls=ExportCommand)
def export(  # noqa: PLR0917 -- typer reads the options off the signature
    context: typer.Context,
    corpus: _Corpus,
    kind: Annotated[str, typer.Argument(metavar="FORMAT", help="One of the formats below.")],
    to: Annotated[str, typer.Option("--to", metavar="URI", help="An empty place for the files: a path or a URI.")],
    form: Annotated[Form, typer.Option("--as", help="Parquet (zstd) or JSON Lines (gzip).")] = "parquet",
    split: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=SHARE", help="Share of the seeds for test or validation: --split test=0.1"),
    ] = None,
    decision: Annotated[
        list[str] | None, typer.Option(metavar="accept|flag|reject", help="Rows so decided; accept unless set.")
    ] = None,
    facts: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Facts of this origin stand in prompts (repeat it); else those a speaker had in its own.",
        ),
    ] = None,
    version: Annotated[int | None, typer.Option(min=0, help="Version of the corpus; the newest unless set.")] = None,
    rows_per_file: Annotated[int, typer.Option(min=1, help="Examples per file, at most.")] = 50_000,
    as_json: AsJson = False,
) -> None:
    """Write a corpus as files to train on, which `datasets` reads by split."""
    result = export_corpus(
        corpus, kind, to, form=form, splits=parse_splits(split or ()),
        decisions=parse_decisions(decision or ["accept"]), facts=parse_origins(facts) if facts else None,
        version=version, rows_per_file=rows_per_file, report=CountView(), **own_options(context),
    )  # fmt: skip
    if as_json:
        print_json(to_jsonable_python(result))
    else:
        show_export(result, form)


@app.command()
def card(
    corpus: _Corpus,
    to: Annotated[str | None, typer.Option("--to", metavar="FILE", help="Where; CORPUS/README.md without it.")] = None,
    licence: Annotated[str, typer.Option("--license", help="Hugging Face id of the corpus's licence.")] = UNSTATED,
    language: Annotated[str, typer.Option(help="Code of the dialogues' language.")] = "en",
) -> None:
    """Write the corpus's dataset card, in the Hugging Face form."""
    opened = Corpus(corpus)
    text = corpus_card(opened, licence=licence, language=language, report=CountView())
    display.out.print(f"written: {write_card(opened, text, to)}", markup=False)


for command in (init, training_cli.train_lm, training_cli.train_nli, training_cli.calibrate):
    app.command()(command)


_MENDABLE = (
    YamlError, SourceError, PlanError, RunError, CorpusError, StorageError, ScorerStartError, CalibrationError,
    TrainingError, ExportError, MethodError,
)  # fmt: skip


_EXTRAS = {"report": "report", "train-lm": "train", "train-nli": "train"}
"""The extras that bring all that a command needs."""


def main() -> None:
    """Run the command; errors that are a person's to mend are printed as such, without a traceback."""
    try:
        app()
    except _MENDABLE as error:
        display.fail(str(error))
        raise SystemExit(_JOB_FILE if isinstance(error, YamlError) else 1) from error
    except ImportError as error:
        command = " ".join(sys.argv[1:2])
        display.fail(explain_missing(error, f"factory {command}".rstrip(), _EXTRAS.get(command)))
        raise SystemExit(1) from error
    except Exception:
        sys.excepthook = display.crash  # now: typer sets one of its own, which would tell secrets
        raise
