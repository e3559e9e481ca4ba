"""Micro-batching: what many coroutines ask of one model, answered by one thread in batches.

The thread takes whatever has queued while it worked, so batches grow with the load and a lone caller never waits for
company. Limitations: fairness beyond first come, first served.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from factory.base.futures import settle
from factory.engines import EngineDeadError

Item = TypeVar("Item")
Answer = TypeVar("Answer")
_Call = tuple[Sequence[Item], "asyncio.Future[list[Answer]]"]


class Batcher(Generic[Item, Answer]):
    """Answers items with `work`, which runs in a thread of its own on up to about `limit` items of several callers.

    `work` answers in the order of its items; what it raises, every caller in its batch gets, and EngineDeadError where
    the worker is to blame.
    """

    def __init__(self, work: Callable[[list[Item]], Sequence[Answer]], limit: int) -> None:
        self._work = work
        self._limit = limit
        self._inbox: queue.SimpleQueue[_Call[Item, Answer] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    async def ask(self, items: Sequence[Item]) -> list[Answer]:
        """The answers to these items, in their order."""
        if not items:
            return []
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._inbox.put((items, future))
        return await future

    def close(self) -> None:
        """Answer what is queued and end the thread. Nobody may ask afterwards."""
        self._inbox.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (call := self._inbox.get()) is not None:
            calls = [call]
            while sum(len(items) for items, _ in calls) < self._limit and not self._inbox.empty():
                if (call := self._inbox.get()) is None:
                    self._answer(calls)
                    return
                calls.append(call)
            self._answer(calls)

    def _answer(self, calls: list[_Call[Item, Answer]]) -> None:
        try:
            answers = self._work([item for items, _ in calls for item in items])
        except Exception as error:  # belongs to the callers, whatever it is; the thread lives on
            told = EngineDeadError(f"{type(error).__name__}: {error}") if of_the_worker(error) else error
            settle(*((future, told) for _, future in calls))
            return
        left = iter(answers)
        settle(*((future, list(itertools.islice(left, len(items)))) for items, future in calls))


def of_the_worker(error: Exception) -> bool:
    """Whether the process, or its GPU, has no room left or is broken: a matter of the worker, not of what it was asked.
    After such an error of CUDA's the process can use the GPU no more."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ in ("OutOfMemoryError", "AcceleratorError")  # torch's, which this file does not import
        or any(words in str(error) for words in ("can't allocate memory", "CUDA error", "cuDNN error"))
    )
