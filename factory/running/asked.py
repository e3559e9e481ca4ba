"""The language model of one score, opened in this process, for what asks it apart from a run.

Limitations: a model that vLLM runs is loaded anew for each command; several questions to one need one command.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from factory.base.redact import redact
from factory.engines import EngineDeadError, EngineStartError, Health, ServerError
from factory.methods import Kit
from factory.methods.judging.fitness.running import Opinion
from factory.running.models import Models
from factory.running.pool import RunError
from factory.spec.identity import Entry, entries
from factory.spec.job import Job


def opinion_of(job: Job, score: str | None) -> Entry:
    """The score of a job whose model gives opinions, by its name if there are several. Raises RunError."""
    found = {name: entry for name, entry in entries(job).items() if isinstance(entry.method, Opinion)}
    if score is None and len(found) == 1:
        return next(iter(found.values()))
    if score in found:
        return found[score]
    if not found:
        raise RunError("the job has no score that asks a language model for its opinion")
    names = ", ".join(found)
    if score is None:
        raise RunError(f"the job has several such scores; name one of them with --score: {names}")
    raise RunError(f"{score} is no score that asks a language model for its opinion; these are: {names}")


@asynccontextmanager
async def opened(job: Job, entry: Entry) -> AsyncIterator[Kit]:
    """What the score asks. Raises RunError where its model cannot be opened or is lost; and MissingPackageError."""
    models = Models(job, {entry.name: entry}, Health(), lambda *_: None)
    try:
        for name in entry.models.values():
            await models.open(name)
        yield models.kit(entry)
    except (EngineStartError, EngineDeadError, ServerError) as error:
        raise RunError(redact(str(error))) from error
    finally:
        await models.close()
