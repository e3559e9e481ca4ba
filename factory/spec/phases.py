"""The phases of a run: consecutive entries that one pool of workers runs, with at most one language model.

They follow from what methods ask and read. Each language model that runs here has a phase of its own, which later
entries of the same engine join; scorers ride along where a maker or a language model waits for them. Last come the
scorers that are left, and with them scores that ask a server, which needs no room here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from factory.spec.identity import KINDS, Entry, Recipe, RowKind, entries, recipes
from factory.spec.job import SCORERS, SELECT, Job
from factory.spec.select import Conditions
from factory.store.records import ScoreColumns


@dataclass(frozen=True, slots=True)
class Phase:
    """The workers that run it, by the name of their language model or SCORERS, its entries in order, and whether any of
    these asks a language model, here or on a server."""

    workers: str
    stages: tuple[str, ...]
    language: bool


@dataclass(frozen=True, slots=True)
class Making:
    """How the rows of a job are made: the recipes they follow, by kind, in which phases; the columns of their scores,
    what decides, and which passes see them later. It is the driver's, and goes to the workers as it is: a model that
    changes on disk meanwhile is the next plan's business."""

    recipes: Mapping[RowKind, list[Recipe]]
    phases: tuple[Phase, ...]
    columns: ScoreColumns
    select: Conditions | None
    passes: frozenset[str] = frozenset()

    def phase_of(self, stage: str) -> int:
        """The phase that runs an entry."""
        return next(number for number, phase in enumerate(self.phases) if stage in phase.stages)


def making(job: Job) -> Making:
    """How the rows of a job are made. Raises ValueError for scores that read each other in a circle."""
    return Making(
        {kind: recipes(job, kind) for kind in KINDS},
        phases(job),
        job.score_columns(),
        job.select,
        frozenset(job.passes.columns),
    )


def phases(job: Job) -> tuple[Phase, ...]:
    """The phases of a job, at least one."""
    made, upstream = entries(job), _upstream(job)
    models = _pooled(job, made)
    asked = _before_language(made, models, upstream)
    found: list[tuple[str, list[str]]] = []
    place: dict[str, int] = {}
    scorers = []
    for name, entry in made.items():
        model = models.get(name)
        if model is None and entry.section == "scores" and name not in asked:
            scorers.append(name)
            continue
        earliest = max((place[other] for other in upstream.get(name, ()) if other in place), default=0)
        if entry.section == "makers":
            earliest = len(found) - 1 if found else 0
        fitting = [n for n in range(earliest, len(found)) if model is None or found[n][0] in (model, SCORERS)]
        if not fitting:
            found.append((model or SCORERS, []))
            fitting = [len(found) - 1]
        number = fitting[0]
        if model is not None:
            found[number] = (model, found[number][1])
        found[number][1].append(name)
        place[name] = number
    if found and found[-1][0] == SCORERS:
        found[-1][1].extend(scorers)
    elif scorers or not found:
        found.append((SCORERS, scorers))
    return tuple(
        Phase(workers, tuple(stages), any("language" in made[stage].models for stage in stages))
        for workers, stages in found
    )


def _upstream(job: Job) -> dict[str, set[str]]:
    """What each entry waits for, in rows of any kind."""
    waits: dict[str, set[str]] = {}
    for kind in KINDS:
        for recipe in recipes(job, kind):
            if recipe.stage != SELECT:
                waits.setdefault(recipe.stage, set()).update(recipe.upstream)
    return waits


def _pooled(job: Job, made: Mapping[str, Entry]) -> dict[str, str]:
    """The entries that run where their language model has its workers, with the name of these: all that ask one, but
    for scores that ask a server which no maker asks and no workers are set for."""
    asking = {name: entry.models["language"] for name, entry in made.items() if "language" in entry.models}
    own = set(job.run.workers).union(model for name, model in asking.items() if made[name].section == "makers")
    return {
        name: job.engine_of(model)
        for name, model in asking.items()
        if model in own or getattr(job.models[model], "engine", "") != "openai"
    }


def _before_language(
    made: Mapping[str, Entry], models: Mapping[str, str], upstream: Mapping[str, set[str]]
) -> set[str]:
    """Scores that run in no language model's phase, but that one which does waits for."""
    asked: set[str] = set()
    for name in reversed(list(made)):
        if name in asked or name in models:
            asked |= {other for other in upstream.get(name, ()) if made[other].section == "scores"}
    return asked
