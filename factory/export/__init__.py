"""Exports of a corpus for trainers: streamed into Parquet or JSON Lines that `datasets` reads by split.

>>> from factory.export import export
>>> export("out/quickstart", "chat", "out/chat").rows
{'train': 48}

A format reads no more of a corpus at once than a shard, and what it needs to look back at: 512 dialogues (`ranking`),
one slot (`preference` of slots). The same version exported again gives the same bytes, but for the last digits of APC
that is computed anew. Limitations: rows stand in the corpus's order, so shuffle when you train.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import pyarrow as pa

from factory.base.places import in_shell
from factory.export.errors import ExportError
from factory.export.formats import CHAT, EXTRACTION, NLI, PLAIN, chat, extraction, nli, plain
from factory.export.preference import By, Of, of_slots, of_turns
from factory.export.preference import schema as preference_schema
from factory.export.ranking import RANKING, ranked
from factory.export.source import Source
from factory.export.splits import Splits, groups_of
from factory.export.writing import Example, Files, Form
from factory.store.corpus import Corpus
from factory.store.records import Decision, Origin, Row

__all__ = ["By", "Export", "ExportError", "Form", "Format", "Of", "export", "schema_of"]

Format = Literal["chat", "plain", "preference", "extraction", "nli", "ranking"]

_BY_ROW: dict[str, tuple[pa.Schema, Callable[[Source, Row], Iterator[Example]]]] = {
    "chat": (CHAT, chat),
    "plain": (PLAIN, plain),
    "extraction": (EXTRACTION, extraction),
    "nli": (NLI, nli),
}
_COLUMNS: dict[Format | Of, tuple[str, ...]] = {
    "plain": ("reasons", "consistency"),
    "extraction": ("extracted",),
    "nli": ("scores",),
    "turn": ("turns.list.element.candidates",),
    "slot": ("consistency",),
}
"""What a format reads of a row besides what all do."""


@dataclass(frozen=True, slots=True)
class Export:
    """What an export came to: examples by split, what was left out, by reason, and what else is to be known of it."""

    corpus: str
    version: int
    format: Format
    to: str
    files: dict[str, list[str]]
    rows: dict[str, int]
    left_out: dict[str, int]
    notes: list[str]


def schema_of(kind: Format, by: By = "nli") -> pa.Schema:
    """The columns of a format."""
    if kind == "preference":
        return preference_schema(by)
    return RANKING if kind == "ranking" else _BY_ROW[kind][0]


def export(
    corpus: str,
    kind: Format,
    to: str,
    *,
    form: Form = "parquet",
    splits: Mapping[str, float] | None = None,
    decisions: Sequence[Decision] = ("accept",),
    facts: Sequence[Origin] | None = None,
    by: By = "nli",
    of: Of = "turn",
    version: int | None = None,
    rows_per_file: int = 50_000,
    report: Callable[[str, int], None] = lambda *_: None,
) -> Export:
    """Write the rows so decided of one version (the newest without it) to a place that holds nothing yet.

    `splits` are shares of speakers that go to `test` and `validation`. `facts` are the origins of facts that prompts
    hold; without, what a speaker was given and expanded, or else what was read off its turns. `by` and `of` are for
    `preference` alone. Raises ExportError, CorpusError, StorageError, and ScorerStartError (`by` APC of turns).
    """
    if kind != "preference" and (by, of) != ("nli", "turn"):
        raise ExportError(f"{kind} knows no `by` and no `of`: they say how replies are paired in preference")
    opened = Corpus(corpus)
    opened.scan()
    newest = opened.table.version()
    pinned = newest if version is None else version
    if pinned is None:
        raise ExportError(
            f"{corpus}: every row failed, so there is nothing to export; see: factory status {in_shell(corpus)}"
        )
    columns = _COLUMNS.get(of if kind == "preference" else kind, ())
    sides = Splits.of(splits or {}, groups_of(opened, pinned) if splits else None)
    source = Source(opened, pinned, columns, sides, decisions, facts, report)
    with Files(to, schema_of(kind, by), form, rows_per_file) as files:
        for split, example in _examples(source, kind, by, of):
            files.add(split, example)
        if not files.rows:
            raise ExportError(f"{corpus}: nothing to export as {kind}: {_told(source)}")
        files.finish()
        rows = {split: sum(counts) for split, counts in sorted(files.rows.items())}
        names = {split: files.names(split) for split in rows}
        result = Export(corpus, pinned, kind, to, names, rows, dict(source.left_out), sides.missed(rows))
        files.write_manifest(_manifest(result, source, by, of))
    return result


def _examples(source: Source, kind: Format, by: By, of: Of) -> Iterator[tuple[str, Example]]:
    if kind == "preference":
        yield from of_turns(source, by) if of == "turn" else of_slots(source, by)
    elif kind == "ranking":
        yield from ranked(source)
    else:
        for split, row in source.rows():
            yield from ((split, example) for example in _BY_ROW[kind][1](source, row))


def _manifest(result: Export, source: Source, by: By, of: Of) -> dict[str, object]:
    """What was exported, and how it was asked for; a URI's credentials stay out of it."""
    told = asdict(result)
    del told["to"]
    return {
        **told,
        "corpus": re.sub("//[^/]*@", "//", result.corpus),
        "splits": {"test": source.splits.test, "validation": source.splits.validation},
        "decisions": list(source.decisions),
        "facts": source.facts,
        **({"by": by, "of": of} if result.format == "preference" else {}),
    }


def _told(source: Source) -> str:
    counts = ", ".join(f"{count:,} {why}" for why, count in source.left_out.items())
    return f"left out {counts}" if counts else "the corpus holds no such rows"
