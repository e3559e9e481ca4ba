"""What is written down: seeds and rows; their ids and Arrow schemas.

A row is one dialogue with everything that makers and scores added to it. The Arrow schemas are explicit and complete:
an empty list or an absent score has the same type as a full one. Rows are plain dataclasses; a table of them is built
in one go, so memory holds a shard twice while it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

import pyarrow as pa
from pydantic import BeforeValidator, PlainSerializer, TypeAdapter

from factory.base.fingerprint import blake
from factory.store.structs import DETAIL, EXTRACTION, FACT, INT, MEMORY, SEED_REF, SPEAKER, STAGE_RECORD, STRING, TURN

Gate = Literal[
    "accepted", "telling", "format", "relation", "subject_length", "hollow", "similarity", "entailment", "speaker"
]
UNASKED: Gate = "telling"
"""The gate before the model is asked: what it stops has no text, and cost no call."""
Decision = Literal["accept", "flag", "reject"]
Value = float | int | str | bool

PARTS = ("facts", "turns", "attributes")
"""What a seed's digests tell apart, in their order: its facts, its turns, and ids, names and attributes of speakers."""

COUNTS = ("calls", "prompt_tokens", "cached_tokens", "completion_tokens")
"""What an entry of `stages` and a dead letter count: requests to the language model and their tokens."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute as it is stored."""

    key: str
    value: str


def _listed(attributes: dict[str, str]) -> list[Attribute]:
    return [Attribute(key, value) for key, value in attributes.items()]


def _by_key(attributes: object) -> object:
    return {one["key"]: one["value"] for one in attributes} if isinstance(attributes, list) else attributes


Attributes = Annotated[dict[str, str], BeforeValidator(_by_key), PlainSerializer(_listed)]
"""Attributes by name. Stored as a list of keys and values, which is how Arrow lays out a map: `datasets` reads none."""


@dataclass(frozen=True, slots=True)
class SeedSpeaker:
    """What a seed tells of a speaker besides the facts: the id and name that its file gives, and attributes, numbers
    and what is nested written as JSON."""

    id: str | None = None
    name: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)


MADE, OF_CORPUS = "make: ", "corpus: "
"""How the source of a seed begins that a job makes, with the name of what makes it behind, or that it reads from a
corpus."""


def place_of(source: str, line: int) -> str:
    """Where a seed stands, for people: the line of a file, or the row of what a job makes or reads from a corpus."""
    return f"{source}, {'row' if source.startswith((MADE, OF_CORPUS)) else 'line'} {line}"


@dataclass(frozen=True, slots=True)
class Seed:
    """One persona (`turns` empty, one list in `personas`), two who are to talk (`turns` empty, two lists), one dialogue
    (a persona list per speaker, each possibly empty), or an opening (one turn, an empty list). `speakers` go with
    `personas`, or are none where the file tells nothing of them; `digests` are of the PARTS, `source` and `line` say
    where it stood (first line is 1). `partners` are the ids of those whom a persona is to talk to, if the file says
    so. `candidates` are by turn, if a turn has any: other replies that the file gives beside it, as ConvAI2's 19."""

    id: str
    digests: tuple[str, str, str]
    source: str
    line: int
    personas: tuple[tuple[str, ...], ...]
    turns: tuple[tuple[int, str], ...] = ()
    speakers: tuple[SeedSpeaker, ...] = ()
    partners: tuple[str, ...] = ()
    candidates: tuple[tuple[str, ...], ...] = ()


@dataclass(slots=True)
class SeedRef:
    """Where a row comes from; `digests` are of the PARTS."""

    id: str
    digests: list[str]
    source: str
    line: int


@dataclass(slots=True)
class Fact:
    """One persona sentence; `origin` is the maker that wrote it, or `seed`, `source_id` the seed of the speaker it was
    first said of, `turn` where it was revealed (extracted facts only)."""

    text: str
    origin: str
    source_id: str
    turn: int | None = None
    kind: str | None = None
    """Such as content or context (profiles: SPeCtrum, PRODIGy), so that prompts can hold some kinds only."""
    dimension: str | None = None
    """The relation or dimension that an expansion asked for (PeaCoK, COMET's relations in CAFFEINE)."""
    parent: str | None = None
    """Text of the fact it was expanded from (CAFFEINE scores a fact against it); no index, which others would move."""
    detail: str | None = None
    """What there is beyond the sentence, as JSON (expansion into habitual schemas)."""
    since: int | None = None
    until: int | None = None
    """First sessions in which it is true, and in which it is no longer (facts that change, as in PersonaMem)."""


@dataclass(slots=True)
class Speaker:
    """One side of a dialogue: speakers are numbered 0 and 1 in `turns`, by their place in the row. `id` is the one that
    the imported file gives, so the same in all its dialogues, or else that of the seed."""

    id: str
    seed_id: str
    name: str | None = None
    role: str | None = None
    attributes: Attributes = field(default_factory=dict)
    """Age, job, traits and the like (profiles; audits by group; matching of pairs by attribute)."""
    groups: list[str] = field(default_factory=list)
    """Clusters of personas it belongs to (Synthetic-Persona-Chat pairs those that share more than two)."""
    facts: list[Fact] = field(default_factory=list)

    def facts_of(self, *origins: str) -> list[str]:
        """Texts of the facts of these origins, in order."""
        return [fact.text for fact in self.facts if fact.origin in origins]


@dataclass(slots=True)
class Candidate:
    """One sampled text for a turn, and what selection made of it (SimOAP, ACL 2023); of an imported turn itself, or a
    text that its file gives beside it, to be told from it (ConvAI2)."""

    text: str
    chosen: bool
    coherence: float | None = None
    entailment: float | None = None
    contradiction: float | None = None
    taken: float | None = None
    support: float | None = None
    """Share of the turn's other samples that vote for it (ScPO's votes, RELIC's entailed share)."""


@dataclass(slots=True)
class Grounding:
    """Something that a turn was to draw on (FoCus), `kind` being such as knowledge or persona: its id, the score it was
    selected by (INFO), and whether the turn uses it."""

    kind: str
    id: str
    score: float | None = None
    used: bool | None = None


@dataclass(slots=True)
class Edit:
    """One edit of a turn for a fact (swap, repair or spoil, as minimal edits are): the text before and after, how alike
    they are (0 to 1), and the probability that each entails the fact."""

    kind: str
    fact: str
    before: str
    after: str
    similarity: float | None = None
    entails_before: float | None = None
    entails_after: float | None = None


@dataclass(slots=True)
class Turn:
    """One turn. Token counts are of all the calls it took, `attempts` how many those were; imported turns took none."""

    speaker: int
    text: str
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    attempts: int = 0
    candidates: list[Candidate] = field(default_factory=list)
    session: int | None = None
    """Which of the pair's sessions it belongs to, from 0 (sessions: MSC, LoCoMo, REALTALK)."""
    time: str | None = None
    """When it is said, as the source or the plan of sessions puts it (REALTALK's dates, "next_week")."""
    action: str | None = None
    state: str | None = None
    """What the speaker does by it, and in which state (ESConv's strategies; clients of motivational interviewing)."""
    plan: str | None = None
    """What was planned for it (sessions that follow an outline)."""
    reasoning: str | None = None
    reasoning_tokens: int = 0
    """What the model thought before it, never spoken and in no prompt, and how many completion tokens that took."""
    grounding: list[Grounding] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)


@dataclass(slots=True)
class Memory:
    """What a speaker remembers after a session of what was said in it (DuLeMon, LoCoMo), and from and before which
    session it holds. `replaced_by` is the place, in the row's memory, of what took its place; nothing is taken out."""

    speaker: int
    session: int
    text: str
    since: int | None = None
    until: int | None = None
    replaced_by: int | None = None


@dataclass(slots=True)
class Extraction:
    """One fact the extraction model wrote for a turn, and the gate that stopped it, or `accepted`; a turn that the gate
    `telling` kept from the model has one without text."""

    speaker: int
    turn: int
    text: str
    gate: Gate
    subject: str | None = None
    relation: str | None = None
    object: str | None = None
    similarity: float | None = None
    entailment: float | None = None
    """P(entailment) of the fact by what its turn states."""


@dataclass(slots=True)
class Detail:
    """What a score says of a part of the dialogue: one pair, question, turn or candidate. `kind` is the method's word
    for it, and tells what `values` are, in the order that the method declares.

    Texts stand in the row once and are told by their places: `turn`, and where two things are compared `other`, the
    turn before it that is meant, or a second fact. `fact` counts the speaker's facts of one `origin`, so that facts of
    other origins may come and go. `answer` is what a model wrote, `order` and `sample` which asking it was; model and
    prompt stand in the score's recipe."""

    score: str
    kind: str
    values: list[float | None] = field(default_factory=list)
    speaker: int | None = None
    turn: int | None = None
    other: int | None = None
    origin: str | None = None
    fact: int | None = None
    candidate: int | None = None
    answer: str | None = None
    order: int | None = None
    sample: int | None = None


@dataclass(slots=True)
class StageRecord:
    """How a method made its part of the row. `stage` is the entry's name in the job file, `recipe` names the
    configuration, kept whole beside the corpus; `fingerprint` also covers the row's inputs. `failed` is why a score has
    no values."""

    stage: str
    recipe: str
    fingerprint: str
    models: list[str] = field(default_factory=list)
    sampling: str | None = None
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    started_at: datetime | None = None
    seconds: float = 0.0
    failed: str | None = None


@dataclass(slots=True)
class Row:
    """One dialogue of the corpus, from its seeds to its decision; one without turns is a persona alone. `donors` holds,
    per speaker, facts of other speakers that planning drew for makers to choose from. `scores` are the values of the
    whole dialogue, by the name of the score: in the table each has a column of its own."""

    row_id: str
    kind: Literal["generated", "imported"]
    sample: int
    seeds: list[SeedRef]
    speakers: list[Speaker]
    topic: str | None = None
    opening: str | None = None
    donors: list[list[Fact]] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    extracted: list[Extraction] = field(default_factory=list)
    scores: dict[str, dict[str, Value | None]] = field(default_factory=dict)
    details: list[Detail] = field(default_factory=list)
    decision: Decision | None = None
    reasons: list[str] = field(default_factory=list)
    stages: list[StageRecord] = field(default_factory=list)


def is_opened(row: Row) -> bool:
    """Whether a seed gave the row its opening: then who opens is nobody of the seeds, and holds no facts."""
    return row.kind == "generated" and row.opening is not None and not row.speakers[0].facts_of("seed")


class RowError(Exception):
    """A method gives a row up: `reason` is a short stable code, `detail` is for people."""

    def __init__(self, reason: str, detail: str, attempts: int = 1) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.attempts = attempts


def row_id(seed_ids: tuple[str, ...], sample: int) -> str:
    """The slot of a row: the seeds in speaking order and the sample's number."""
    return blake("row", *seed_ids, str(sample))


ScoreColumns = Mapping[str, pa.StructType]
"""The columns that scores have in a table, by the scores' names: structs of their values."""

ROW_SCHEMA = pa.schema(
    [
        ("row_id", STRING),
        ("kind", STRING),
        ("sample", INT),
        ("seeds", pa.list_(SEED_REF)),
        ("speakers", pa.list_(SPEAKER)),
        ("topic", STRING),
        ("opening", STRING),
        ("donors", pa.list_(pa.list_(FACT))),
        ("turns", pa.list_(TURN)),
        ("memory", pa.list_(MEMORY)),
        ("extracted", pa.list_(EXTRACTION)),
        ("details", pa.list_(DETAIL)),
        ("decision", STRING),
        ("reasons", pa.list_(STRING)),
        ("stages", pa.list_(STAGE_RECORD)),
    ]
)

ROWS: TypeAdapter[list[Row]] = TypeAdapter(list[Row])


def row_schema(columns: ScoreColumns) -> pa.Schema:
    """The schema of rows that have these scores. What all rows have comes first."""
    return pa.schema([*ROW_SCHEMA, *(pa.field(name, columns[name]) for name in sorted(columns))])


def score_columns(schema: pa.Schema) -> dict[str, pa.StructType]:
    """The scores' columns of a schema."""
    return {one.name: one.type for one in schema if one.name not in ROW_SCHEMA.names}


def joined(*parts: ScoreColumns) -> dict[str, pa.StructType]:
    """The columns of all parts. One that several have has the fields of all: a field never leaves a column."""
    fields: dict[str, dict[str, pa.Field]] = {}
    for part in parts:
        for name, kind in part.items():
            known = fields.setdefault(name, {})
            known.update({one.name: one for one in kind if one.name not in known})
    return {name: pa.struct(list(found.values())) for name, found in fields.items()}


def fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of a schema, in its order. Null is what the rows lack: a score's column, or a field of it."""
    columns = [
        rows[one.name].cast(one.type) if one.name in rows.schema.names else pa.nulls(len(rows), one.type)
        for one in schema
    ]
    return pa.table(columns, schema=schema)


def rows_to_table(rows: list[Row], columns: ScoreColumns) -> pa.Table:
    """A table in `row_schema(columns)`. Raises pyarrow.ArrowInvalid if a value does not fit its column."""
    found = [row | row.pop("scores") for row in ROWS.dump_python(rows)]
    return pa.Table.from_pylist(found, schema=row_schema(columns))


def rows_from_table(table: pa.Table) -> list[Row]:
    """The rows of a table that has the columns of ROW_SCHEMA, or those a row cannot be without, and any of scores.
    Raises pydantic.ValidationError for another one."""
    columns, found = score_columns(table.schema), table.to_pylist()
    for row in found:
        row["scores"] = {name: values for name in columns if (values := row.pop(name)) is not None}
    return ROWS.validate_python(found)
