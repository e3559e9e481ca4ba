"""What a method is. Makers write a row, scores measure it; each is a class in one file, with all that is known of it.

A method knows nothing of Ray, storage, planning or other rows. It says what it reads, what it writes or which columns
it fills, which kinds of models it asks and how often; everything that plans, runs, stores, shows or documents methods
goes by that. Concurrency is the caller's: a row is a coroutine, many run at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from factory.base.fingerprint import blake
from factory.engines import Engine, Message, Sampling
from factory.scorers.nli import Probabilities
from factory.store.records import Detail, Row, Value

ModelKind = Literal["language", "nli", "embedding", "classifier"]
_Result = TypeVar("_Result")

SEEDED = {"facts.seed": "facts", "turns": "turns", "attributes": "attributes"}
"""Fields of a row that its seeds fill, each with the part of the seed's digest that it stands in. Makers fill
`facts.NAME`, `turns`, `topic` and `opening`, `roles` and `extracted`; a score fills the field of its own name."""


class NliScorer(Protocol):
    """A three-way NLI model."""

    async def score(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        """Probabilities for each (premise, hypothesis)."""


class Embedder(Protocol):
    """A sentence embedding model."""

    async def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit-length embeddings, shape (texts, dimensions), so that a dot product is a cosine."""


class LabelScorer(Protocol):
    """A sequence classifier."""

    async def score(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, float]]:
        """How probable each label is for each pair of texts."""


@dataclass(frozen=True, slots=True)
class Kit:
    """The models a method may ask; a method touches only those it `needs`."""

    engine: Engine
    nli: NliScorer
    embedder: Embedder
    classifier: LabelScorer


class Params(BaseModel):
    """Parameters of a method: all are identity, but for the names of models, whose weights count instead. Each method
    declares `method` as the literal of its name, which is what tells entries of a job file apart."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str

    def with_files(self, read: Callable[[str, tuple[str | int, ...]], str]) -> Self:  # noqa: ARG002
        """With the text of each file that they name, besides `prompt`, in the place of its path: `read` gives it, by
        the path and the field that holds this. Raises PromptError for a text that is no template."""
        return self


Calls = tuple[NDArray[np.integer], NDArray[np.integer]]
"""The least and the most calls of each row."""


@dataclass(frozen=True, slots=True)
class Asks:
    """Marks a parameter that names a model of the job. With a `role`, a job that has a model of this name and leaves
    the parameter out means that one; without such a model the parameter's default holds."""

    kind: ModelKind
    role: str | None = None


LanguageModelName = Annotated[str, Asks("language")]
NliModelName = Annotated[str, Asks("nli")]
EmbeddingModelName = Annotated[str, Asks("embedding")]
ExtractorName = Annotated[str, Asks("language", "extractor")]
ClassifierName = Annotated[str, Asks("classifier")]


def with_roles(entries: Mapping[str, Params], models: Collection[str]) -> dict[str, Params]:
    """The parameters of entries, with the models of a job whose names are roles that they leave out."""
    return {name: params.model_copy(update=_roles(params, models)) for name, params in entries.items()}


def _roles(params: Params, models: Collection[str]) -> dict[str, str | None]:
    return {
        name: mark.role
        for name, info in type(params).model_fields.items()
        for mark in info.metadata
        if isinstance(mark, Asks) and mark.role in models and name not in params.model_fields_set
    }


def models_of(params: BaseModel) -> dict[str, tuple[ModelKind, str]]:
    """The parameters that name models: the kind that is wanted, and the name in the job."""
    return {
        name: (mark.kind, getattr(params, name))
        for name, info in type(params).model_fields.items()
        for mark in info.metadata
        if isinstance(mark, Asks)
    }


@dataclass(frozen=True, slots=True)
class Column:
    """One value of a whole dialogue, as it is stored, shown and documented. An int has 32 bits. `better` says which way
    is good. A `category` is given to what checks something that is to be trusted, such as safety or fairness; the value
    is then 0 where nothing was found."""

    name: str
    type: Literal["double", "int", "string", "bool"]
    description: str
    low: float | None = None
    high: float | None = None
    better: Literal["higher", "lower"] | None = None
    category: str | None = None


_ARROW = {"double": pa.float64(), "int": pa.int32(), "string": pa.string(), "bool": pa.bool_()}


def struct_of(columns: Iterable[Column]) -> pa.StructType:
    """The Arrow type of a score's column. Doubles are not rounded: a value that stands on a threshold must fall on the
    same side when it is decided again."""
    return pa.struct([pa.field(column.name, _ARROW[column.type]) for column in columns])


@dataclass(slots=True)
class Scored:
    """What a score found: values by column, what stands behind them, and why there are none (`input_missing`)."""

    values: dict[str, Value | None] = field(default_factory=dict)
    details: list[Detail] = field(default_factory=list)
    missing: str | None = None


def misfits(score: Score, scored: Scored) -> Iterator[str]:
    """What in a result is not as the score declares it: columns and their types, details and how many values each
    has."""
    types = {column.name: column.type for column in score.columns}
    for name, value in scored.values.items():
        if name not in types:
            yield f"{name} is none of its columns"
        elif value is not None and not _is(value, types[name]):
            yield f"{name} is {value!r:.40}, which is no {types[name]}"
    for detail in scored.details:
        if detail.kind not in score.details:
            yield f"{detail.kind} is no kind of its details"
        elif len(detail.values) != len(score.details[detail.kind]):
            yield f"{detail.kind} has {len(detail.values)} values, not {len(score.details[detail.kind])}"


def _is(value: object, kind: str) -> bool:
    if kind == "bool" or isinstance(value, bool):
        return kind == "bool" and isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str)
    return isinstance(value, int) and -(1 << 31) <= value < 1 << 31 if kind == "int" else isinstance(value, float | int)


class Method(Protocol):
    """What makers and scores have in common. Made from its parameters."""

    name: ClassVar[str]
    version: ClassVar[int]
    """Raised when the code changes what it would write for the same inputs: part of a row's identity."""
    Params: ClassVar[type[Params]]

    def __init__(self, params: Any) -> None: ...

    @property
    def needs(self) -> frozenset[ModelKind]:
        """The kinds of models this configuration asks."""

    @property
    def reads(self) -> frozenset[str]:
        """The fields it reads: a change of what they hold redoes it, a change of others does not."""

    def prompts(self, row: Row) -> Iterator[tuple[str, tuple[Message, ...]]]:
        """What each call for a finished row was for, and what it was sent. Methods without a language model have no
        such function. Those with a parameter `prompt`, a template that the loader reads, have beside it `template`, the
        text that is used, and `variables`, the names that it may use."""

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """Calls that rows of so many turns take, the least and the most, without attempts that fail: of the language
        model if one is asked, else of batches of pairs or texts."""


class Maker(Method, Protocol):
    """A method that writes a row."""

    writes: ClassVar[frozenset[str]]
    of_imported: ClassVar[bool]
    """Whether dialogues that already exist pass it too."""

    before_language: ClassVar[bool]
    """Whether it must stand before those that ask a language model; not, if it is left out."""

    personas: ClassVar[Literal["same", "new"]]
    """Left out by makers of dialogues. One that has it makes personas, whose rows have no turns: of the `same` person
    as the seed, or a `new` one. A new one's speaker is empty, and the facts of its parent stand in `donors`."""

    @property
    def donors(self) -> int:
        """Facts of other speakers that planning is to draw for each speaker."""

    @staticmethod
    def clear(row: Row) -> None:
        """Take off the row what an earlier run left on it."""

    async def run(self, row: Row, kit: Kit) -> None:
        """Clear the maker's part of the row, and fill it. Raises RowError to give the row up."""


class Score(Method, Protocol):
    """A method that measures a row, and leaves it as it is. Its parameters may decide what it finds; a score that
    measures some rows only has besides `conditions`, over columns of other scores, as in `select`; one whose model
    gives opinions that commands test and ask for, what `factory.methods.judging.fitness.running.Opinion` says."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The values of a dialogue that it fills."""

    @property
    def details(self) -> Mapping[str, tuple[str, ...]]:
        """What the values of each kind of `Detail` are."""

    async def score(self, row: Row, kit: Kit) -> Scored:
        """Measure it. Raises RowError where it cannot."""


async def together(asked: Iterable[Awaitable[_Result]]) -> list[_Result]:
    """The results of all, which run at once. An error is raised only when all have come to an end: a row that fails
    leaves no request behind whose cost would be counted nowhere."""
    results: list[_Result] = []
    for result in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results


def draw(row: Row, purpose: str) -> float:
    """A number in [0, 1) that depends on the row's slot and the purpose alone, so that a row is always drawn alike."""
    return int(blake("draw", row.row_id, purpose)[:13], 16) / 16**13


def draw_of_pair(row: Row, purpose: str) -> float:
    """The same for what all samples of a pair share, so that they can be compared with each other."""
    return int(blake("draw", *(seed.id for seed in row.seeds), purpose)[:13], 16) / 16**13


def completing(default: Sampling) -> Callable[[object], object]:
    """For a field's BeforeValidator: what a job leaves out of `sampling` is the method's default, not Sampling's."""
    return lambda value: default.model_dump() | value if isinstance(value, dict) else value
