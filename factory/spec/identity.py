"""Which entries of a job make a row, in which order, and what identifies what they make.

An entry's recipe covers its own configuration and the recipes of those that write what it reads before it; its
fingerprint on a row also the parts of the seeds that go into any of them, and the donors. So a change redoes what it
touches and what reads that, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict

from factory.base.fingerprint import blake, fingerprint
from factory.engines import LanguageModel
from factory.engines.arguments import identifying
from factory.methods import SEEDED, ModelKind, Params, models_of
from factory.models import is_folder, revision_of
from factory.spec.job import SELECT, Job, Section, method
from factory.store.records import PARTS, Row

RowKind = Literal["generated", "imported"]
KINDS: tuple[RowKind, RowKind] = ("generated", "imported")
DONORS = "donors"
INPUTS = (*PARTS, DONORS)
"""What goes into a row from outside: the parts of its seeds, and facts of other speakers."""


class Recipe(BaseModel):
    """Everything that can change what an entry writes, given its inputs. `id` is its fingerprint. `upstream` are the
    recipes of the entries that write what it reads, `inputs` what goes into it or one of those from outside."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    stage: str
    method: str
    version: int
    params: dict[str, object]
    prompt: str | None
    models: dict[str, dict[str, object]]
    upstream: dict[str, str]
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One maker or score of a job, made from its parameters; `models` are the names of the job's models that it asks,
    by kind."""

    name: str
    section: Section
    method: Any
    models: dict[ModelKind, str]


def entries(job: Job) -> dict[str, Entry]:
    """The makers in their order, then the scores, each after those that it reads. Raises ValueError for scores that
    read each other in a circle."""
    made: dict[str, Entry] = {}
    sections: tuple[tuple[Section, dict[str, Params]], ...] = (("makers", job.makers), ("scores", job.scores))
    for section, given in sections:
        for name, params in given.items():
            one = method(params, section)
            asked = {kind: model for kind, model in models_of(params).values() if kind in one.needs}
            made[name] = Entry(name, section, one, asked)
    return {name: made[name] for name in _ordered(made)}


def of_personas(job: Job) -> bool:
    """Whether each persona among the seeds is a row of its own, without turns: a maker writes facts of it, and none
    writes or reads turns."""
    makers = [entry.method for entry in entries(job).values() if entry.section == "makers"]
    told = any(field.startswith("facts.") for maker in makers if not maker.donors for field in maker.writes)
    return told and not any("turns" in maker.writes | maker.reads for maker in makers)


def _ordered(made: dict[str, Entry]) -> Iterator[str]:
    scores = {name: entry for name, entry in made.items() if entry.section == "scores"}
    yield from (name for name in made if name not in scores)
    done: set[str] = set()
    while len(done) < len(scores):
        ready = [
            name
            for name, entry in scores.items()
            if name not in done and all(read in done or read not in scores for read in _read_by(entry))
        ]
        if not ready:
            left = ", ".join(sorted(scores.keys() - done))
            raise ValueError(f"scores: {left} read each other in a circle")
        yield from ready
        done.update(ready)


def _read_by(entry: Entry) -> set[str]:
    """What an entry reads: fields, and scores by their names."""
    return {
        read if read in SEEDED or read.startswith("facts.") else read.partition(".")[0] for read in entry.method.reads
    }


def recipes(job: Job, kind: RowKind) -> list[Recipe]:
    """The recipes of the entries that rows of this kind pass, in order; last that of `select`."""
    made: dict[str, Recipe] = {}
    wrote: dict[str, list[str]] = {}
    for name, entry in entries(job).items():
        if kind == "imported" and entry.section == "makers" and not entry.method.of_imported:
            continue
        reads = _read_by(entry)
        before = {maker for field in reads for maker in wrote.get(field, ())} | {read for read in reads if read in made}
        from_seed = {SEEDED[read] for read in reads if read in SEEDED and (read != "turns" or kind == "imported")}
        own = from_seed | ({DONORS} if getattr(entry.method, "donors", 0) else set())
        made[name] = _recipe(job, entry, {other: made[other] for other in sorted(before)}, own)
        for field in getattr(entry.method, "writes", ()):
            wrote.setdefault(field, []).append(name)
    if job.select is not None:
        read = {score: made[score] for score, _ in sorted(job.select.columns) if score in made}
        made[SELECT] = _of_select(job, read)
    return list(made.values())


def _recipe(job: Job, entry: Entry, upstream: dict[str, Recipe], own: set[str]) -> Recipe:
    given = (job.makers if entry.section == "makers" else job.scores)[entry.name]
    names = {"method", "prompt", *models_of(given)}
    return _identified(
        stage=entry.name,
        method=given.method,
        version=job.keep_versions.get(entry.name, entry.method.version),
        params=given.model_dump(mode="json", exclude=names),
        prompt=getattr(entry.method, "template", None),
        models={kind: identity_of(job, name) for kind, name in sorted(entry.models.items())},
        upstream={name: recipe.id for name, recipe in upstream.items()},
        inputs=_inputs(own, upstream),
    )


def _of_select(job: Job, upstream: dict[str, Recipe]) -> Recipe:
    assert job.select is not None
    return _identified(
        stage=SELECT,
        method=SELECT,
        version=1,
        params=job.select.model_dump(mode="json"),
        prompt=None,
        models={},
        upstream={name: recipe.id for name, recipe in upstream.items()},
        inputs=_inputs(set(), upstream),
    )


def _inputs(own: set[str], upstream: dict[str, Recipe]) -> tuple[str, ...]:
    found = own.union(*(recipe.inputs for recipe in upstream.values()))
    return tuple(name for name in INPUTS if name in found)


def _identified(**body: Any) -> Recipe:
    anywhere = {kind: _anywhere(model) for kind, model in body["models"].items()}
    return Recipe(id=fingerprint("recipe", body | {"models": anywhere, "stage": ""}), **body)


def identity_of(job: Job, name: str) -> dict[str, object]:
    """What can change what a model says."""
    model = job.models[name]
    if getattr(model, "engine", "") == "scripted":
        return {"name": "scripted"}
    fields = model.model_dump(include=set(model.IDENTITY))
    if isinstance(model, LanguageModel) and (arguments := identifying(model.engine_args)):
        fields["engine_args"] = arguments
    if isinstance(model, LanguageModel) and model.adapter is not None:
        fields["adapter"] = {"name": model.adapter, "revision": revision_of(model.adapter, None)}
    return fields | {"revision": revision_of(fields["name"], fields["revision"])}


def _anywhere(model: dict[str, object]) -> dict[str, object]:
    """What identifies a model wherever its folder lies: of a folder the content, which its revision tells."""
    return {
        name: _anywhere(cast(dict[str, object], value)) if name == "adapter" else value
        for name, value in model.items()
        if name != "name" or not is_folder(str(value))
    }


def row_fingerprints(chain: list[Recipe], row: Row) -> dict[str, str]:
    """The fingerprint each entry should leave on the row: its recipe and what goes into it from outside."""
    texts = {part: tuple(seed.digests[place] for seed in row.seeds) for place, part in enumerate(PARTS)}
    texts[DONORS] = tuple(f"{fact.source_id}\n{fact.text}" for donors in row.donors for fact in donors)
    return {recipe.stage: _over(recipe.id, tuple(texts[name] for name in recipe.inputs)) for recipe in chain}


@lru_cache(1 << 12)
def _over(recipe: str, inputs: tuple[tuple[str, ...], ...]) -> str:
    return blake(recipe, *(text for part in inputs for text in (str(len(part)), *part)))
