"""The `factory` command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from pydantic_core import to_jsonable_python

from factory import display, history
from factory.calibrate import CalibrationError, draw
from factory.calibrate import calibrate as calibrate_model
from factory.card import UNSTATED, write_card
from factory.card import card as corpus_card
from factory.corpus import Corpus
from factory.diff import diff as corpus_diff
from factory.explain import explain as explain_row
from factory.explain import find_row
from factory.export import By, ExportError, Form, Format, Of
from factory.export import export as export_corpus
from factory.export.view import parse_decisions, parse_origins, parse_splits, show_export
from factory.garbage import gc as collect_garbage
from factory.jobfile import load_job
from factory.labelled import PairFile, read_pairs
from factory.nli import NliModel, ScorerStartError
from factory.output import lasting_output
from factory.packages import explain_missing
from factory.plan import Plan
from factory.pool import RunError
from factory.run import run as run_job
from factory.seed_files import SourceError
from factory.status import status as corpus_status
from factory.storage import StorageError
from factory.table import CorpusError
from factory.training import TrainingError
from factory.wanted import PlanError
from factory.yamlfile import YamlError, load_yaml

app = typer.Typer(
    help="Persona seeds in, a consistent dialogue corpus out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_Job = Annotated[Path, typer.Argument(metavar="JOB", help="Job file, such as jobs/quickstart.yaml.")]
_Corpus = Annotated[str, typer.Argument(metavar="CORPUS", help="Where the corpus lives: a path or a URI.")]
_Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a field: --set stages.converse.turns=12"),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Retry = Annotated[bool, typer.Option("--retry-failed", help="Try rows again that failed before.")]
_Version = Annotated[int, typer.Argument(min=0, metavar="VERSION", help="A version's number, from: factory log.")]
_Rows = Annotated[bool, typer.Option("--rows", help="A line for each row: id, what, why, decisions before and after.")]
_INTERRUPTED = 130


@app.command()
def plan(job: _Job, overrides: _Set = None, retry_failed: _Retry = False, as_json: _Json = False) -> None:
    """Say what a run would make and why; the corpus stays as it is."""
    loaded = load_job(job, overrides or ())
    summary = Plan(loaded, retry_failed=retry_failed, report=display.CountView()).summary
    if as_json:
        _print_json({"rows": summary.rows, "model_calls": summary.model_calls, **to_jsonable_python(summary)})
    else:
        display.show_plan(loaded.corpus, summary)


@app.command()
def run(
    job: _Job,
    overrides: _Set = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join; RAY_ADDRESS without it.")] = None,
    retry_failed: _Retry = False,
    as_json: _Json = False,
) -> None:
    """Make what the job wants and the corpus lacks. Ctrl-C commits what is complete; run again to go on."""
    loaded = load_job(job, overrides or ())
    with lasting_output():
        try:
            with display.ProgressView() as view:
                result = run_job(
                    loaded, address=address, retry_failed=retry_failed, report=view, report_plan=display.CountView()
                )
        except KeyboardInterrupt:
            display.fail("stopped at once; what was committed stays, and the same command goes on from there")
            raise typer.Exit(_INTERRUPTED) from None
        if as_json:
            _print_json(to_jsonable_python(result))
        else:
            display.show_result(loaded.corpus, result)
    if result.interrupted:
        raise typer.Exit(_INTERRUPTED)


@app.command()
def status(corpus: _Corpus, as_json: _Json = False) -> None:
    """Say what stands in a corpus: decisions, reasons, gates, dead letters, and what they cost."""
    counts = corpus_status(Corpus(corpus))
    if as_json:
        _print_json(counts)
    else:
        display.show_status(counts)


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
    as_json: _Json = False,
) -> None:
    """Explain a row back to its seeds: recipes, prompts as sent, scored pairs, gates, versions."""
    opened = Corpus(corpus)
    found = find_row(opened, row)
    explanation = explain_row(opened, found)
    if as_json:
        _print_json(explanation)
    else:
        display.show_explanation(explanation, found)


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
    as_json: _Json = False,
) -> None:
    """Write a page that shows a corpus: its funnel, distributions, diversity, persona groups, cost and dialogues."""
    from factory.report import STEPS
    from factory.report import report as write_report

    with display.counting("parts of the report", STEPS) as progress:
        page, figures = write_report(Corpus(corpus), to, since=since, dialogues=dialogues, progress=progress)
    if as_json:
        _print_json({"page": str(page), "figures": str(figures)})
    else:
        display.out.print(f"{page}\n{figures}", markup=False)


@app.command()
def log(corpus: _Corpus, as_json: _Json = False) -> None:
    """List a corpus's versions, newest first."""
    versions = history.log(Corpus(corpus))
    if as_json:
        _print_json({"versions": to_jsonable_python(versions)})
    else:
        display.show_log(versions)


@app.command()
def diff(corpus: _Corpus, before: _Version, after: _Version, rows: _Rows = False, as_json: _Json = False) -> None:
    """Say which rows differ between two versions, and why: added, removed, redone, decided anew."""
    found = corpus_diff(Corpus(corpus), before, after)
    if rows:
        for row in found.iter_rows(named=True):
            typer.echo(json.dumps(row, ensure_ascii=False) if as_json else "\t".join(map(str, row.values())))
    elif as_json:
        counted = found.group_by(pl.exclude("row_id"), maintain_order=True).len("rows")
        _print_json({"rows": len(found), "changes": counted.to_dicts()})
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
    as_json: _Json = False,
) -> None:
    """List files that only old versions hold, and what dead runs left behind; with --delete, delete them."""
    garbage = collect_garbage(Corpus(corpus), keep_days, delete=delete)
    if as_json:
        _print_json(to_jsonable_python(garbage) | {"bytes": garbage.bytes, "deleted": delete})
    else:
        display.show_garbage(garbage, delete)


@app.command()
def export(  # noqa: PLR0917 -- typer reads the options off the signature
    corpus: _Corpus,
    kind: Annotated[Format, typer.Argument(metavar="FORMAT", help="What to train on it.")],
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
            metavar="seed|expand|extract|augment",
            help="Facts of this origin stand in prompts (repeat it); else those a speaker had in its own.",
        ),
    ] = None,
    by: Annotated[
        By, typer.Option(help="preference: what makes a reply the better one; apc of turns asks NLI.")
    ] = "nli",
    of: Annotated[Of, typer.Option(help="preference: candidates of a turn, or dialogues of a slot.")] = "turn",
    version: Annotated[int | None, typer.Option(min=0, help="Version of the corpus; the newest unless set.")] = None,
    rows_per_file: Annotated[int, typer.Option(min=1, help="Examples per file, at most.")] = 50_000,
    as_json: _Json = False,
) -> None:
    """Write a corpus as files to train on, which `datasets` reads by split."""
    result = export_corpus(
        corpus, kind, to, form=form, splits=parse_splits(split or ()),
        decisions=parse_decisions(decision or ["accept"]), facts=parse_origins(facts) if facts else None, by=by, of=of,
        version=version, rows_per_file=rows_per_file, report=display.CountView(),
    )  # fmt: skip
    if as_json:
        _print_json(to_jsonable_python(result))
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
    text = corpus_card(opened, licence=licence, language=language, report=display.CountView())
    display.out.print(f"written: {write_card(opened, text, to)}", markup=False)


_Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="What to train, on what, and how: a short YAML.")]
_To = Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the model goes.")]


@app.command()
def train_lm(config: _Config, to: _To, overrides: _Set = None, as_json: _Json = False) -> None:
    """Train a causal language model on a corpus. The same command goes on with a training that was killed."""
    from factory.training.lm import LmConfig, train_lm

    result = train_lm(load_yaml(config, LmConfig, overrides or ())[0], to)
    if as_json:
        _print_json(to_jsonable_python(result))
    else:
        display.show_training(result)


@app.command()
def train_nli(config: _Config, to: _To, overrides: _Set = None, as_json: _Json = False) -> None:
    """Train an NLI classifier on labelled pairs. The same command goes on with a training that was killed."""
    from factory.training.nli import NliConfig, train_nli

    result = train_nli(load_yaml(config, NliConfig, overrides or ())[0], to)
    if as_json:
        _print_json(to_jsonable_python(result))
    else:
        display.show_training(result)


@app.command()
def calibrate(  # noqa: PLR0917 -- typer reads the options off the signature
    pairs: Annotated[list[str], typer.Argument(metavar="PAIRS...", help="Files of labelled pairs: paths or URIs.")],
    model: Annotated[str, typer.Option(help="NLI model: bundled, a folder or a Hugging Face id.")] = "nli-small",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hugging Face model.")] = None,
    premise: Annotated[str, typer.Option(help="Column of the premise.")] = "premise",
    hypothesis: Annotated[str, typer.Option(help="Column of the hypothesis.")] = "hypothesis",
    label: Annotated[str, typer.Option(help="Column of the label: entailment, neutral, contradiction.")] = "label",
    max_rejected: Annotated[
        float, typer.Option(min=0, max=1, help="Share of consistent pairs that may be rejected.")
    ] = 0.01,
    max_flagged: Annotated[
        float, typer.Option(min=0, max=1, help="Share of consistent pairs that may be flagged.")
    ] = 0.025,
    picture: Annotated[Path, typer.Option(help="Where the curves are drawn.")] = Path("calibration.png"),
    as_json: _Json = False,
) -> None:
    """Find an NLI model's contradiction thresholds on labelled pairs, and what they cost and catch."""
    files = [PairFile(path=path, premise=premise, hypothesis=hypothesis, label=label) for path in pairs]
    found = read_pairs(files)
    with display.counting("pairs", len(found.pairs)) as report:
        result = calibrate_model(
            found.pairs, NliModel(name=model, revision=revision),
            max_rejected=max_rejected, max_flagged=max_flagged, report=report,
        )  # fmt: skip
    if as_json:
        _print_json({**to_jsonable_python(result), "left_out": found.left_out, "picture": str(picture)})
    else:
        display.show_calibration(result, found.left_out, picture)
    draw(result, picture)  # last: what was scored is told, whatever becomes of the picture


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


_MENDABLE = (
    YamlError, SourceError, PlanError, RunError, CorpusError, StorageError, ScorerStartError, CalibrationError,
    TrainingError, ExportError,
)  # fmt: skip


def main() -> None:
    """Run the command; errors that are a person's to mend are printed as such, without a traceback."""
    try:
        app()
    except _MENDABLE as error:
        display.fail(str(error))
        raise SystemExit(1) from error
    except ImportError as error:
        display.fail(explain_missing(error, " ".join(["factory", *sys.argv[1:2]])))
        raise SystemExit(1) from error
