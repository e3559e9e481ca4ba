"""The job file: what the corpus should be.

YAML in, one frozen `Job` out, with every mistake named by its field, its line and the nearest right name. The tables
below say which fields are identity; all else (paths, worker counts, batch sizes) are knobs that never cause rework.
Prompts named by path are read here, so that a `Job` is complete and travels to workers as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from factory.base.fingerprint import blake, fingerprint
from factory.base.places import absolute
from factory.engines import LanguageModel
from factory.methods import Role, Stage
from factory.methods.makers.augment import Augment, AugmentParams
from factory.methods.makers.converse import Converse, ConverseParams
from factory.methods.makers.expand import Expand, ExpandParams
from factory.methods.makers.extract import Extract, ExtractParams
from factory.methods.prompts import Task, bundled
from factory.methods.scores.select import Select, SelectParams
from factory.methods.scores.verify import Verify, VerifyParams
from factory.models import is_folder, placed, revision_of
from factory.scorers.embeddings import EmbeddingModel
from factory.scorers.nli import NliModel
from factory.seeds.source import SeedSource
from factory.store.records import Row

MODEL_IDENTITY: dict[Role, tuple[str, ...]] = {
    "dialogue": ("name", "revision", "dtype", "quantization"),
    "nli": ("name", "revision", "max_length"),
    "embedding": ("name", "revision"),
}
"""Fields of a model that can change what it says. Every parameter of a stage is identity; nothing in `run` is."""

LEGS: tuple[tuple[str, ...], ...] = (("expand", "converse", "extract", "augment"), ("verify", "select"))
"""Consecutive stages that one pool of workers runs: the first leg needs the language model, the second does not."""

STAGE_CLASSES: dict[str, Any] = {
    "expand": Expand,
    "converse": Converse,
    "extract": Extract,
    "augment": Augment,
    "verify": Verify,
    "select": Select,
}
"""The stages in the order they run, each made from its field of `Stages`."""

IMPORT_SKIPS = frozenset({"expand", "converse"})
"""Stages that dialogues which already exist do not pass."""


class _Config(BaseModel):
    # What a person writes in the wrong field may be a key.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Pairing(_Config):
    """Who talks to whom."""

    partners: int = Field(1, ge=1, description="Partners drawn for each persona.")
    samples: int = Field(1, ge=1, description="Dialogues per pair.")


class Models(_Config):
    """The models, by role."""

    dialogue: LanguageModel | None = Field(None, description="Writes facts, turns and extractions.")
    nli: NliModel = Field(NliModel(name="nli-small"), description="Judges premise and hypothesis.")
    report_nli: NliModel | None = Field(
        None,
        description="The NLI model of `verify`, when it should not be the one that chose candidates and facts.",
    )
    embedding: EmbeddingModel = Field(EmbeddingModel(name="minilm"), description="Sentence embeddings, for relevance.")


class Stages(_Config):
    """The stages, in the order they run; one that is left out does not run."""

    expand: ExpandParams | None = Field(None, description="New facts that fit the seed persona.")
    converse: ConverseParams | None = Field(None, description="The dialogue, turn by turn.")
    extract: ExtractParams | None = Field(None, description="The facts each turn reveals (PPDS).")
    augment: AugmentParams | None = Field(None, description="Distractor facts from other speakers (PPDS).")
    verify: VerifyParams | None = Field(None, description="Relevance and NLI scores.")
    select: SelectParams | None = Field(None, description="Accept, flag or reject.")


class Workers(_Config):
    """A pool of workers: Ray starts `min`, and up to `max` while there is work and room."""

    min: int = Field(1, ge=1, description="Workers that are asked for as soon as the leg has work.")
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

    rows_per_shard: int = Field(256, ge=1, description="Dialogues per shard, the unit that is handed out.")
    shards_per_worker: int = Field(2, ge=1, description="Shards a worker holds, so that none drains its batch.")
    generate: Workers = Field(Workers(), description="Workers of the first leg, each with one engine.")
    verify: Workers = Field(Workers(), description="Workers of the second leg, without a language model.")
    dialogues_in_flight: int | None = Field(
        None, ge=1, description="Dialogues a worker runs at once; the engine's capacity without it."
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


class Job(_Config):
    """A job file: what the corpus should be."""

    base: SkipJsonSchema[Path] = Field(
        Path("."), exclude=True, description="Folder of the job file; set by the loader."
    )
    """First, since other fields are validated with it."""
    corpus: str = Field(min_length=1, description="Where the corpus lives: a path (from the job file) or a URI.")
    seeds: Annotated[tuple[SeedSource, ...], Field(min_length=1)] = Field(
        description="Personas or dialogues: paths (from the job file), globs or URIs."
    )
    pairing: Pairing = Field(Pairing(), description="Who talks to whom.")
    models: Models = Field(Models(), description="The models, by role.")
    stages: Stages = Field(description="What is done, with its parameters.")
    run: Run = Field(Run(), description="Knobs that change no row.")

    @field_validator("corpus")
    @classmethod
    def _corpus_from_base(cls, corpus: str, info: ValidationInfo) -> str:
        return absolute(corpus, info.data.get("base", "."))

    @field_validator("models")
    @classmethod
    def _models_from_base(cls, models: Models, info: ValidationInfo) -> Models:
        found: dict[str, BaseModel] = {}
        for role in Models.model_fields:
            model = getattr(models, role)
            if model is not None and getattr(model, "engine", "vllm") == "vllm":  # other engines know names alone
                try:
                    name = placed(model.name, info.data.get("base", "."))
                except ValueError as error:
                    raise ValueError(f"{role}.name: {model.name}: {error}; paths start at the job file") from error
                found[role] = model.model_copy(update={"name": name})
        return models.model_copy(update=found)

    @model_validator(mode="after")
    def _models_for_stages(self) -> Self:
        asking = [name for name, stage in build_stages(self).items() if "dialogue" in stage.needs]
        if asking and self.models.dialogue is None:
            raise ValueError(f"models.dialogue is missing: stages.{asking[0]} asks a language model; name one")
        gpus = self.models.dialogue.tensor_parallel if self.models.dialogue else 1
        if gpus > 1 and self.run.generate.gpus < gpus:
            raise ValueError(f"models.dialogue.tensor_parallel is {gpus}, so run.generate.gpus must be {gpus}")
        return self


class Recipe(_Config):
    """Everything that can change what a stage writes, given its inputs. `id` is its fingerprint."""

    id: str
    stage: str
    version: int
    params: dict[str, object]
    prompt: str | None
    models: dict[str, dict[str, object]]
    previous: str | None


def build_stages(job: Job) -> dict[str, Stage]:
    """The stages the job asks for, in order, by name."""
    asked = {name: getattr(job.stages, name) for name in STAGE_CLASSES}
    return {name: STAGE_CLASSES[name](params) for name, params in asked.items() if params is not None}


def nli_model(job: Job, stage: str) -> NliModel:
    """The NLI model that a stage asks."""
    return job.models.report_nli or job.models.nli if stage == "verify" else job.models.nli


def _identity(job: Job, stage: str, role: Role) -> dict[str, object]:
    model: BaseModel | None
    if role == "dialogue":
        model = job.models.dialogue
        if job.models.dialogue is not None and job.models.dialogue.engine == "scripted":
            return {"name": "scripted"}
    else:
        model = nli_model(job, stage) if role == "nli" else job.models.embedding
    if model is None:
        return {}
    fields = model.model_dump(include=set(MODEL_IDENTITY[role]))
    return fields | {"revision": revision_of(fields["name"], fields["revision"])}


def _anywhere(model: dict[str, object]) -> dict[str, object]:
    """What identifies a model wherever its folder lies: of a folder the content, which its revision tells."""
    return {name: value for name, value in model.items() if name != "name" or not is_folder(str(value))}


def recipes(job: Job, kind: Literal["generated", "imported"]) -> list[Recipe]:
    """The recipes of the stages that rows of this kind pass, in order, each holding the id of the one before."""
    chain: list[Recipe] = []
    for name, stage in build_stages(job).items():
        if kind == "imported" and name in IMPORT_SKIPS:
            continue
        params = getattr(job.stages, name).model_dump(mode="json")
        prompt = params.pop("prompt", None)
        if prompt is None and "dialogue" in stage.needs:
            prompt = bundled(prompt_task(job, name))
        models = {role: _identity(job, name, role) for role in sorted(stage.needs)}
        body: dict[str, object] = {
            "stage": name,
            "version": stage.version,
            "params": params,
            "prompt": prompt,
            "models": models,
            "previous": chain[-1].id if chain else None,
        }
        identity = body | {"models": {role: _anywhere(model) for role, model in models.items()}}
        chain.append(Recipe.model_validate({"id": fingerprint("recipe", identity), **body}))
    return chain


def prompt_task(job: Job, stage: str) -> Task:
    """Which bundled template a stage uses."""
    if stage == "converse" and job.stages.converse is not None and job.stages.converse.mode == "script":
        return "script"
    return stage  # type: ignore[return-value]


def row_fingerprints(chain: list[Recipe], row: Row) -> list[str]:
    """The fingerprint each stage of the chain should leave on the row: its recipe and what goes into it from outside:
    the seeds' content and, from `augment` on, the donors'."""
    inputs = [digest for seed in row.seeds for digest in seed.digests]
    wanted: list[str] = []
    for recipe in chain:
        if recipe.stage == "augment":
            inputs = [*inputs, *(f"{fact.source_id}\n{fact.text}" for donors in row.donors for fact in donors)]
        wanted.append(blake(recipe.id, *inputs))
    return wanted
