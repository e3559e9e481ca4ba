"""Exports: methods that turn rows of a corpus into records to train on.

An export is a class in a file of this folder, or of another package that names it in an entry point of the group
`persona_factory.exports`. It knows nothing of storage, splits or files: `factory.export` reads the corpus, shows it the
rows of one split, and writes what it returns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from factory.engines import Message
from factory.methods import Embedder, ModelKind, NliScorer
from factory.methods.makers.converse import side_of, sides_of
from factory.methods.prompts import bundled
from factory.store.records import Row, ScoreColumns

Record = dict[str, Any]
_Result = TypeVar("_Result")

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
"""Chat messages, as chat templates and TRL take them."""
NOT_ALTERNATING = "rows whose speakers do not alternate"

PARTS = {
    "name": "what it is asked for by, such as chat",
    "Params": "a frozen pydantic model of its own options, each with a description",
    "schema": "the Arrow schema of its records",
    "records": "what it makes of rows: see factory.methods.exports.ExportFormat",
}
TAKEN = frozenset({
    "as", "corpus", "decision", "decisions", "facts", "files", "form", "format", "help", "json", "kind", "left_out",
    "report", "rows", "rows_per_file", "split", "splits", "to", "version",
})  # fmt: skip
"""What all exports are asked for by, or state in `_export.json`."""


class ExportError(Exception):
    """An export that cannot be made: why, and what to do."""


class NoParams(BaseModel):
    """The options of an export that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Scorers(Protocol):
    """The models by which a maker or score judged a row, opened when they are asked for. Raises ScorerStartError."""

    @property
    def nli(self) -> NliScorer:
        """The NLI model."""

    @property
    def embedder(self) -> Embedder:
        """The embedding model."""

    def together(self, asked: Iterable[Awaitable[_Result]]) -> list[_Result]:
        """The results of all, which run at once, so that the models read them in batches."""


@dataclass
class Source:
    """What an export may ask about the rows it is shown, and where it counts what it leaves out.

    `template` and `ended` say how a row's turns were asked for, and whether a speaker ended its dialogue by [END].
    `facts` are the origins of facts that prompts hold, if someone chose them. `scorers` gives the models that a
    maker or score (by its name) asked about a row, of the kinds that the export `needs`; none where nothing tells which
    they were. `models` tells what identifies them, by kind, without opening any."""

    template: Callable[[Row], str] = lambda _: bundled("converse")
    ended: Callable[[Row], bool] = lambda _: False
    facts: Sequence[str] | None = None
    scorers: Callable[[Row, str], Scorers | None] = lambda _, __: None
    models: Callable[[Row, str], Mapping[str, Mapping[str, Any]]] = lambda _, __: {}
    earlier: Sequence[Row] = ()
    """The rows of the same split that the export was shown just before."""
    left_out: Counter[str] = field(default_factory=Counter)

    def facts_of(self, row: Row, speaker: int, before: int | None = None) -> list[str]:
        """What a speaker's prompt holds: the facts of the origins asked for; unless any are, those it was given and
        those that `expand` added, and for a speaker that was given none those that were read off its turns, with
        their distractors (PPDS, arXiv 2412.09034, pre-trains on these); of a persona alone all. `before` leaves out
        what was read off that turn or a later one."""
        held = row.speakers[speaker]
        given: Sequence[str] = ("seed", "expand") if held.facts_of("seed") else ("extract", "augment")
        if not row.turns:
            given = [fact.origin for fact in held.facts]
        origins = given if self.facts is None else self.facts
        facts = (fact for fact in held.facts if fact.origin in origins)
        return list(
            dict.fromkeys(fact.text for fact in facts if before is None or fact.turn is None or fact.turn < before)
        )

    def prompt(self, row: Row, number: int, facts: Sequence[str]) -> tuple[Message, ...]:
        """The prompt of a turn, as generation sends it."""
        return side_of(self.template(row), row, number, facts)

    def sides(self, row: Row) -> list[tuple[Message, ...]]:
        """The dialogue from either side; none where the speakers do not alternate."""
        facts = [self.facts_of(row, speaker) for speaker in range(len(row.speakers))]
        return sides_of(self.template(row), row, facts, ended=self.ended(row))

    def leave_out(self, why: str) -> None:
        """Count something that is not exported."""
        self.left_out[why] += 1


class ExportFormat(ABC):
    """An export. Its docstring is for people: what it is for, who reads it, its source, and an example."""

    name: ClassVar[str]
    Params: ClassVar[type[BaseModel]] = NoParams
    block: int = 32
    """Rows that it is shown at once, at most."""

    def __init__(self, params: Any) -> None:
        self.params = params

    def fit(self, scores: ScoreColumns) -> None:
        """Called before all else with the scores that the corpus has, for a schema that depends on them."""
        del scores

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """The columns of its records."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What it reads of a row besides ids, seeds, speakers, text, decision and `stages`, as `Storage.read_parquet`
        takes it: `turns.list.element.candidates`. The rest of a row is empty."""
        return ()

    @property
    def needs(self) -> frozenset[ModelKind]:
        """The scorers it asks."""
        return frozenset()

    @property
    def by_slot(self) -> bool:
        """Whether it is shown the rows of a slot, two or more by sample, and not those that stand together."""
        return False

    def unfit(self, row: Row) -> str | None:
        """Why a row, such as "rows without scores", is not to be shown to it; none if it is."""
        del row
        return None

    @abstractmethod
    def records(self, rows: Sequence[Row], source: Source) -> Iterator[Record]:
        """The records of these rows, which are of one split."""

    def table(self, records: Sequence[Record]) -> pa.Table:
        """Records in the columns of the schema; what a record lacks is null. Raises ExportError for one that does not
        fit."""
        schema = self.schema
        known = set(schema.names)
        for record in records:
            if more := record.keys() - known:
                raise ExportError(f"{self.name}: a record has {sorted(more)[0]}, which its schema lacks")
        try:
            return pa.Table.from_pylist(records, schema=schema)
        except (pa.ArrowException, TypeError) as error:
            raise ExportError(f"{self.name}: a record does not fit its schema: {error}") from error
