"""Exports of a corpus for trainers: streamed into Parquet or JSON Lines that `datasets` reads by split.

>>> from factory.export import export
>>> export("out/quickstart", "chat", "out/chat").rows
{'train': 48}

The formats are methods, found in `factory/methods/exports/` and in other packages; what stands here reads the corpus,
splits it and writes the files, and knows none of them by name. A format reads no more of a corpus at once than a shard,
and what it needs to look back at: 512 dialogues (`ranking`), one slot (`preference` of slots). The same version
exported again gives the same bytes, but for the last digits of APC that is computed again. Limitations: rows stand in
the corpus's order, so shuffle when you train.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from factory.base.places import in_shell
from factory.export.scorers import OpenedScorers
from factory.export.source import Reader
from factory.export.splits import Splits, groups_of
from factory.export.writing import Files, Form
from factory.methods.exports import ExportError, ExportFormat, Source
from factory.methods.registry import found, named
from factory.planning.recipes import models_asked, scores_of
from factory.store.corpus import Corpus
from factory.store.records import ROW_SCHEMA, Decision, score_columns
from factory.training.templates import Templates

__all__ = ["Export", "ExportError", "Form", "export", "formats", "schema_of"]


@dataclass(frozen=True, slots=True)
class Export:
    """What an export came to: examples by split, what was left out and why, and what else is to be known."""

    corpus: str
    version: int
    format: str
    to: str
    files: dict[str, list[str]]
    rows: dict[str, int]
    left_out: dict[str, int]
    notes: list[str]


def formats() -> Mapping[str, type[ExportFormat]]:
    """The formats there are, by name. Raises MethodError for a mistake in the factory's own."""
    return found("exports")


def schema_of(kind: str, corpus: str | None = None, **options: Any) -> pa.Schema:
    """The columns of a format with these options of its own; of `flat` those that any corpus has, and with a `corpus`
    those of its scores too. Raises ExportError, MethodError for no such format, and CorpusError."""
    made = _made(kind, options)
    if corpus is not None:
        opened = Corpus(corpus)
        opened.scan()
        made.fit(score_columns(opened.table.layout))
    return made.schema


def export(
    corpus: str,
    kind: str,
    to: str,
    *,
    form: Form = "parquet",
    splits: Mapping[str, float] | None = None,
    decisions: Sequence[Decision] = ("accept",),
    facts: Sequence[str] | None = None,
    version: int | None = None,
    rows_per_file: int = 50_000,
    report: Callable[[str, int], None] = lambda *_: None,
    **options: Any,
) -> Export:
    """Write the rows so decided of one version (the newest without it) to a place that holds nothing yet.

    `splits` are shares of speakers that go to `test` and `validation`. `facts` are the origins of facts that prompts
    hold; without, what a speaker was given and expanded, or else what was read off its turns. `options` are the
    format's own, such as `by` of `preference`. Raises ExportError, MethodError (no such format, or one that cannot be
    used), CorpusError, StorageError, and ScorerStartError from a format that asks models.
    """
    made = _made(kind, options)
    opened = Corpus(corpus)
    opened.scan()
    newest = opened.table.version()
    pinned = newest if version is None else version
    if pinned is None:
        raise ExportError(
            f"{corpus}: every row failed, so there is nothing to export; see: factory status {in_shell(corpus)}"
        )
    columns = score_columns(opened.table.layout)
    made.fit(columns)
    templates = Templates(opened)
    with OpenedScorers(opened, made.needs) as scorers, Files(to, made, form, rows_per_file) as files:
        source = Source(templates.of, templates.ended, facts, scorers.of, models_asked(opened))
        sides = Splits.of(splits or {}, groups_of(opened, pinned) if splits else None)
        asked = set(made.columns)
        scores = scores_of(opened, found("scores").keys() & asked) | {name: name for name in asked & columns.keys()}
        reader = Reader(opened, pinned, made, source, sides, decisions, report, scores)
        for split, record in reader.records():
            files.add(split, record)
        if not files.rows:
            raise ExportError(f"{corpus}: nothing to export as {kind}: {_told(source)}")
        files.finish()
        rows = {split: sum(counts) for split, counts in sorted(files.rows.items())}
        names = {split: files.names(split) for split in rows}
        result = Export(corpus, pinned, kind, to, names, rows, dict(source.left_out), sides.missed(rows))
        files.write_manifest(_manifest(result, reader))
    return result


def _made(kind: str, options: Mapping[str, Any]) -> ExportFormat:
    """The format with these options. Raises ExportError for an option it does not have, or a value that is none."""
    format_: type[ExportFormat] = named("exports", kind)
    own = format_.Params.model_fields
    if unknown := sorted(options.keys() - own.keys()):
        names = " and no ".join(f"`{name}`" for name in unknown)
        told = ", ".join(f"`{name}`" for name in own)
        raise ExportError(
            f"{kind} knows no {names}; it has {f'the options {told}' if own else 'no options of its own'}"
        )
    try:
        made = format_(format_.Params.model_validate(options))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "its options"
        raise ExportError(f"{kind}: {name} {first['input']}: {first['msg']}") from None
    known = {*ROW_SCHEMA.names, *found("scores")}
    for column in made.columns:
        if column.partition(".")[0] not in known:
            raise ExportError(f"{kind}: it reads the column {column}, which rows do not have")
    return made


def _manifest(result: Export, reader: Reader) -> dict[str, object]:
    """What was exported, and how it was asked for; a URI's credentials stay out of it."""
    told = asdict(result)
    del told["to"]
    return {
        **told,
        "corpus": re.sub("//[^/]*@", "//", result.corpus),
        "splits": {"test": reader.splits.test, "validation": reader.splits.validation},
        "decisions": list(reader.decisions),
        "facts": reader.source.facts,
        **reader.made.params.model_dump(mode="json"),
    }


def _told(source: Source) -> str:
    counts = ", ".join(f"{count:,} {why}" for why, count in source.left_out.items())
    return f"left out {counts}" if counts else "the corpus holds no such rows"
