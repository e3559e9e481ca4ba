"""The phases of a run: consecutive entries that one pool of workers runs, with at most one language model.

They follow from what methods ask and read. Each language model has a phase of its own, which later entries of the same
model join; scorers ride along where a maker or a language model waits for them, and what is left of them comes last,
where no language model is needed.
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
    """The workers that run it, by the name of their language model or SCORERS, and its entries in order."""

    workers: str
    stages: tuple[str, ...]


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
    made = entries(job)
    upstream = {one.stage: set(one.upstream) for kind in KINDS for one in recipes(job, kind) if one.stage != SELECT}
    asked = _before_language(made, upstream)
    found: list[tuple[str, list[str]]] = []
    place: dict[str, int] = {}
    scorers = []
    for name, entry in made.items():
        model = entry.models.get("language")
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
    if scorers or not found:
        found.append((SCORERS, scorers))
    return tuple(Phase(workers, tuple(stages)) for workers, stages in found)


def _before_language(made: Mapping[str, Entry], upstream: Mapping[str, set[str]]) -> set[str]:
    """Scores without a language model that one with a language model waits for."""
    asked: set[str] = set()
    for name, entry in reversed(list(made.items())):
        if name in asked or "language" in entry.models:
            asked |= {other for other in upstream.get(name, ()) if made[other].section == "scores"}
    return asked
