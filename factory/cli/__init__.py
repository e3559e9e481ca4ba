"""The `factory` command."""

from __future__ import annotations

import json
import logging
import os
import sys
from importlib.metadata import version
from typing import Annotated, get_args

import polars as pl
import typer
from pydantic_core import to_jsonable_python

from factory.base.packages import explain_missing
from factory.cli import reading
from factory.cli import training as training_cli
from factory.cli.exporting import ExportCommand, own_options
from factory.cli.filtering import filter_rows
from factory.cli.forgetting import forget
from factory.cli.labelling import pairs
from factory.cli.options import DEFAULT_JOB as _DEFAULT_JOB
from factory.cli.options import AsJson, CorpusPlace, Overrides, print_json
from factory.cli.options import JobFile as _Job
from factory.cli.output import lasting_output
from factory.cli.sharing import push
from factory.cli.starting import init
from factory.cli.testing import judge_test
from factory.cli.threads import threads
from factory.export import ExportError, Form, formats
from factory.export import export as export_corpus
from factory.export.hub import HubError
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
from factory.spec.layers import YamlError
from factory.store import versions as history
from factory.store.corpus import Corpus
from factory.store.records import Decision
from factory.store.storage import StorageError
from factory.store.table import CorpusError
from factory.training import TrainingError
from factory.training.calibrate import CalibrationError
from factory.views import display
from factory.views.card import UNSTATED, write_card
from factory.views.card import card as corpus_card
from factory.views.progress import CountView, ProgressView

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"persona-factory {version('persona-factory')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors, and no progress.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also print what Ray, vLLM and the workers log.")
    ] = False,
) -> None:
    """Persona seeds in, a consistent dialogue corpus out."""
    display.counts.quiet = quiet
    if verbose:
        logging.basicConfig(level=logging.INFO)
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "INFO")


app.command()(init)
app.command("filter")(filter_rows)
app.command()(threads)

_Retry = Annotated[bool, typer.Option("--retry-failed", help="Retry rows that failed before.")]
_Limit = Annotated[
    int | None, typer.Option(min=1, help="Make at most the first N rows of the plan, and keep them.", metavar="N")
]
_Version = Annotated[int, typer.Argument(min=0, metavar="VERSION", help="A version's number, from: factory log.")]
_Rows = Annotated[bool, typer.Option("--rows", help="A line for each row: id, what, why, decisions before and after.")]
_JOB_FILE, _INTERRUPTED = 2, 130
_STOPPED: dict[Stop, int] = {"failures": 3, "server": 4, "budget": 5}


@app.command()
def plan(
    job: _Job = _DEFAULT_JOB,
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
    job: _Job = _DEFAULT_JOB,
    overrides: Overrides = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join; RAY_ADDRESS by default.")] = None,
    retry_failed: _Retry = False,
    limit: _Limit = None,
    allow_failures: Annotated[
        bool, typer.Option("--allow-failures", help="Continue, and exit with 0, however many rows fail.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make what the job wants and the corpus lacks. Ctrl-C commits what is complete; run again to continue.

    Exit codes: 0 made, 2 a mistake in the job file, 3 too many rows failed, 4 a model's server, its key or its quota,
    5 the run's budget is spent, 130 interrupted, 1 anything else.
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
            display.fail("stopped at once; what was committed stays, and the same command continues from there")
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
def validate(job: _Job = _DEFAULT_JOB, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Check a job file alone; opens no seeds, models or storage.

    Exit codes: 0 it holds, 2 a mistake in it.
    """
    loaded = load_job(job, overrides or ())
    if as_json:
        print_json({"job": str(job), "corpus": loaded.corpus, "makers": [*loaded.makers], "scores": [*loaded.scores]})
    else:
        parts = ", ".join([*loaded.makers, *loaded.scores])
        display.out.print(f"{job} holds: {parts}, into {loaded.corpus}", markup=False)


@app.command()
def check(job: _Job = _DEFAULT_JOB, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Try a job out before its run: storage, seeds, models and keys, and one row, which is not kept.

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


for reader in (
    reading.status, reading.letters, reading.show, reading.explain, reading.audit, reading.compare, reading.report,
    judge_test,
):  # fmt: skip
    app.command()(reader)


@app.command()
def log(corpus: CorpusPlace, as_json: AsJson = False) -> None:
    """List a corpus's versions, newest first."""
    versions = history.log(Corpus(corpus))
    if as_json:
        print_json({"versions": to_jsonable_python(versions)})
    else:
        display.show_log(versions)


@app.command()
def diff(corpus: CorpusPlace, before: _Version, after: _Version, rows: _Rows = False, as_json: AsJson = False) -> None:
    """Say which rows differ between two versions, and why: added, removed, redone, decided again."""
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
def restore(corpus: CorpusPlace, earlier: _Version, as_json: AsJson = False) -> None:
    """Make an earlier version of a corpus the newest again; its rows come back as they were."""
    restored = history.restore(Corpus(corpus), earlier)
    if as_json:
        print_json({"restored": earlier, "version": restored.version, "rows": restored.rows})
    else:
        display.out.print(f"version {earlier} is restored as version {restored.version}: {restored.rows:,} rows")


@app.command()
def gc(
    corpus: CorpusPlace,
    keep_days: Annotated[
        int, typer.Option(min=0, help="Keep versions that were current in the last N days.", metavar="N")
    ] = 7,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the listed files.")] = False,
    as_json: AsJson = False,
) -> None:
    """List files that only old versions hold, and what dead runs left behind; with --delete, delete them."""
    garbage = collect_garbage(Corpus(corpus), keep_days, delete=delete)
    if as_json:
        print_json(to_jsonable_python(garbage) | {"bytes": garbage.bytes, "deleted": delete})
    else:
        display.show_garbage(garbage, delete)


app.command()(forget)


@app.command(cls=ExportCommand)
def export(  # noqa: PLR0917 -- typer reads the options off the signature
    context: typer.Context,
    corpus: CorpusPlace,
    kind: Annotated[
        str, typer.Argument(metavar="FORMAT", help="One of the formats below.", autocompletion=lambda: [*formats()])
    ],
    to: Annotated[str, typer.Option("--to", metavar="URI", help="An empty place for the files: a path or a URI.")],
    form: Annotated[Form, typer.Option("--as", help="Parquet (zstd) or JSON Lines (gzip).")] = "parquet",
    split: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=SHARE", help="Share of the seeds for test or validation: --split test=0.1"),
    ] = None,
    decision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="accept|flag|reject",
            help="Only rows with this decision; else accept.",
            autocompletion=lambda: [*get_args(Decision)],
        ),
    ] = None,
    facts: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Put facts of this origin into prompts (repeatable); by default, what was in the speaker's prompt.",
        ),
    ] = None,
    version: Annotated[int | None, typer.Option(min=0, help="Version of the corpus; the newest by default.")] = None,
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
    corpus: CorpusPlace,
    to: Annotated[str | None, typer.Option("--to", metavar="FILE", help="CORPUS/README.md by default.")] = None,
    licence: Annotated[str, typer.Option("--license", help="Hugging Face id of the corpus's licence.")] = UNSTATED,
    language: Annotated[str, typer.Option(help="Code of the dialogues' language.")] = "en",
    as_json: AsJson = False,
) -> None:
    """Write the corpus's Hugging Face dataset card."""
    opened = Corpus(corpus)
    text = corpus_card(opened, licence=licence, language=language, report=CountView())
    place = write_card(opened, text, to)
    if as_json:
        print_json({"card": place})
    else:
        display.out.print(f"written: {place}", markup=False)


app.command()(push)

for command in (
    pairs,
    training_cli.train_lm,
    training_cli.train_extractor,
    training_cli.train_nli,
    training_cli.eval_lm,
    training_cli.calibrate,
):
    app.command()(command)


_MENDABLE = (
    YamlError, SourceError, PlanError, RunError, CorpusError, StorageError, ScorerStartError, CalibrationError,
    TrainingError, ExportError, MethodError, HubError,
)  # fmt: skip


_EXTRAS = {
    "calibrate": "report", "eval-lm": "train", "push": "hub", "report": "report", "threads": "local",
    "train-extractor": "train", "train-lm": "train", "train-nli": "train",
}  # fmt: skip
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
