"""The job file: what the corpus should be.

YAML in, one frozen `Job` out, with every mistake named by its field, its line and the nearest right name. What makers,
scores and models there are, and what is identity in them, their own classes say. Prompts named by path are read by the
loader, so that a `Job` is complete and travels to workers as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias

import polars as pl
import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from factory.base.places import absolute
from factory.engines import LanguageModel
from factory.methods import Params, models_of, struct_of
from factory.methods.passes.near_duplicates import COLUMN, NAME, NearDuplicatesParams
from factory.methods.registry import faults, found
from factory.models import placed
from factory.scorers.classifier import ClassifierModel
from factory.scorers.embeddings import EmbeddingModel
from factory.scorers.nli import NliModel
from factory.spec.budget import Budget
from factory.spec.layers import EXTENDS
from factory.spec.makers import in_order
from factory.spec.select import BANDS, ROW, ROW_COLUMNS, Conditions, check
from factory.spec.sources import DonorCorpus, SeedEntry
from factory.spec.yamlfile import mistake
from factory.store.records import ROW_SCHEMA

Section = Literal["makers", "scores"]
SELECT = "select"
SCORERS = "scorers"
"""In `run.workers`, the name of the workers that run no language model."""

_RESERVED = frozenset({SELECT, SCORERS, ROW, NAME, *(name.lower() for name in ROW_SCHEMA.names)})
_BUNDLED: dict[str, dict[str, Any]] = {
    "nli": {"kind": "nli", "name": "nli-small"},
    "embedding": {"kind": "embedding", "name": "minilm"},
    "talk": {"kind": "classifier", "name": "talk-small"},
}
"""Models that are there without being given; what a job gives of one takes the place of that field."""


class _Config(BaseModel):
    # What a person writes in the wrong field may be a key.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _partners(value: object) -> object:
    if value != "file" and not (str(value).isdecimal() and int(str(value)) >= 1):
        raise ValueError("a whole number from 1 is wanted, or `file`")
    return value if value == "file" else int(str(value))


class Pairing(_Config):
    """Who talks to whom."""

    partners: Annotated[Annotated[int, Field(ge=1)] | Literal["file"], BeforeValidator(_partners)] = Field(
        1, description="Partners drawn for each persona; `file`: those that `fields.partner` of the seeds names."
    )
    samples: int = Field(1, ge=1, description="Dialogues per pair.")
    near_duplicates: NearDuplicatesParams | None = Field(
        None, description="Leave out personas that nearly repeat an earlier one of the seeds."
    )
    donors: DonorCorpus | None = Field(None, description="Take distracting facts from a corpus, not from the seeds.")


class Workers(_Config):
    """A pool of workers: Ray starts `min`, and up to `max` while there is work and room."""

    min: int = Field(1, ge=1, description="Workers that are asked for as soon as there is work.")
    max: int = Field(1, ge=1, description="Most workers; more than `min` lets an autoscaling cluster grow.")
    cpus: float = Field(
        1, ge=0, description="CPUs reserved per worker, and threads of its models: of vLLM too where it runs on a CPU."
    )
    gpus: float = Field(0, ge=0, description="GPUs reserved per worker.")

    @model_validator(mode="after")
    def _max_from_min(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"max ({self.max}) is below min ({self.min})")
        return self


class Run(_Config):
    """Knobs of the run: none of them changes a row."""

    REPLACED: ClassVar = {"generate": "run.workers.writer", "verify": "run.workers.scorers"}
    """Fields that are no more, and what stands in their place."""

    rows_per_shard: int = Field(256, ge=1, description="Dialogues per shard, the unit that is handed out.")
    shards_per_worker: int = Field(2, ge=1, description="Shards a worker holds, so that none drains its batch.")
    workers: dict[str, Workers] = Field(
        {}, description="Workers by the name of their language model; `scorers` are those without one."
    )
    dialogues_in_flight: int | None = Field(
        None, ge=1, description="Dialogues a worker runs at once; the engine's capacity by default."
    )
    stall_timeout_s: float = Field(
        900, gt=0, description="A worker that finishes no model call for so long is hung, and replaced."
    )
    max_bad_seeds: int = Field(1000, ge=0, description="Unreadable seeds after which the job stops.")
    max_failed_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of rows that may fail: a run is stopped once more of its first hundred have failed, and "
        "from then on of all that have ended.",
    )
    server_patience_s: float = Field(
        600, gt=0, description="openai: seconds that a server is waited for that gives no answer, before the run stops."
    )
    budget: Budget = Field(Budget(), description="What a run may take of tokens, hours and money before it stops.")


class Passes(_Config):
    """What looks at many rows, once they are committed."""

    near_duplicates: NearDuplicatesParams | None = Field(
        None, description="Rows that nearly repeat an older one; conditions read `near_duplicates.duplicate_of`."
    )

    @property
    def columns(self) -> dict[str, pa.StructType]:
        """The columns of those that are asked for, by their names."""
        return {} if self.near_duplicates is None else {NAME: COLUMN}


def _entries(section: Section) -> Any:
    """The parameters of whichever method an entry names."""
    union: Any = None
    for one in found(section).values():
        union = one.Params if union is None else union | one.Params
    return Annotated[union, Field(discriminator="method")]


if TYPE_CHECKING:
    MakerEntry: TypeAlias = Params
    ScoreEntry: TypeAlias = Params
else:
    MakerEntry, ScoreEntry = _entries("makers"), _entries("scores")
Model = Annotated[LanguageModel | NliModel | EmbeddingModel | ClassifierModel, Field(discriminator="kind")]


def _named(section: Section) -> BeforeValidator:
    """Entries that leave their method out are called after it; one that is null is left out."""

    def named(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        given = {name: entry for name, entry in value.items() if entry is not None}
        for name, entry in given.items():
            if not isinstance(entry, dict | BaseModel):
                raise mistake("give the parameters of a method; {} takes all defaults", str(name))
            if isinstance(entry, dict) and (fault := faults(section).get(entry.get("method", name))):
                raise mistake(fault, name)
        return {name: {"method": name, **entry} if isinstance(entry, dict) else entry for name, entry in given.items()}

    return BeforeValidator(named)


def _of_kind(value: Any) -> Any:
    """The bundled scorers are there in any job; other models that leave their kind out are language models."""
    if not isinstance(value, dict):
        return value
    given = {name: model for name, model in value.items() if model is not None}
    for name, model in given.items():
        if not isinstance(model, dict | BaseModel):
            raise mistake("give the fields of a model, such as {name: smollm2}", str(name))
    return {
        name: {**_BUNDLED.get(name, {"kind": "language"}), **model} if isinstance(model, dict) else model
        for name, model in (_BUNDLED | given).items()
    }


def _entries_by_name(schema: dict[str, Any]) -> None:
    """In the JSON Schema: an entry called after its method needs no `method`, any other does."""
    entries = schema["additionalProperties"]
    schema["properties"] = {
        name: {"anyOf": [{"$ref": reference}, {"type": "null"}]}
        for name, reference in entries["discriminator"]["mapping"].items()
    }
    schema["additionalProperties"] = {"required": ["method"], **entries}


def _models_by_name(schema: dict[str, Any]) -> None:
    """In the JSON Schema: a model without a kind is a language model, and of a bundled one any field may be given."""
    entries = schema["additionalProperties"]
    language = {"$ref": entries["discriminator"]["mapping"]["language"]}
    schema["additionalProperties"] = {"anyOf": [language, entries]}
    schema["properties"] = {
        name: {"anyOf": [{"type": "object", "not": {"required": ["kind"]}}, entries, {"type": "null"}]}
        for name in _BUNDLED
    }


def _extending(schema: dict[str, Any]) -> None:
    """In the JSON Schema: a file may extend another one, which then gives what is required."""
    schema["properties"][EXTENDS] = {"type": "string", "description": "Path of a job file that this one is laid over."}
    schema["anyOf"] = [{"required": schema.pop("required")}, {"required": [EXTENDS]}]


class Job(_Config):
    """A job file: what the corpus should be."""

    model_config = ConfigDict(json_schema_extra=_extending)

    REPLACED: ClassVar = {"stages": "makers, scores and select"}
    """Fields that are no more, and what stands in their place."""
    base: SkipJsonSchema[Path] = Field(
        Path("."), exclude=True, description="Folder of the job file; set by the loader."
    )
    """First, since other fields are validated with it."""
    corpus: str = Field(min_length=1, description="Where the corpus lives: a path (from the job file) or a URI.")
    seeds: Annotated[tuple[SeedEntry, ...], Field(min_length=1)] = Field(
        description="Personas or dialogues: paths (from the job file), globs or URIs, or what makes them."
    )
    pairing: Pairing = Field(Pairing(), description="Who talks to whom.")
    models: Annotated[dict[str, Model], BeforeValidator(_of_kind)] = Field(
        {}, validate_default=True, description="The models, by name.", json_schema_extra=_models_by_name
    )
    makers: Annotated[dict[str, MakerEntry], _named("makers")] = Field(
        {}, description="What writes the rows, in this order.", json_schema_extra=_entries_by_name
    )
    scores: Annotated[dict[str, ScoreEntry], _named("scores")] = Field(
        {}, description="What measures the rows, in no order.", json_schema_extra=_entries_by_name
    )
    passes: Passes = Field(Passes(), description="What compares rows with each other, after they are committed.")
    select: Conditions | None = Field(None, description="What rejects or flags a row; no decision without it.")
    keep_versions: dict[str, int] = Field(
        {},
        description="By entry, an older version of its code whose rows are kept: they count as made by the newest.",
    )
    run: Run = Field(Run(), description="Knobs that change no row.")

    @field_validator("corpus")
    @classmethod
    def _corpus_from_base(cls, corpus: str, info: ValidationInfo) -> str:
        return absolute(corpus, info.data.get("base", "."))

    @field_validator("models")
    @classmethod
    def _models_from_base(cls, models: dict[str, Model], info: ValidationInfo) -> dict[str, Model]:
        known: dict[str, Model] = {}
        for name, model in models.items():
            known[name] = model
            if getattr(model, "engine", "vllm") != "vllm":  # other engines know names alone
                continue
            for field in ("name", "adapter"):
                given = getattr(model, field, None)
                if given is None:
                    continue
                try:
                    place = placed(given, info.data.get("base", "."))
                except ValueError as error:
                    raise mistake(f"{given}: {error}; paths start at the job file", name, field) from error
                known[name] = known[name].model_copy(update={field: place})
        return known

    @field_validator("makers")
    @classmethod
    def _makers_in_order(cls, makers: dict[str, MakerEntry]) -> dict[str, MakerEntry]:
        return in_order(makers)

    @field_validator("scores")
    @classmethod
    def _names_of_columns(cls, scores: dict[str, ScoreEntry]) -> dict[str, ScoreEntry]:
        taken = _RESERVED | set(found("makers"))
        seen: dict[str, str] = {}
        for name in scores:
            if not name.isidentifier():
                raise mistake("a score's name is that of a column: letters, digits and _, no digit first", name)
            if name.lower() in taken:
                others = ", ".join(sorted(taken - {name.lower()}))
                raise mistake(f"no score can have this name, in whatever case, nor {others}", name)
            if name.lower() in seen:
                raise mistake(f"the score {seen[name.lower()]} has this name but for its case", name)
            seen[name.lower()] = name
        return scores

    @model_validator(mode="after")
    def _models_for_methods(self) -> Self:
        for kind, name, *at in self._asked():
            self._refuse_another_kind(kind, name, *at)
        return self

    def _asked(self) -> Iterator[tuple[str, ...]]:
        """The models that makers and scores ask: kind, name, and where it stands."""
        sections: tuple[tuple[Section, Mapping[str, Params]], ...] = (("makers", self.makers), ("scores", self.scores))
        for section, entries in sections:
            for entry, params in entries.items():
                needs = method(params, section).needs
                for field, (kind, name) in models_of(params).items():
                    if kind in needs:
                        yield kind, name, section, entry, field

    def _refuse_another_kind(self, kind: str, name: str, *at: str) -> None:
        there = ", ".join(one for one, model in self.models.items() if model.kind == kind) or "none"
        if name not in self.models:
            raise mistake(f"models.{name} is missing; of kind {kind} there is {there}", *at)
        if (given := self.models[name].kind) != kind:
            raise mistake(f"models.{name} is of kind {given}, and one of kind {kind} is asked; there is {there}", *at)

    @model_validator(mode="after")
    def _versions_are_older(self) -> Self:
        made = {name: method(params, "makers") for name, params in self.makers.items()}
        made |= {name: method(params, "scores") for name, params in self.scores.items()}
        for name, version in self.keep_versions.items():
            if name not in made:
                raise mistake(f"there is no such entry; there are {', '.join(made)}", "keep_versions", name)
            if not 1 <= version <= made[name].version:
                raise mistake(f"the newest version is {made[name].version}", "keep_versions", name)
        return self

    @model_validator(mode="after")
    def _prices_of_models(self) -> Self:
        budget, known = self.run.budget, [name for name, model in self.models.items() if model.kind == "language"]
        for name in budget.prices:
            if name not in known:
                raise mistake(
                    f"no language model has this name; there are {', '.join(known)}", "run", "budget", "prices", name
                )
        if budget.money is not None and not budget.prices:
            raise mistake("no model has a price; add run.budget.prices", "run", "budget", "money")
        return self

    @model_validator(mode="after")
    def _workers_fit(self) -> Self:
        gpus = {name: model.tensor_parallel for name, model in self.models.items() if model.kind == "language"}
        for name in self.run.workers:
            if name not in (*gpus, SCORERS):
                known = ", ".join((*gpus, SCORERS))
                raise mistake(f"no language model has this name; there are {known}", "run", "workers", name)
        for name, wanted in gpus.items():
            pool = self.engine_of(name)
            if wanted > 1 and self.workers(pool).gpus < wanted:
                raise mistake(
                    f"is {wanted}, so run.workers.{pool}.gpus must be {wanted}", "models", name, "tensor_parallel"
                )
        return self

    @model_validator(mode="after")
    def _conditions_read_scores(self) -> Self:
        known = self._condition_columns()
        told: list[tuple[str, Mapping[str, Any], tuple[str, ...]]] = [
            (text, known, (SELECT, band, name))
            for band in BANDS
            for name, text in getattr(self.select, band, {}).items()
        ]
        scores = {name: known[name] for name in self.scores}
        for name, params in self.scores.items():
            told += [(text, scores, ("scores", name)) for text in getattr(method(params, "scores"), "conditions", ())]
        for text, columns, at in told:
            try:
                check(text, columns)
            except ValueError as error:
                raise mistake(str(error), *at) from error
        return self

    def engine_of(self, model: str) -> str:
        """The language model whose engine answers for this one: of those that are asked, under vLLM, the first that
        differs from it in no more than the adapter, unless workers are set for it alone."""
        wanted = self.models[model]
        assert isinstance(wanted, LanguageModel)
        if wanted.engine != "vllm" or model in self.run.workers:
            return model
        sharing = (name for _, name, *_ in self._asked() if getattr(self.models[name], "base", None) == wanted.base)
        return next(sharing, model)

    def workers(self, model: str) -> Workers:
        """The workers of a language model, or of SCORERS."""
        return self.run.workers.get(model, Workers())

    def score_columns(self) -> dict[str, Any]:
        """The Arrow types of the scores' columns, by the names of the scores."""
        return {name: struct_of(method(params, "scores").columns) for name, params in self.scores.items()}

    def _condition_columns(self) -> Mapping[str, Mapping[str, Any]]:
        """What conditions may read: polars types by score and value."""
        kinds = self.passes.columns | self.score_columns()
        return {ROW: ROW_COLUMNS} | {
            name: pl.DataFrame(pa.schema(kind).empty_table()).schema for name, kind in kinds.items()
        }


def method(params: Params, section: Section) -> Any:
    """The method of an entry, made from its parameters."""
    return found(section)[params.method](params)
