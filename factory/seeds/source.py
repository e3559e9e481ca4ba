"""Seeds and dialogues from a file of any format, one by one; what is no seed comes out as a bad seed with its reason.

Text is normalised: control characters go, runs of white space (line ends too) become one space, and what is left is
stripped; nothing else changes, so placeholders and letter case stay. A fact that is empty or repeats another of its
persona is dropped. What pandas and R write for a missing value counts as missing. Limitations: sentences are split by
punctuation and a short list of English abbreviations; a damaged file is one bad seed, however many rows it cost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError, from_json

from factory.base.fingerprint import blake
from factory.base.sentences import split_sentences
from factory.seeds.digests import digests_of
from factory.seeds.fields import SeedFields
from factory.seeds.files import BadRow, FileFormat, SeedFile
from factory.seeds.foreign import foreign_row
from factory.seeds.formats import rows_and_blocks
from factory.seeds.lines import FileRow
from factory.seeds.plain import PlainReader, PlainRows
from factory.seeds.plain_dialogues import PLAIN, PlainDialogues
from factory.seeds.shapes import COLUMNS, PAIR_COLUMNS, pair_of, rows_of
from factory.seeds.speakers import Label, SpeakerReader
from factory.seeds.values import MAX_FACT, MAX_FACTS, MAX_ID, MAX_TURN, MAX_TURNS, MISSING, id_of, missing, text_of
from factory.store.records import Seed, SeedSpeaker, place_of

UNREADABLE = ""
"""The one column of a made row that stands for one which could not be read; it holds the reason and the detail."""
_MAX_DETAIL = 200
_Personas = tuple[tuple[str, ...], ...]
_Turns = tuple[tuple[int, str], ...]
_Speakers = tuple[SeedSpeaker, ...]
_Candidates = tuple[tuple[str, ...], ...]
_FIRST = 3
"""Unreadable seeds that a message names."""
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_WHOLE_FLOAT = re.compile(r"-?\d+\.0")
_PYTHON_LIST = re.compile(r"\s*\['.*'\]\s*", re.DOTALL)


class SeedSource(BaseModel):
    """Files of persona seeds or of dialogues."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(
        min_length=1,
        description="Path, folder or glob (`**` too), behind s3://, gs:// and hf:// as well, or https:// address of a "
        "file; gzip, bz2, xz, zstd, zip and tar are unpacked, and character cards taken out of .png files. Relative "
        "paths start at the job file's folder.",
    )
    format: FileFormat = Field(
        "auto",
        description="`auto` goes by the extension, and knows Synthetic-Persona-Chat (`spc`) by its CSV header, and "
        "ConvAI2 (`convai2`) and JSON in a text file by its first line.",
    )
    fields: SeedFields = Field(default_factory=SeedFields, description="Column names, where not the usual ones.")
    token_env: str | None = Field(
        None, description="https:// only: environment variable that holds a token, sent as `Authorization: Bearer`."
    )

    @field_validator("token_env")
    @classmethod
    def _a_name_and_no_token(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is None:
            return None
        if not _VARIABLE.fullmatch(name):
            raise PydanticCustomError(
                "secret",
                "the name of an environment variable is wanted, in capital letters; the token itself does not belong "
                "in a job file",
            )
        if not re.search(r"(?:^|::)(?:https://|http://(?:localhost|127\.0\.0\.1)[:/])", info.data.get("path", "")):
            raise ValueError("a token is sent to https:// addresses only; leave it out")
        return name


@dataclass(frozen=True, slots=True)
class BadSeed:
    """A row that is no seed, or the rest of a file where it `ends` one. `reason` is one of foreign, encoding,
    compression, json, csv, parquet, convai2, missing_field, wrong_type, empty, too_long, speakers, opening_and_facts
    and duplicate_id; `detail` is for people."""

    source: str
    line: int
    reason: str
    detail: str
    ends: bool = False

    def __str__(self) -> str:
        return f"{place_of(self.source, self.line)}: {self.reason}: {self.detail}"


def first_of(bad: Sequence[BadSeed]) -> str:
    """The first unreadable seeds, a line each, and how many more there are; for the end of a message."""
    more = [f"and {len(bad) - _FIRST:,} more"] if len(bad) > _FIRST else []
    return "".join(f"\n  {line}" for line in [*map(str, bad[:_FIRST]), *more])


def read_file(file: SeedFile, fields: SeedFields, unkept: list[str]) -> Iterator[Seed | BadSeed]:
    """The seeds of one file, in order. What its rows have besides and no seed can keep is added to `unkept` at the end,
    in a sentence for people. Raises SourceError if the file cannot be read."""
    return (seed for seed in _read(file, fields, unkept, None) if not isinstance(seed, PLAIN))


def read_blocks(
    file: SeedFile, fields: SeedFields, unkept: list[str]
) -> Iterator[Seed | BadSeed | PlainRows | PlainDialogues]:
    """The same, several times faster where rows are plain: those of a block of lines come at once, before others."""
    return _read(file, fields, unkept, PlainReader(fields))


def read_rows_with_seeds(file: SeedFile, fields: SeedFields) -> Iterator[tuple[FileRow | None, list[Seed | BadSeed]]]:
    """The rows of one file as they stand there, all columns of them, each with what is read of it: one seed, or several
    of a row that holds several dialogues. A row is none where not even that much can be read. Raises SourceError."""
    reader = _RowReader(file, fields)
    for line, row in rows_and_blocks(file, fields.columns, None, None):
        if not isinstance(row, PLAIN):
            yield None if isinstance(row, BadRow) else dict(row), list(reader.seeds(line, row))


def _read(
    file: SeedFile, fields: SeedFields, unkept: list[str], plain: PlainReader | None
) -> Iterator[Seed | BadSeed | PlainRows | PlainDialogues]:
    reader = _RowReader(file, fields)
    others = None if fields.attributes is None else (*fields.attributes, *COLUMNS)
    for line, row in rows_and_blocks(file, fields.columns, others, plain):
        if isinstance(row, PLAIN):
            yield row
        else:
            yield from reader.seeds(line, row)
    if what := reader.speakers.unkept():
        unkept.append(f"{file.name}: not kept: {what}")


class _RowReader:
    """Reads the seeds of the rows of one file."""

    def __init__(self, file: SeedFile, fields: SeedFields) -> None:
        self._name, self._fields = file.name, fields
        self._cells = file.format in ("csv", "tsv")
        self._made = file.opened is not None and file.archive is None
        self.speakers = SpeakerReader(fields, cells=self._cells)

    def seeds(self, line: int, row: FileRow | BadRow) -> Iterator[Seed | BadSeed]:
        """What a row holds."""
        fields = self._fields
        if self._made and not isinstance(row, BadRow) and row.keys() == {UNREADABLE}:
            row = BadRow(*row[UNREADABLE])
        for one in [row] if self._cells or isinstance(row, BadRow) else rows_of(row, fields, self.speakers):
            try:
                if isinstance(one, BadRow):
                    raise one
                if self._cells:
                    _mend_cells(one, fields)
                yield _seed(one, fields, self.speakers, self._name, line)
            except BadRow as bad:
                yield BadSeed(self._name, line, bad.reason, bad.detail[:_MAX_DETAIL], bad.ends)


def _mend_cells(row: FileRow, fields: SeedFields) -> None:
    """Make values of the cells of a CSV file: none of what stands for a missing value, a list or object of JSON, and a
    whole number of an id that pandas made a float (as it does to a column of whole numbers where one is missing)."""
    ids = (fields.id or "id", fields.speaker, fields.partner)
    for name in (*fields.columns, *PAIR_COLUMNS):
        cell = row.get(name)
        if not isinstance(cell, str):
            continue
        text = cell.strip()
        if text in MISSING:
            row[name] = None
        elif name in ids and _WHOLE_FLOAT.fullmatch(text):
            row[name] = text[:-2]
        elif (name == fields.partner or name not in ids) and text.startswith(("[", "{")):
            with suppress(ValueError):  # then it is text
                row[name] = from_json(text)


def _seed(row: FileRow, fields: SeedFields, speakers: SpeakerReader, source: str, line: int) -> Seed:
    if fields.opening and missing(row.get("turns")) and not missing(row.get(fields.opening)):
        return _opening(row, fields.opening, fields.facts_columns, speakers, source, line)
    partners: tuple[str, ...] = ()
    candidates: _Candidates = ()
    if not missing(row.get("turns")):
        personas, turns, told, candidates = _dialogue(row, fields, speakers)
    else:
        columns = fields.facts_columns
        name = next((name for name in columns if not missing(row.get(name))), None)
        if name is None and (both := pair_of(row)) is not None:
            return _pair(both, row, fields, speakers, source, line)
        if name is None:
            if empty := next((name for name in columns if name in row), None):
                raise BadRow("empty", f"no fact in {empty!r}")
            raise BadRow("missing_field", foreign_row(row, columns))
        personas, turns = (facts_of(row[name], name),), ()
        if not personas[0]:
            raise BadRow("empty", f"no fact in {name!r}")
        told, partners = speakers.persona(row, name), _partners(row, fields)
    digests = digests_of(personas, turns, told, candidates)
    id_ = _id(row, fields) or blake("seed", *digests)
    return Seed(id_, digests, source, line, personas, turns, told, partners, candidates)


def _opening(  # noqa: PLR0917
    row: FileRow, column: str, facts_columns: Sequence[str], speakers: SpeakerReader, source: str, line: int
) -> Seed:
    """A first turn that characters answer. It is known by what it says, wherever it stands: another text is another."""
    text = text_of(row[column], MAX_TURN, f"the opening in {column!r}")
    if not text:
        raise BadRow("empty", f"no text in {column!r}")
    if name := next((name for name in facts_columns if not missing(row.get(name))), None):
        raise BadRow(
            "opening_and_facts", f"{column!r} is an opening, and {name!r} a persona: give each a row of its own"
        )
    turns, told = ((0, text),), speakers.persona(row, column)
    return Seed(blake("opening", text), digests_of(((),), turns, told), source, line, ((),), turns, told)


def _pair(  # noqa: PLR0917
    both: Any, row: FileRow, fields: SeedFields, speakers: SpeakerReader, source: str, line: int
) -> Seed:
    """Two personas who are to talk."""
    if isinstance(both, dict | list) and len(both) != 2:
        raise BadRow("speakers", f"{len(both)} personas; without a dialogue, two are a pair who talk to each other")
    labels: list[Label] = [label.strip() for label in both] if isinstance(both, dict) else [0, 1]
    personas = _personas(both, [str(label) for label in labels])
    if not all(personas):
        raise BadRow("empty", "two personas who are to talk need a fact each")
    told = speakers.dialogue(row, labels, {})
    digests = digests_of(personas, (), told)
    return Seed(_id(row, fields) or blake("seed", *digests), digests, source, line, personas, (), told)


def _partners(row: FileRow, fields: SeedFields) -> tuple[str, ...]:
    given = row.get(fields.partner) if fields.partner else None
    named = given if isinstance(given, list) else [given]
    return tuple(dict.fromkeys(id_of(one, "the partner's id") for one in named if not missing(one)))


def _id(row: FileRow, fields: SeedFields) -> str | None:
    value = row.get(fields.id or "id")
    if missing(value):
        if fields.id and fields.id not in row:
            raise BadRow("missing_field", f"no {fields.id!r}")
        return None
    return id_of(value, "the id")


def facts_of(value: Any, what: str) -> tuple[str, ...]:
    """Facts of a list, of the lines of a text, or of the sentences of a single line. Raises BadRow."""
    if isinstance(value, str):
        if _PYTHON_LIST.fullmatch(value):
            raise BadRow("wrong_type", f"{what} is a list as Python prints it: write it as JSON, or a fact a line")
        if value.lstrip().startswith("["):
            with suppress(ValueError):  # then it is text
                return facts_of(from_json(value), what)
        lines = [line for line in re.split(r"[\r\n]+", value) if line.strip()]
        value = lines if len(lines) > 1 else split_sentences(value)
    if not isinstance(value, list):
        raise BadRow("wrong_type", f"{what} should be a list or a string, not {type(value).__name__}")
    facts = dict.fromkeys(text_of(fact, MAX_FACT, f"a fact of {what}") for fact in value)
    facts.pop("", None)
    if len(facts) > MAX_FACTS:
        raise BadRow("too_long", f"{len(facts):,} facts in {what}; {MAX_FACTS} are allowed")
    return tuple(facts)


def _dialogue(
    row: FileRow, fields: SeedFields, speakers: SpeakerReader
) -> tuple[_Personas, _Turns, _Speakers, _Candidates]:
    """Personas of speakers 0 and 1, numbered turns, what is told of the speakers, and turns' candidates. Speakers that
    are numbers keep their order, names are numbered as they first speak, plain strings alternate."""
    turns, names = row["turns"], dict[Label, str]()
    if not isinstance(turns, list):
        raise BadRow("wrong_type", f"'turns' should be a list, not {type(turns).__name__}")
    if len(turns) < 2:
        raise BadRow("speakers", f"{len(turns)} turns; a dialogue has two or more")
    if len(turns) > MAX_TURNS:
        raise BadRow("too_long", f"{len(turns):,} turns; {MAX_TURNS:,} are allowed")
    keys = {fields.speaker_key, "text", fields.name}
    said, candidates = [], list[tuple[str, ...]]()
    for number, turn in enumerate(turns):
        label, text = _turn(turn, number, fields.speaker_key)
        said.append((label, text))
        others = _candidates(turn, text)
        candidates.append(others)
        if isinstance(turn, dict):
            speakers.turn(turn, keys | {"candidates"} if others else keys)
            if isinstance(name := turn.get(fields.name), str):
                names.setdefault(label, name)
    labels = list(dict.fromkeys(label for label, _ in said))
    if len(labels) != 2:
        raise BadRow("speakers", f"{len(labels)} speakers; a dialogue has two")
    if all(isinstance(label, int) for label in labels):
        labels.sort(key=int)
    numbered = tuple((labels.index(label), text) for label, text in said)
    personas = _personas(row.get("personas"), [str(label) for label in labels])
    told = speakers.dialogue(row, labels, names)
    return personas, numbered, told, tuple(candidates) if any(candidates) else ()


def _turn(turn: Any, number: int, key: str) -> tuple[Label, str]:
    what = f"turn {number + 1}"
    if isinstance(turn, str):
        turn = {"speaker": number % 2, "text": turn}
    if not isinstance(turn, dict):
        raise BadRow("wrong_type", f"{what} should be an object or a string, not {type(turn).__name__}")
    for name in (key, "text"):
        if turn.get(name) is None:
            raise BadRow("missing_field", f"{what} has no {name!r}")
    text = text_of(turn["text"], MAX_TURN, what)
    if not text:
        raise BadRow("empty", f"{what} has no text")
    speaker = turn[key]
    if isinstance(speaker, int) and not isinstance(speaker, bool):
        return speaker, text
    return text_of(speaker, MAX_ID, f"the speaker of {what}"), text


def _candidates(turn: Any, text: str) -> tuple[str, ...]:
    """What is given to be told from a turn, each once and without the turn itself; none of what is no list of texts."""
    given = turn.get("candidates") if isinstance(turn, dict) else None
    if not isinstance(given, list) or len(given) > MAX_TURNS:
        return ()
    try:
        found = dict.fromkeys(text_of(one, MAX_TURN, "a candidate") for one in given)
    except BadRow:
        return ()
    return tuple(one for one in found if one and one != text)


def _personas(personas: Any, speakers: list[str]) -> _Personas:
    if missing(personas):
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
    return tuple(facts_of(facts, f"persona {number + 1}") for number, facts in enumerate(personas))
