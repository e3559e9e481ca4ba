"""Results for coroutines, from the threads that work for them. Limitations: results are set, progress is not told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TypeVar

Result = TypeVar("Result")


def settle(*results: tuple[asyncio.Future[Result], Result | Exception]) -> None:
    """Give coroutines their results or exceptions, from any thread: all that are there at once, since each call wakes
    their event loop."""
    for loop in {future.get_loop() for future, _ in results}:
        # The loop is closed when the caller has gone, and nobody waits for the answer.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_set, [result for result in results if result[0].get_loop() is loop])


def _set(results: Sequence[tuple[asyncio.Future[Result], Result | Exception]]) -> None:
    for future, result in results:
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
