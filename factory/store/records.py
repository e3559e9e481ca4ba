"""What is written down: seeds, rows, dead letters; their ids and Arrow schemas.

A row is one dialogue with everything the stages added to it. The Arrow schemas are explicit and complete: an empty list
or an absent score has the same type as a full one. Rows are plain dataclasses; a table of them is built in one go, so
memory holds a shard twice while it is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import pyarrow as pa
from pydantic import TypeAdapter

from factory.base.fingerprint import blake

Origin = Literal["seed", "expand", "extract", "augment"]
Gate = Literal["accepted", "format", "relation", "subject_length", "similarity"]
Check = Literal["turn_persona", "turn_turn", "extracted_persona"]
Decision = Literal["accept", "flag", "reject"]

COUNTS = ("calls", "prompt_tokens", "cached_tokens", "completion_tokens")
"""What a stage record and a dead letter count: requests to the language model and their tokens."""


@dataclass(frozen=True, slots=True)
class Seed:
    """One persona (`turns` empty, one list in `personas`) or one dialogue (a persona list per speaker, each possibly
    empty). `digest` covers the content, `source` and `line` say where it stood (first line is 1)."""

    id: str
    digest: str
    source: str
    line: int
    personas: tuple[tuple[str, ...], ...]
    turns: tuple[tuple[int, str], ...] = ()


@dataclass(slots=True)
class SeedRef:
    """Where a row comes from."""

    id: str
    digest: str
    source: str
    line: int


@dataclass(slots=True)
class Fact:
    """One persona sentence; `source_id` is the seed of the speaker it was first said of, `turn` where it was revealed
    (extracted facts only)."""

    text: str
    origin: Origin
    source_id: str
    turn: int | None = None


@dataclass(slots=True)
class Speaker:
    """One side of a dialogue: speakers are numbered 0 and 1 in `turns`, by their place in the row."""

    seed_id: str
    role: str | None = None
    facts: list[Fact] = field(default_factory=list)

    def facts_of(self, *origins: Origin) -> list[str]:
        """Texts of the facts of these origins, in order."""
        return [fact.text for fact in self.facts if fact.origin in origins]


@dataclass(slots=True)
class Candidate:
    """One sampled text for a turn, and what selection made of it (SimOAP, ACL 2023)."""

    text: str
    chosen: bool
    coherence: float | None = None
    entailment: float | None = None
    contradiction: float | None = None


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


@dataclass(slots=True)
class Extraction:
    """One line the extraction model wrote for a turn, and the gate that stopped it, or `accepted` (PPDS)."""

    speaker: int
    turn: int
    text: str
    gate: Gate
    subject: str | None = None
    relation: str | None = None
    object: str | None = None
    similarity: float | None = None


@dataclass(slots=True)
class PairScore:
    """One premise and hypothesis: cosine of their embeddings and the three NLI probabilities. `turn` is the turn of the
    hypothesis, `premise_turn` that of the premise when it is a turn."""

    check: Check
    speaker: int
    turn: int
    premise: str
    hypothesis: str
    similarity: float
    entailment: float
    neutral: float
    contradiction: float
    premise_turn: int | None = None


@dataclass(slots=True)
class Consistency:
    """Scores of a whole dialogue. `c_score` is the mean over turns of the sum over persona sentences of +1, 0, -1
    (PAML, ACL 2019), to be read beside `profile_length`; `apc` the mean over turns of the expected number of satisfied
    constraints (APC, NeurIPS 2024); shares are of scored pairs; coverage is the share of facts some turn expresses."""

    c_score: float
    profile_length: float
    apc: float
    entailed_share: float
    contradicted_share: float
    coverage: float
    pairs: int


@dataclass(slots=True)
class StageRecord:
    """How a stage made its part of the row. `recipe` names the configuration, kept whole beside the corpus;
    `fingerprint` also covers the row's inputs."""

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


@dataclass(slots=True)
class Row:
    """One dialogue of the corpus, from its seeds to its decision. `donors` holds, per speaker, facts of other
    speakers that planning drew for `augment` to choose distractors from."""

    row_id: str
    kind: Literal["generated", "imported"]
    sample: int
    seeds: list[SeedRef]
    speakers: list[Speaker]
    topic: str | None = None
    opening: str | None = None
    donors: list[list[Fact]] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    extracted: list[Extraction] = field(default_factory=list)
    scores: list[PairScore] = field(default_factory=list)
    consistency: Consistency | None = None
    decision: Decision | None = None
    reasons: list[str] = field(default_factory=list)
    stages: list[StageRecord] = field(default_factory=list)


@dataclass(slots=True)
class DeadLetter:
    """What could not be made: a seed that could not be read (`row_id` and `sample` none) or a row that failed.

    Calls and tokens are of all the row's stages and tries, without what a worker had in hand when it died. `text` is
    the last completion that the model gave in the stage that failed, none if it gave none."""

    id: str
    row_id: str | None
    seed_ids: list[str]
    sample: int | None
    source: str
    line: int
    stage: str
    reason: str
    detail: str
    attempts: int
    fingerprint: str
    failed_at: datetime
    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    text: str | None = None


class RowError(Exception):
    """A stage gives a row up: `reason` is a short stable code, `detail` is for people."""

    def __init__(self, reason: str, detail: str, attempts: int = 1) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.attempts = attempts


def row_id(seed_ids: tuple[str, ...], sample: int) -> str:
    """The slot of a row: the seeds in speaking order and the sample's number."""
    return blake("row", *seed_ids, str(sample))


def _struct(**fields: pa.DataType) -> pa.StructType:
    return pa.struct([pa.field(name, kind) for name, kind in fields.items()])


_STRING, _INT, _LONG, _FLOAT, _DOUBLE = pa.string(), pa.int32(), pa.int64(), pa.float32(), pa.float64()
_TIME = pa.timestamp("us", tz="UTC")

_SEED_REF = _struct(id=_STRING, digest=_STRING, source=_STRING, line=_LONG)
_FACT = _struct(text=_STRING, origin=_STRING, source_id=_STRING, turn=_INT)
_SPEAKER = _struct(seed_id=_STRING, role=_STRING, facts=pa.list_(_FACT))
_CANDIDATE = _struct(text=_STRING, chosen=pa.bool_(), coherence=_FLOAT, entailment=_FLOAT, contradiction=_FLOAT)
_TURN = _struct(
    speaker=_INT,
    text=_STRING,
    finish_reason=_STRING,
    prompt_tokens=_INT,
    completion_tokens=_INT,
    cached_tokens=_INT,
    attempts=_INT,
    candidates=pa.list_(_CANDIDATE),
)
_EXTRACTION = _struct(
    speaker=_INT,
    turn=_INT,
    text=_STRING,
    gate=_STRING,
    subject=_STRING,
    relation=_STRING,
    object=_STRING,
    similarity=_FLOAT,
)
_PAIR_SCORE = _struct(
    check=_STRING,
    speaker=_INT,
    turn=_INT,
    premise=_STRING,
    hypothesis=_STRING,
    similarity=_FLOAT,
    entailment=_FLOAT,
    neutral=_FLOAT,
    contradiction=_FLOAT,
    premise_turn=_INT,
)
# Not rounded: a share that stands on a threshold of `select` must fall on the same side when it is decided again.
_CONSISTENCY = _struct(
    c_score=_DOUBLE,
    profile_length=_DOUBLE,
    apc=_DOUBLE,
    entailed_share=_DOUBLE,
    contradicted_share=_DOUBLE,
    coverage=_DOUBLE,
    pairs=_INT,
)
_STAGE_RECORD = _struct(
    stage=_STRING,
    recipe=_STRING,
    fingerprint=_STRING,
    models=pa.list_(_STRING),
    sampling=_STRING,
    calls=_INT,
    prompt_tokens=_LONG,
    completion_tokens=_LONG,
    cached_tokens=_LONG,
    started_at=_TIME,
    seconds=_FLOAT,
)

ROW_SCHEMA = pa.schema(
    [
        ("row_id", _STRING),
        ("kind", _STRING),
        ("sample", _INT),
        ("seeds", pa.list_(_SEED_REF)),
        ("speakers", pa.list_(_SPEAKER)),
        ("topic", _STRING),
        ("opening", _STRING),
        ("donors", pa.list_(pa.list_(_FACT))),
        ("turns", pa.list_(_TURN)),
        ("extracted", pa.list_(_EXTRACTION)),
        ("scores", pa.list_(_PAIR_SCORE)),
        ("consistency", _CONSISTENCY),
        ("decision", _STRING),
        ("reasons", pa.list_(_STRING)),
        ("stages", pa.list_(_STAGE_RECORD)),
    ]
)

DEAD_LETTER_SCHEMA = pa.schema(
    [
        ("id", _STRING),
        ("row_id", _STRING),
        ("seed_ids", pa.list_(_STRING)),
        ("sample", _INT),
        ("source", _STRING),
        ("line", _LONG),
        ("stage", _STRING),
        ("reason", _STRING),
        ("detail", _STRING),
        ("attempts", _INT),
        ("fingerprint", _STRING),
        ("failed_at", _TIME),
        ("calls", _LONG),
        ("prompt_tokens", _LONG),
        ("cached_tokens", _LONG),
        ("completion_tokens", _LONG),
        ("text", _STRING),
    ]
)

ROWS: TypeAdapter[list[Row]] = TypeAdapter(list[Row])
DEAD_LETTERS: TypeAdapter[list[DeadLetter]] = TypeAdapter(list[DeadLetter])


def rows_to_table(rows: list[Row]) -> pa.Table:
    """A table in ROW_SCHEMA. Raises pyarrow.ArrowInvalid if a value does not fit its column."""
    return pa.Table.from_pylist(ROWS.dump_python(rows), schema=ROW_SCHEMA)


def rows_from_table(table: pa.Table) -> list[Row]:
    """The rows of a table in ROW_SCHEMA. Raises pydantic.ValidationError for a table that is not."""
    return ROWS.validate_python(table.to_pylist())


def dead_letters_to_table(letters: list[DeadLetter]) -> pa.Table:
    """A table in DEAD_LETTER_SCHEMA."""
    return pa.Table.from_pylist(DEAD_LETTERS.dump_python(letters), schema=DEAD_LETTER_SCHEMA)


def dead_letters_from_table(table: pa.Table) -> list[DeadLetter]:
    """The dead letters of a table in DEAD_LETTER_SCHEMA."""
    return DEAD_LETTERS.validate_python(table.to_pylist())
