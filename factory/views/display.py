"""What a person sees: progress, plans, dialogues and explanations, in colour on a terminal and plain elsewhere."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from textwrap import shorten
from types import TracebackType
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from factory.base.places import absolute, plain
from factory.base.redact import redact
from factory.planning.garbage import Garbage
from factory.planning.plan import Summary
from factory.planning.recipes import method_of
from factory.running.check import Step
from factory.running.progress import Progress, Result
from factory.store.records import Row, place_of
from factory.store.versions import Version
from factory.training.calibrate import Calibration
from factory.views import cost as costview
from factory.views.details import details
from factory.views.pairs import REASONS, worst
from factory.views.scores import written

if TYPE_CHECKING:  # both import torch
    from factory.training.extractor import ExtractorResult
    from factory.training.lm import LmResult
    from factory.training.nli import NliResult

_EXAMPLE = 200
"""Characters of a dead letter's detail that the status shows."""
_TO_DO = {
    "make": "to make",
    "drop": "to drop",
    "select": "to decide again",
    "left_out": "to lose what a left-out maker wrote",
    "what only the seeds say": "to take over what the seeds tell",
}
_COLOURS = {"accept": "green", "flag": "yellow", "reject": "red"}

out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
counts = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
"""For how far something is: it alone falls silent when nothing but results and errors is wanted."""


def lost(told: Progress | Result) -> str:
    """How many workers were lost, and what that cost."""
    return f"{told.lost} worker{'s' * (told.lost > 1)} lost and replaced, {told.again} dialogues started again"


def show_plan(corpus: str, summary: Summary) -> None:
    """Print what a run would do, and why."""
    if not summary.rows:
        out.print(f"Nothing to do: all {summary.unchanged} rows of {escape(corpus)} are as the job wants them.")
    else:
        table = Table("rows", "what", "why", box=None, pad_edge=False, header_style="bold")
        for done, reasons in summary.reasons.items():
            for why, count in reasons.most_common():
                table.add_row(f"{count:,}", _TO_DO.get(done, f"to redo from {done}"), escape(why))
        table.add_row(f"{summary.unchanged:,}", "to keep", "up to date")
        if summary.left:
            table.add_row(f"{summary.left:,}", "later", "beyond --limit")
        out.print(table)
        for line in costview.estimated(summary):
            out.print(line)
        for line in summary.beyond:
            out.print(f"[yellow]warning[/] {escape(line)}")
    for name in summary.corpora:
        out.print(escape(f"seeds are the personas of {name}"))
    if summary.failed:
        why = escape(f"why: factory letters {quote(corpus)}")
        out.print(
            f"{summary.failed} rows failed before and stay dead letters; {why}; to try them again: --retry-failed"
        )
    if summary.bad_seeds:
        out.print(f"{summary.bad_seeds} seeds cannot be read; a run keeps why, with file and line, as dead letters")
    _show_seeds(summary)


def _show_seeds(told: Summary | Result) -> None:
    """Print what is to be known of seeds that can be read."""
    if told.repeated_seeds:
        one = told.repeated_seeds == 1
        what = "row repeats another, and counts" if one else "rows repeat another, and count"
        out.print(f"{told.repeated_seeds:,} {what} once")
    if told.near_duplicates:
        out.print(f"{told.near_duplicates:,} personas are left out, since they nearly repeat an earlier one")
    for line in told.unkept:
        out.print(f"[yellow]warning[/] {escape(line)}")


def show_result(corpus: str, result: Result) -> None:
    """Print what a run came to."""
    if not result.rows:
        what = "nothing is left to try" if result.stopped else f"{escape(corpus)} is as the job wants it"
        out.print(f"Nothing to do: {what}.")
        return
    decisions = ", ".join(f"[{_COLOURS[name]}]{count} {name}[/]" for name, count in sorted(result.decisions.items()))
    out.print(
        f"{result.committed} rows committed in {result.seconds:.0f} s"
        + (f" ({decisions})" if decisions else "")
        + (f", {result.dropped} dropped" if result.dropped else "")
        + (f", {result.failed} failed" if result.failed else "")
        + (f", {result.tokens:,} tokens generated" if result.tokens else "")
    )
    if result.lost:
        out.print(lost(result))
    if result.bad_seeds:
        out.print(f"{result.bad_seeds} seeds cannot be read")
    _show_seeds(result)
    if result.failed or result.bad_seeds:
        out.print(escape(f"why: factory letters {quote(corpus)}"))
    if result.remaining:
        out.print(f"{result.remaining:,} rows remain; the same command continues from here")


def show_stop(result: Result) -> None:
    """Print why a run made too little."""
    if result.stopped in ("server", "budget"):
        fail(str(result.why))
        if result.stopped == "budget":
            err.print("what is complete is committed; the same command goes on, with the whole budget again")
    elif result.stopped == "failures":
        fail(f"{result.why}; the commonest reasons:")
        for failure in result.failures:
            err.print(escape(redact(f"  {failure.rows} {failure.stage}/{failure.reason}: {failure.detail}")))
            if failure.text:
                err.print(escape(redact(f"    the model wrote: {shorten(failure.text, 300, placeholder=' …')}")))
        err.print("to take them as they are: --allow-failures; to try failed rows again: --retry-failed")


def show_status(status: dict[str, Any]) -> None:
    """Print the counts of a corpus."""
    version = "no version yet" if status["version"] is None else f"version {status['version']}"
    _line("corpus", f"{status['corpus']} ({version})")
    if status["rows"] and not status["turns"]:
        _line("personas", str(status["rows"]))
    else:
        _line("dialogues", f"{status['rows']} with {status['turns']} turns")
    for name, title in (
        ("decisions", "decisions"),
        ("reasons", "reasons"),
        ("gates", "extraction gates"),
    ):
        if status[name]:
            _line(title, ", ".join(f"{key} {count}" for key, count in status[name].items()))
    for name, told in status["scores"].items():
        why = ", ".join(f"{reason} {count}" for reason, count in told["failed"].items())
        means = f": {written(told['means'])} (means)" if told["rows"] and told["means"] else ""
        _line(name, f"{told['rows']} rows{means}" + (f"; of others failed: {why}" if why else ""))
    if status["models"]:
        _line("models", ", ".join(status["models"]))
    out.print()
    for part in costview.spent(status["cost"]):
        out.print(part)
    out.print()
    if status["failures"]:
        _show_dead_letters(status["failures"], status["corpus"])
        out.print()
    if status["version"] is not None:
        _line("open it", _opening(status["corpus"]))


def _show_dead_letters(failures: Sequence[dict[str, Any]], corpus: str) -> None:
    """Print how to read them, how many there are by stage and reason, and an example of each on one line."""
    out.print(escape(f"dead letters; to read them: factory letters {quote(corpus)}"))
    out.print(costview.failed(failures))
    for one in failures:
        example = shorten(one["details"][0], _EXAMPLE, placeholder=" …")
        out.print(escape(f"{one['stage']}/{one['reason']}, for example: {example}"))


def _opening(corpus: str) -> str:
    """The line of Python that opens a corpus. Names that a URL escapes polars cannot read through the Delta log."""
    if plain(absolute(corpus)):
        return f"import polars; polars.read_delta({corpus!r})"
    return f"from factory import Corpus; Corpus({corpus!r}).to_polars().collect()"


def _line(title: str, text: str) -> None:
    out.print(f"[bold]{title:<18}[/]{escape(text)}")


def show_log(versions: Sequence[Version]) -> None:
    """Print the versions of a corpus."""
    table = Table("version", "time (UTC)", "rows", "what", box=None, pad_edge=False, header_style="bold")
    for one in versions:
        rows = "" if one.rows is None else f"{one.rows:,}"
        table.add_row(str(one.version), f"{one.time:%Y-%m-%d %H:%M:%S}", rows, escape(one.message))
    out.print(table)


def show_diff(rows: pl.DataFrame) -> None:
    """Print how many rows differ, by what became of them and why, and how decisions moved."""
    if rows.is_empty():
        out.print("No row differs.")
        return
    table = Table("rows", "what", "why", box=None, pad_edge=False, header_style="bold")
    for what, why, count in rows.group_by("what", "why").len().sort("len", descending=True).iter_rows():
        table.add_row(f"{count:,}", what, escape(why))
    out.print(table)
    moved = rows.drop_nulls().filter(pl.col("before") != pl.col("after")).group_by("before", "after").len()
    for before, after, count in moved.sort("len", descending=True).iter_rows():
        out.print(f"{count:,} went from {before} to {after}")


def show_garbage(garbage: Garbage, deleted: bool) -> None:
    """Print which files can go, or went."""
    for files, what in (
        (garbage.old, "of old versions"),
        (garbage.orphans, "that no version holds"),
        (garbage.left, "that dead runs left, never taken up again"),
    ):
        if files:
            name = "file" if len(files) == 1 else "files"
            out.print(f"{len(files):,} {name} {what}, {sum(file.size for file in files):,} bytes")
    if not garbage.bytes:
        out.print("Nothing to delete.")
    elif deleted:
        out.print(f"deleted: {garbage.bytes:,} bytes")
    else:
        out.print(f"{garbage.bytes:,} bytes can go; to delete them: --delete")


def show_step(step: Step) -> None:
    """Print what was tried, and what came of it."""
    mark = "[green]ok[/]   " if step.wrong is None else "[red]wrong[/]"
    told = "; ".join(filter(None, (step.found, step.wrong)))
    out.print(f"{mark} {escape(step.what):<20} {step.seconds:6.1f} s  {escape(told)}", soft_wrap=True)


def show_row(row: Row) -> None:
    """Print a dialogue with its personas, or a persona alone with its attributes."""
    colour = _COLOURS.get(row.decision or "", "")
    decision = f"[{colour}]{row.decision}[/] " if colour else ""
    out.print(f"[bold]{row.row_id[:12]}[/] {decision}{escape(', '.join(row.reasons))}")
    for number, speaker in enumerate(row.speakers):
        role = f", {escape(speaker.role)}" if speaker.role else ""
        out.print(f"  [cyan]{'AB'[number]}[/]{role} (seed {escape(speaker.seed_id[:12])})")
        for name, value in speaker.attributes.items() if not row.turns else ():
            out.print(f"     [dim]{escape(name)}:[/] {escape(value)}")
        for parent in row.donors[number : number + 1] if not row.turns else ():
            out.print(f"     [dim]from:[/] {escape(shorten(' '.join(fact.text for fact in parent), _EXAMPLE))}")
        for fact in speaker.facts:
            origin = "" if fact.origin == "seed" else f" [dim]({fact.origin})[/]"
            out.print(f"     - {escape(fact.text)}{origin}")
    for turn in row.turns:
        out.print(f"  [cyan]{'AB'[turn.speaker]}[/] {escape(turn.text)}")
    for name, values in row.scores.items():
        out.print(f"  [dim]{escape(name)}: {escape(written(values))}[/]")
    for record in row.stages:
        if record.failed is not None:
            out.print(f"  [dim]{escape(record.stage)}: none, {escape(record.failed)}[/]")
    out.print()


def show_explanation(explanation: dict[str, Any], row: Row) -> None:
    """Print a row's whole story."""
    show_row(row)
    for seed in row.seeds:
        out.print(f"seed {escape(seed.id)}: {escape(place_of(seed.source, seed.line))}")
    for stage, record in zip(explanation["stages"], row.stages, strict=True):
        recipe = stage["recipe"]
        out.print(f"\n[bold]{record.stage}[/] recipe {record.recipe[:12]}, fingerprint {record.fingerprint[:12]}")
        out.print(f"  parameters {escape(str(recipe['params']))}")
        for role, model in recipe["models"].items():
            out.print(f"  {role} {escape(str(model))}")
        out.print(
            f"  versions {escape(', '.join(f'{name} {version}' for name, version in stage['made_with'].items()))}"
        )
        out.print(
            f"  {record.calls} calls, {record.prompt_tokens} prompt tokens ({record.cached_tokens} cached), "
            f"{record.completion_tokens} completion tokens, {record.seconds:.2f} s"
        )
        if stage["note"]:
            out.print(f"  [yellow]{escape(stage['note'])}[/]")
        for prompt in stage["prompts"]:
            out.print(f"  [cyan]prompt for {prompt['for']}[/]")
            if "text" in prompt:
                shown = escape(prompt["text"]).replace("\n", "\n      ")
                out.print(f"    [dim]{len(prompt['ids'])} tokens[/]\n      {shown}")
                continue
            for message in prompt["messages"]:
                text = escape(message["content"]).replace("\n", "\n      ")
                out.print(f"    [dim]{message['role']}[/] {text}")
    if row.extracted:
        out.print("\n[bold]extracted lines and their gates[/]")
        for line in row.extracted:
            out.print(f"  turn {line.turn}: {escape(line.text)} [dim]{line.gate}[/]")
    recipes = {stage["stage"]: stage["recipe"] for stage in explanation["stages"]}
    methods = {stage: method_of(recipe["method"], recipe["params"]) for stage, recipe in recipes.items()}
    for title, lines in details(row, methods):
        table = Table("where", "values", "texts", box=None, pad_edge=False, header_style="bold")
        for cells in lines:
            table.add_row(*map(escape, cells))
        out.print(f"\n[bold]{escape(title)}[/]", table)
    out.print(f"\ndecision: {row.decision or 'none'} {escape(', '.join(row.reasons))}")


def show_calibration(calibration: Calibration, left_out: Mapping[str, int], picture: Path) -> None:
    """Print the operating points, and the lines for the job file."""
    consistent = calibration.pairs - calibration.contradictions
    out.print(
        f"{escape(calibration.model)} on {calibration.pairs} pairs, {calibration.contradictions} of them "
        f"contradictions: accuracy {calibration.accuracy:.1%}"
    )
    if calibration.labelled_by:
        who = ", ".join(f"{name} {count}" for name, count in calibration.labelled_by.items())
        out.print(escape(f"labelled by: {who}"))
    if calibration.stands_for:
        out.print(
            f"weighted: they stand for {calibration.stands_for:,} pairs, of which {calibration.contradicted:.1%} are "
            "contradictions"
        )
    if calibration.unlabelled:
        out.print(
            f"[yellow]warning[/] {calibration.unlabelled:,} more pairs are in strata where nothing is labelled; the "
            "rates leave them out"
        )
    if left_out:
        out.print("left out: " + escape(", ".join(f"{count} {reason}" for reason, count in left_out.items())))
    table = Table("P(contradiction) from", "precision", "recall", "false rejection", "", box=None, header_style="bold")
    named = {"reject": calibration.reject, "flag": calibration.flag}
    for point in calibration.points:
        names = [name for name, chosen in named.items() if chosen == point]
        if names or round(100 * point.threshold) % 10 == 0 or point is calibration.points[-1]:
            precision = "" if point.precision is None else f"{point.precision:.1%}"
            false = f"{point.false_rejection:.2%} (at most {point.false_rejection_most:.2%})"
            table.add_row(f"{point.threshold:.2f}", precision, f"{point.recall:.1%}", false, ", ".join(names))
    out.print(table)
    out.print(f"false rejection: share of the {consistent} pairs that are no contradiction; at most: 95 % interval")
    out.print("\nfor the job file:\n\nselect:")
    column = worst(calibration.score, calibration.check)
    reasons = REASONS[column.partition(".")[2]]
    for name, chosen in named.items():
        if chosen:
            condition = f"{column} >= {chosen.threshold:.2f}"
            out.print(f"  {name}:\n    {reasons[name]}: {condition}")
        else:
            out.print(f"  # no threshold to {name} from keeps the bound")
    out.print(f"\nthe curves are in {escape(str(picture))}")


def show_training(result: LmResult | NliResult | ExtractorResult) -> None:
    """Print what a training came to."""
    parts = {name: value if isinstance(value, dict) else {"": value} for name, value in asdict(result).items()}
    shown = {f"{name} {part}".strip(): value for name, of in parts.items() for part, value in of.items()}
    for name, value in shown.items():
        if value is not None:
            text = f"{value:.3f}" if isinstance(value, float) else str(value)
            out.print(f"[bold]{name.replace('_', ' '):<26}[/]{escape(text)}")


def fail(message: str) -> None:
    """Print an error."""
    sys.stdout.flush()
    err.print(f"[red]error:[/] {escape(redact(message))}")


def crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of an error that nobody foresaw, as `sys.excepthook`."""
    sys.stdout.flush()
    err.print(redact("".join(traceback.format_exception(kind, error, trace))), markup=False, end="")
