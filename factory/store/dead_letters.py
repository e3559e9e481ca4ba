"""Dead letters: what could not be made, as it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from pydantic import TypeAdapter

from factory.store.structs import INT, LONG, STRING, TIME


@dataclass(slots=True)
class DeadLetter:
    """What could not be made: a seed that could not be read (`row_id` and `sample` none) or a row that failed.

    Calls and tokens are of all the row's makers, scores and tries, without what a worker was working on when it died.
    `text` is the last completion that the model gave in the maker that failed, none if it gave none."""

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


DEAD_LETTER_SCHEMA = pa.schema(
    [
        ("id", STRING),
        ("row_id", STRING),
        ("seed_ids", pa.list_(STRING)),
        ("sample", INT),
        ("source", STRING),
        ("line", LONG),
        ("stage", STRING),
        ("reason", STRING),
        ("detail", STRING),
        ("attempts", INT),
        ("fingerprint", STRING),
        ("failed_at", TIME),
        ("calls", LONG),
        ("prompt_tokens", LONG),
        ("cached_tokens", LONG),
        ("completion_tokens", LONG),
        ("text", STRING),
    ]
)

DEAD_LETTERS: TypeAdapter[list[DeadLetter]] = TypeAdapter(list[DeadLetter])


def dead_letters_to_table(letters: list[DeadLetter]) -> pa.Table:
    """A table in DEAD_LETTER_SCHEMA."""
    return pa.Table.from_pylist(DEAD_LETTERS.dump_python(letters), schema=DEAD_LETTER_SCHEMA)


def dead_letters_from_table(table: pa.Table) -> list[DeadLetter]:
    """The dead letters of a table in DEAD_LETTER_SCHEMA."""
    return DEAD_LETTERS.validate_python(table.to_pylist())
