"""One row through the entries of a phase, metered.

What fails is the row, never the shard: a maker that gives up, a request the model refuses and a fault in a method's own
code become dead letters; of a score they become values that are missing, with the reason. Only what is the worker's own
passes: a dead engine, a lack of memory, a broken GPU, a package that is not installed.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from factory.base.packages import MissingPackageError, explain_missing
from factory.base.redact import redact
from factory.engines import Engine, EngineDeadError, Reply, Request, RequestError, ServerError
from factory.methods import Kit, Scored, misfits
from factory.methods.registry import found
from factory.models import called
from factory.planning.shard import Todo
from factory.scorers.batching import of_the_worker
from factory.spec.identity import Entry, Recipe
from factory.store.dead_letters import DeadLetter
from factory.store.records import Row, RowError, StageRecord

LACKING = "the row lacks what it measures"
"""Why a score has no values that need none."""
_LONGEST_DETAIL, _LONGEST_TEXT, _LONGEST_FAILURE = 1000, 2000, 300
"""Characters that are kept of a dead letter's detail and text, and of why a score failed."""


@dataclass(slots=True)
class Meter:
    """An engine that counts what one entry asks of it for one row, and keeps the last text it was given."""

    engine: Engine
    record: StageRecord
    text: str | None = None

    @property
    def capacity(self) -> int:
        """The engine's own."""
        return self.engine.capacity

    async def generate(self, request: Request) -> Reply:
        """Pass the request on, and count it, also one that is refused."""
        self.record.calls += 1
        reply = await self.engine.generate(request)
        self.record.calls += reply.calls - 1
        self.record.prompt_tokens += reply.prompt_tokens
        self.record.cached_tokens += reply.cached_tokens
        self.record.completion_tokens += reply.completion_tokens
        self.text = reply.completions[0].text
        return reply

    async def close(self) -> None:
        """Close the engine."""
        await self.engine.close()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a method gave a row up."""

    reason: str
    detail: str
    attempts: int = 1

    @property
    def told(self) -> str:
        """In one short line."""
        return redact(f"{self.reason}: {self.detail}")[:_LONGEST_FAILURE]


async def run_row(
    todo: Todo, recipes: Sequence[Recipe], entries: Mapping[str, Entry], kit_for: Callable[[Entry], Kit]
) -> DeadLetter | None:
    """Run the entries that a row is to go through, in place; `recipes` are all that rows of its kind pass.

    The dead letter if a maker gives the row up. Raises EngineDeadError, MissingPackageError, or ServerError with the
    row as the last entry left it.
    """
    row, wanted = todo.row, todo.wanted
    order = [recipe.stage for recipe in recipes]
    forget_makers(row, order)
    for recipe in (recipe for recipe in recipes if recipe.stage in todo.stages):
        entry, record = entries[recipe.stage], _new_record(recipe, wanted[recipe.stage])
        kit = kit_for(entry)
        meter = Meter(kit.engine, record)
        began = time.perf_counter()
        forget(row, recipe.stage)
        try:
            with _without_facts_of(row, order[order.index(recipe.stage) + 1 :]):
                failure = await _run(entry, row, replace(kit, engine=meter))
        except ServerError:
            forget(row, recipe.stage)
            raise
        if failure is not None and entry.section == "makers":
            return dead_letter(row, recipe.stage, failure, wanted, meter)
        record.failed = failure.told if failure is not None else None
        record.seconds = time.perf_counter() - began
        row.stages.append(record)
        settle(row, order)
    return None


@contextmanager
def _without_facts_of(row: Row, later: Sequence[str]) -> Iterator[None]:
    """The row without the facts of makers that come later: a maker that is run again finds what it found at first."""
    aside = [[fact for fact in speaker.facts if fact.origin in later] for speaker in row.speakers]
    for speaker in row.speakers:
        speaker.facts = [fact for fact in speaker.facts if fact.origin not in later]
    try:
        yield
    finally:
        for speaker, facts in zip(row.speakers, aside, strict=True):
            speaker.facts += facts


async def _run(entry: Entry, row: Row, kit: Kit) -> Failure | None:
    """Run an entry; why it gave the row up, if it did."""
    try:
        if entry.section == "makers":
            await entry.method.run(row, kit)
            return None
        return _store(row, entry, await entry.method.score(row, kit))
    except RowError as error:
        return Failure(error.reason, error.detail, error.attempts)
    except RequestError as error:
        return Failure("request", str(error))
    except (EngineDeadError, ServerError):
        raise
    except ImportError as error:
        raise MissingPackageError(explain_missing(error, f"{entry.section}.{entry.name}")) from error
    except Exception as error:
        if of_the_worker(error):
            raise EngineDeadError(f"{entry.section}.{entry.name}: {type(error).__name__}: {error}") from error
        return Failure("fault", f"{type(error).__name__}: {error}")


def _store(row: Row, entry: Entry, scored: Scored) -> Failure | None:
    """Keep what a score found. Why it has no values, if it says so, or they are not as it declares, or no numbers."""
    if scored.missing is not None:
        return Failure(scored.missing, LACKING)
    if wrong := ", ".join(dict.fromkeys(misfits(entry.method, scored))):
        return Failure("fault", wrong)
    found = [*scored.values.items(), *((one.kind, value) for one in scored.details for value in one.values)]
    unsound = {name for name, value in found if isinstance(value, float) and not math.isfinite(value)}
    if unsound:  # NaN is at least any threshold
        return Failure("not_finite", ", ".join(sorted(unsound)))
    row.scores[entry.name] = {column.name: scored.values.get(column.name) for column in entry.method.columns}
    row.details += [replace(detail, score=entry.name) for detail in scored.details]
    return None


def fail_scores(todo: Todo, recipes: Sequence[Recipe], failure: Failure) -> None:
    """Leave the scores that a row is to get without values, for one reason."""
    for recipe in (recipe for recipe in recipes if recipe.stage in todo.stages):
        forget(todo.row, recipe.stage)
        record = _new_record(recipe, todo.wanted[recipe.stage])
        record.failed = failure.told
        todo.row.stages.append(record)


def forget(row: Row, stage: str) -> None:
    """Take off the row what an entry left on it."""
    maker = found("makers").get(stage)
    if maker is not None:
        maker.clear(row)
    row.scores.pop(stage, None)
    row.details = [detail for detail in row.details if detail.score != stage]
    row.stages = [record for record in row.stages if record.stage != stage]


def settle(row: Row, order: Sequence[str]) -> None:
    """Put facts and records in the order of the entries that made them, whichever of these were run again."""
    place = {stage: number for number, stage in enumerate(order)}
    for speaker in row.speakers:
        speaker.facts.sort(key=lambda fact: place.get(fact.origin, -1))
    row.stages.sort(key=lambda record: place.get(record.stage, len(place)))


def forget_makers(row: Row, names: Collection[str]) -> None:
    """Take off the row what makers wrote that are not among the names, those of the job."""
    for stage in [record.stage for record in row.stages if record.stage not in names]:
        if stage in found("makers"):
            forget(row, stage)


def forget_scores(row: Row, names: Collection[str]) -> None:
    """Take off the row what scores found that are not among the names, those of the job."""
    for stage in [record.stage for record in row.stages if record.stage not in names]:
        if stage not in found("makers"):
            forget(row, stage)


def _new_record(recipe: Recipe, fingerprint: str) -> StageRecord:
    sampling = recipe.params.get("sampling")
    return StageRecord(
        stage=recipe.stage,
        recipe=recipe.id,
        fingerprint=fingerprint,
        models=[_named(model) for model in recipe.models.values()],
        sampling=json.dumps(sampling) if sampling else None,
        started_at=datetime.now(UTC),
    )


def _named(model: Mapping[str, Any]) -> str:
    """A model by its name and revision, and its adapter likewise."""
    name = called(str(model["name"]), str(model.get("revision", "")))
    return f"{name} + {_named(model['adapter'])}" if "adapter" in model else name


def dead_letter(
    row: Row, stage: str, failure: Failure, wanted: Mapping[str, str], meter: Meter | None = None
) -> DeadLetter:
    """The record of a row that an entry gave up. It costs what the entries took that left the fingerprints `wanted` on
    it, and what `meter` has counted of this one; what was to be remade cost the row it was made for."""
    spent = [record for record in row.stages if wanted.get(record.stage) == record.fingerprint]
    if meter is not None:
        spent.append(meter.record)
    text = None if meter is None else meter.text
    return DeadLetter(
        id=row.row_id,
        row_id=row.row_id,
        seed_ids=[seed.id for seed in row.seeds],
        sample=row.sample,
        source=row.seeds[0].source,
        line=row.seeds[0].line,
        stage=stage,
        reason=failure.reason,
        detail=redact(failure.detail[: 4 * _LONGEST_DETAIL])[:_LONGEST_DETAIL],
        attempts=failure.attempts,
        fingerprint=wanted[stage],
        failed_at=datetime.now(UTC),
        calls=sum(record.calls for record in spent),
        prompt_tokens=sum(record.prompt_tokens for record in spent),
        cached_tokens=sum(record.cached_tokens for record in spent),
        completion_tokens=sum(record.completion_tokens for record in spent),
        text=None if text is None else redact(text[:_LONGEST_TEXT]),
    )
