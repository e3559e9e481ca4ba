"""Seeds and dialogues from a file of any format, one by one; what is no seed comes out as a bad seed with its reason.

Text is normalised: control characters go, runs of white space (line ends too) become one space, and what is left is
stripped; nothing else changes, so placeholders and letter case stay. A fact that is empty or repeats another of its
persona is dropped. What pandas and R write for a missing value counts as missing. Limitations: sentences are split by
punctuation and a short list of English abbreviations; a damaged file is one bad seed, however many rows it cost.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json

from factory.base.fingerprint import fingerprint
from factory.base.sentences import split_sentences
from factory.seeds.files import BadRow, Format, SeedFile
from factory.seeds.foreign import foreign_row
from factory.seeds.formats import read_rows
from factory.seeds.lines import Row
from factory.store.records import Seed

MAX_FACT, MAX_FACTS = 1_000, 200
"""Characters of a fact, facts of a persona."""
MAX_TURN, MAX_TURNS = 5_000, 1_000
"""Characters of a turn, turns of a dialogue."""
MAX_ID = 200
"""Characters of an id."""
_MAX_DETAIL = 200
_FIRST = 3
"""Unreadable seeds that a message names."""
_MISSING = frozenset({"", "nan", "NaN", "None", "null", "NULL", "NA", "<NA>", "NaT"})
"""What a cell of a CSV file holds where there is no value."""
_WHOLE_FLOAT = re.compile(r"-?\d+\.0")
_PYTHON_LIST = re.compile(r"\s*\['.*'\]\s*", re.DOTALL)
_MAX_EXACT = 1 << 53
"""Above it, floats leave out whole numbers."""
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")


class SeedFields(BaseModel):
    """Names of columns, where they are not the usual ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str | None = Field(None, description="Column of the seed's id; `id` if there is one, unless set.")
    facts: str | None = Field(None, description="Column of the persona; `facts` or `persona` unless set.")


class SeedSource(BaseModel):
    """Files of persona seeds or of dialogues."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(
        min_length=1,
        description="Path, folder or glob (`**` too), behind s3:// and gs:// as well, or https:// address of a file; "
        "gzip, bz2, xz and zstd are unpacked. Relative paths start at the job file's folder.",
    )
    format: Format = Field(
        "auto",
        description="`auto` goes by the extension, and knows Synthetic-Persona-Chat (`spc`) by its CSV header, and "
        "ConvAI2 (`convai2`) and JSON in a text file by its first line.",
    )
    fields: SeedFields = Field(default_factory=SeedFields, description="Column names, where not the usual ones.")


@dataclass(frozen=True, slots=True)
class BadSeed:
    """A row that is no seed, or the rest of a file where it `ends` one. `reason` is one of foreign, encoding,
    compression, json, csv, parquet, convai2, missing_field, wrong_type, empty, too_long, speakers and duplicate_id;
    `detail` is for people."""

    source: str
    line: int
    reason: str
    detail: str
    ends: bool = False

    def __str__(self) -> str:
        return f"{self.source}, line {self.line}: {self.reason}: {self.detail}"


def first_of(bad: Sequence[BadSeed]) -> str:
    """The first unreadable seeds, a line each, and how many more there are; for the end of a message."""
    more = [f"and {len(bad) - _FIRST:,} more"] if len(bad) > _FIRST else []
    return "".join(f"\n  {line}" for line in [*map(str, bad[:_FIRST]), *more])


def read_file(file: SeedFile, fields: SeedFields) -> Iterator[Seed | BadSeed]:
    """The seeds of one file, in order. Raises SourceError if it cannot be read."""
    facts = (fields.facts,) if fields.facts else ("facts", "persona")
    columns = (fields.id or "id", *facts, "turns", "personas")
    for line, row in read_rows(file, columns):
        try:
            if isinstance(row, BadRow):
                raise row
            if file.format in ("csv", "tsv"):
                _mend_cells(row, columns)
            yield _seed(row, fields, facts, file.name, line)
        except BadRow as bad:
            yield BadSeed(file.name, line, bad.reason, bad.detail[:_MAX_DETAIL], bad.ends)


def _mend_cells(row: Row, columns: Sequence[str]) -> None:
    """Make values of the cells of a CSV file: none of what stands for a missing value, a list or object of JSON, and a
    whole number of an id that pandas made a float (as it does to a column of whole numbers where one is missing)."""
    for name in columns:
        cell = row.get(name)
        if not isinstance(cell, str):
            continue
        text = cell.strip()
        if text in _MISSING:
            row[name] = None
        elif name == columns[0] and _WHOLE_FLOAT.fullmatch(text):
            row[name] = text[:-2]
        elif name != columns[0] and text.startswith(("[", "{")):
            with suppress(ValueError):  # then it is text
                row[name] = from_json(text)


def _missing(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def _seed(row: Row, fields: SeedFields, facts: Sequence[str], source: str, line: int) -> Seed:
    if not _missing(row.get("turns")):
        personas, turns = _dialogue(row["turns"], row.get("personas"))
    else:
        name = next((name for name in facts if not _missing(row.get(name))), None)
        if name is None:
            if empty := next((name for name in facts if name in row), None):
                raise BadRow("empty", f"no fact in {empty!r}")
            raise BadRow("missing_field", foreign_row(row, facts))
        personas, turns = (_facts(row[name], name),), ()
        if not personas[0]:
            raise BadRow("empty", f"no fact in {name!r}")
    digest = fingerprint("seed", [personas, turns])
    return Seed(_id(row, fields) or digest, digest, source, line, personas, turns)


def _id(row: Row, fields: SeedFields) -> str | None:
    value = row.get(fields.id or "id")
    if _missing(value):
        if fields.id and fields.id not in row:
            raise BadRow("missing_field", f"no {fields.id!r}")
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_EXACT:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise BadRow("wrong_type", f"the id should be a string or a whole number, not {str(value)[:40]}")
    return _text(value, MAX_ID, "the id")


def _text(value: Any, limit: int, what: str) -> str:
    if not isinstance(value, str):
        raise BadRow("wrong_type", f"{what} should be a string, not {type(value).__name__}")
    text = " ".join(_CONTROL.sub("", value).split())
    if len(text) > limit:
        raise BadRow("too_long", f"{what} has {len(text):,} characters; {limit:,} are allowed")
    return text


def _facts(value: Any, what: str) -> tuple[str, ...]:
    """Facts of a list, of the lines of a text, or of the sentences of a single line."""
    if isinstance(value, str):
        if _PYTHON_LIST.fullmatch(value):
            raise BadRow("wrong_type", f"{what} is a list as Python prints it: write it as JSON, or a fact a line")
        if value.lstrip().startswith("["):
            with suppress(ValueError):  # then it is text
                return _facts(from_json(value), what)
        lines = [line for line in re.split(r"[\r\n]+", value) if line.strip()]
        value = lines if len(lines) > 1 else split_sentences(value)
    if not isinstance(value, list):
        raise BadRow("wrong_type", f"{what} should be a list or a string, not {type(value).__name__}")
    facts = dict.fromkeys(_text(fact, MAX_FACT, f"a fact of {what}") for fact in value)
    facts.pop("", None)
    if len(facts) > MAX_FACTS:
        raise BadRow("too_long", f"{len(facts):,} facts in {what}; {MAX_FACTS} are allowed")
    return tuple(facts)


def _dialogue(turns: Any, personas: Any) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[int, str], ...]]:
    """Personas of speakers 0 and 1, and numbered turns. Speakers that are numbers keep their order, names are numbered
    as they first speak, plain strings alternate."""
    if not isinstance(turns, list):
        raise BadRow("wrong_type", f"'turns' should be a list, not {type(turns).__name__}")
    if len(turns) < 2:
        raise BadRow("speakers", f"{len(turns)} turns; a dialogue has two or more")
    if len(turns) > MAX_TURNS:
        raise BadRow("too_long", f"{len(turns):,} turns; {MAX_TURNS:,} are allowed")
    said = [_turn(turn, number) for number, turn in enumerate(turns)]
    speakers = list(dict.fromkeys(speaker for speaker, _ in said))
    if len(speakers) != 2:
        raise BadRow("speakers", f"{len(speakers)} speakers; a dialogue has two")
    if all(isinstance(speaker, int) for speaker in speakers):
        speakers.sort(key=int)
    numbered = tuple((speakers.index(speaker), text) for speaker, text in said)
    return _personas(personas, [str(speaker) for speaker in speakers]), numbered


def _turn(turn: Any, number: int) -> tuple[int | str, str]:
    what = f"turn {number + 1}"
    if isinstance(turn, str):
        turn = {"speaker": number % 2, "text": turn}
    if not isinstance(turn, dict):
        raise BadRow("wrong_type", f"{what} should be an object or a string, not {type(turn).__name__}")
    for key in ("speaker", "text"):
        if turn.get(key) is None:
            raise BadRow("missing_field", f"{what} has no {key!r}")
    text = _text(turn["text"], MAX_TURN, what)
    if not text:
        raise BadRow("empty", f"{what} has no text")
    speaker = turn["speaker"]
    if isinstance(speaker, int) and not isinstance(speaker, bool):
        return speaker, text
    return _text(speaker, MAX_ID, f"the speaker of {what}"), text


def _personas(personas: Any, speakers: list[str]) -> tuple[tuple[str, ...], ...]:
    if _missing(personas):
        return (), ()
    if isinstance(personas, dict):
        personas = {name.strip(): facts for name, facts in personas.items() if facts is not None}
        if unknown := personas.keys() - set(speakers):
            raise BadRow("speakers", f"a persona of {min(unknown)[:80]!r}, who says nothing")
        personas = [personas.get(name, []) for name in speakers]
    if not isinstance(personas, list):
        raise BadRow("wrong_type", f"'personas' should be a list or an object, not {type(personas).__name__}")
    if len(personas) != 2:
        raise BadRow("speakers", f"{len(personas)} lists in 'personas'; a dialogue has two")
    return tuple(_facts(facts, f"persona {number + 1}") for number, facts in enumerate(personas))
