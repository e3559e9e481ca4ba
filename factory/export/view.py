"""An export or a push on the command line: the splits as they are asked for, and what came of it."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydantic import TypeAdapter, ValidationError
from rich.markup import escape
from rich.table import Table

from factory.base.places import absolute
from factory.export import Export, ExportError, Form
from factory.export.push import Push
from factory.methods.origins import Origin
from factory.store.records import Decision
from factory.views.display import err, out


def parse_splits(texts: Sequence[str]) -> dict[str, float]:
    """Shares by name, of NAME=SHARE. Raises ExportError."""
    shares: dict[str, float] = {}
    for text in texts:
        name, _, share = text.partition("=")
        try:
            shares[name] = float(share)
        except ValueError:
            raise ExportError(f"--split {text}: write it as NAME=SHARE, such as --split test=0.1") from None
    return shares


def parse_decisions(texts: Sequence[str]) -> list[Decision]:
    """Raises ExportError for what is no decision."""
    with _option("decision"):
        return TypeAdapter(list[Decision]).validate_python(list(texts))


def parse_origins(texts: Sequence[str]) -> list[str]:
    """Raises ExportError for what is no origin of facts."""
    with _option("facts"):
        return TypeAdapter(list[Origin]).validate_python(list(texts))


@contextmanager
def _option(name: str) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        raise ExportError(f"--{name} {first['input']}: {first['msg']}") from None


def show_export(result: Export, form: Form) -> None:
    """Print the splits, what was left out, and how to read it."""
    table = Table("split", "examples", "files", box=None, pad_edge=False, header_style="bold")
    for split, count in result.rows.items():
        table.add_row(split, f"{count:,}", str(len(result.files[split])))
    out.print(table)
    for why, count in result.left_out.items():
        out.print(f"left out: {count:,} {escape(why)}")
    for note in result.notes:
        out.print(f"[yellow]warning[/] {escape(note)}")
    loader = "parquet" if form == "parquet" else "json"
    place = absolute(result.to)
    escaped = glob.escape(place)  # datasets takes a folder for a pattern
    folder = result.to if place == escaped and not result.to.startswith("~") else escaped
    read = f"import datasets; datasets.load_dataset({loader!r}, data_dir={folder!r})"
    out.print(f"[bold]open it[/] {escape(read)} (version {result.version} of {escape(result.corpus)})")


def announce_push(told: Push) -> None:
    """Print, on standard error, what is about to go where, and who may read it there."""
    readers = "private" if told.private else "public, so anyone can read its personas and dialogues"
    place = f"{told.to} ({'new; ' if told.new else ''}{readers})"
    err.print(f"version {told.version} of {told.corpus} goes to {place}", markup=False)
    err.print(
        f"{told.rows:,} rows: {len(told.files):,} files, {told.bytes:,} bytes; of these {len(told.sent):,} are sent, "
        f"{told.sent_bytes:,} bytes; {len(told.deleted):,} of other versions are deleted there"
    )


def show_push(pushed: Push) -> None:
    """Print where it is, and how to read it."""
    done = (
        f"pushed: {pushed.url}" if pushed.sent or pushed.deleted else f"nothing to push: {pushed.url} holds it already"
    )
    out.print(f"{done} (commit {pushed.commit})", markup=False)
    name = pushed.url.partition("/datasets/")[2]
    out.print(f"[bold]open it[/] import datasets; datasets.load_dataset({name!r})")
