"""How a run stands while it goes on, and what it came to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from factory.running.tolerance import Failure, Stop


@dataclass(slots=True)
class Progress:
    """How a run stands: rows in the plan; rows through each phase, by the name of its workers; rows committed; the
    newest decisions; the workers, those that were lost, and the rows that were started again for it; what a model's
    server is waited for, and what was found out about it, a line each."""

    planned: int
    through: tuple[tuple[str, int], ...] = ()
    committed: int = 0
    failed: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    workers: int = 0
    lost: int = 0
    again: int = 0
    seconds: float = 0.0
    stopping: bool = False
    waiting: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Result:
    """What a run came to. `remaining` rows are for the next run; `lost` workers died or hung, for which `again` rows
    were started again; `version` is the corpus's Delta version. `stopped` is set where it made too little, because too
    many rows failed (`failures` are the commonest reasons), because of a model's server, or since its budget is spent;
    `why` says it in a line.
    `notes` are what was found out about servers, `unkept` says, file by file, what of the seeds no row can hold."""

    rows: int
    committed: int
    dropped: int
    failed: int
    bad_seeds: int
    repeated_seeds: int
    near_duplicates: int
    unkept: list[str]
    remaining: int
    decisions: dict[str, int]
    tokens: int
    lost: int
    again: int
    seconds: float
    version: int | None
    interrupted: bool
    stopped: Stop | None = None
    why: str | None = None
    failures: list[Failure] = field(default_factory=list)
    notes: tuple[str, ...] = ()
