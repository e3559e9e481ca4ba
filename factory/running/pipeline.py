"""One row through its stages, metered.

What fails is the row, never the shard: a stage that gives up, a request the model refuses and a fault in a stage's own
code all become dead letters. Only what is the worker's own passes: a dead engine, a lack of memory, a broken GPU, a
package that is not installed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from factory.base.packages import MissingPackageError, explain_missing
from factory.base.redact import redact
from factory.engines import Engine, EngineDeadError, Reply, Request, RequestError, ServerError
from factory.methods import Kit, Stage
from factory.models import short
from factory.scorers.batching import of_the_worker
from factory.spec.job import STAGE_CLASSES, Recipe
from factory.store.records import DeadLetter, Row, RowError, StageRecord

_LONGEST_DETAIL, _LONGEST_TEXT = 1000, 2000
"""Characters of a dead letter's detail and text that are kept."""


@dataclass(slots=True)
class Meter:
    """An engine that counts what one stage asks of it for one row, and keeps the last text it was given."""

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


def trim(row: Row, count: int) -> None:
    """Take off the row what stages after the first `count` left on it, latest first."""
    for record in reversed(row.stages[count:]):
        STAGE_CLASSES[record.stage].clear(row)
    del row.stages[count:]


async def run_row(
    row: Row,
    chain: Sequence[Recipe],
    wanted: Sequence[str],
    stages: Mapping[str, Stage],
    kit_for: Callable[[str], Kit],
) -> DeadLetter | None:
    """Run the stages of `chain` that come after those on the row, in place; `wanted` are the chain's fingerprints.

    The dead letter if the row fails. Raises EngineDeadError, MissingPackageError, or ServerError with the row as the
    last stage left it.
    """
    start = len(row.stages)
    for recipe, fingerprint in zip(chain[start:], wanted[start:], strict=False):
        record = _new_record(recipe, fingerprint)
        kit = kit_for(recipe.stage)
        meter = Meter(kit.engine, record)
        began = time.perf_counter()
        try:
            await stages[recipe.stage].run(row, replace(kit, engine=meter))
        except RowError as error:
            failure = (error.reason, error.detail, error.attempts)
        except RequestError as error:
            failure = ("request", str(error), 1)
        except EngineDeadError:
            raise
        except ServerError:
            stages[recipe.stage].clear(row)
            raise
        except ImportError as error:
            raise MissingPackageError(explain_missing(error, f"stages.{recipe.stage}")) from error
        except Exception as error:
            if of_the_worker(error):
                raise EngineDeadError(f"stages.{recipe.stage}: {type(error).__name__}: {error}") from error
            failure = ("fault", f"{type(error).__name__}: {error}", 1)
        else:
            record.seconds = time.perf_counter() - began
            row.stages.append(record)
            continue
        return dead_letter(row, recipe.stage, *failure, fingerprint=wanted[-1], meter=meter)
    return None


def _new_record(recipe: Recipe, fingerprint: str) -> StageRecord:
    sampling = recipe.params.get("sampling")
    return StageRecord(
        stage=recipe.stage,
        recipe=recipe.id,
        fingerprint=fingerprint,
        models=[f"{short(str(model['name']))}@{model.get('revision', '')}" for model in recipe.models.values()],
        sampling=json.dumps(sampling) if sampling else None,
        started_at=datetime.now(UTC),
    )


def dead_letter(
    row: Row, stage: str, reason: str, detail: str, attempts: int, *, fingerprint: str, meter: Meter | None = None
) -> DeadLetter:
    """The record of a row that a stage gave up; `fingerprint` is the one it should have got, `meter` has counted what
    that stage asked, if anything did."""
    spent = row.stages if meter is None else [*row.stages, meter.record]
    text = None if meter is None else meter.text
    return DeadLetter(
        id=row.row_id,
        row_id=row.row_id,
        seed_ids=[seed.id for seed in row.seeds],
        sample=row.sample,
        source=row.seeds[0].source,
        line=row.seeds[0].line,
        stage=stage,
        reason=reason,
        detail=redact(detail[: 4 * _LONGEST_DETAIL])[:_LONGEST_DETAIL],
        attempts=attempts,
        fingerprint=fingerprint,
        failed_at=datetime.now(UTC),
        calls=sum(record.calls for record in spent),
        prompt_tokens=sum(record.prompt_tokens for record in spent),
        cached_tokens=sum(record.cached_tokens for record in spent),
        completion_tokens=sum(record.completion_tokens for record in spent),
        text=None if text is None else redact(text[:_LONGEST_TEXT]),
    )
