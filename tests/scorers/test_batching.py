from __future__ import annotations

import asyncio
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from factory.engines import EngineDeadError
from factory.scorers.batching import Batcher


@given(st.lists(st.lists(st.integers(), max_size=6), max_size=20), st.integers(1, 10))
def test_every_caller_gets_its_own_answers_in_order(asked: list[list[int]], limit: int) -> None:
    batcher = Batcher[int, int](lambda items: [-item for item in items], limit)

    async def ask() -> list[list[int]]:
        return list(await asyncio.gather(*(batcher.ask(items) for items in asked)))

    try:
        assert asyncio.run(ask()) == [[-item for item in items] for items in asked]
    finally:
        batcher.close()


def test_what_queues_while_it_works_is_one_batch() -> None:
    batches: list[int] = []
    queued = threading.Event()

    def work(items: list[int]) -> list[int]:
        batches.append(len(items))
        queued.wait(10)
        return items

    batcher = Batcher[int, int](work, 1000)

    async def ask() -> None:
        first = asyncio.create_task(batcher.ask([0]))
        while not batches:
            await asyncio.sleep(0)
        others = [asyncio.create_task(batcher.ask([n])) for n in range(1, 50)]
        await asyncio.sleep(0)
        queued.set()
        await asyncio.gather(first, *others)

    asyncio.run(ask())
    batcher.close()
    assert batches == [1, 49]


def test_an_error_is_its_callers_and_the_next_call_is_answered() -> None:
    def work(items: list[int]) -> list[float]:
        return [1 / item for item in items]

    batcher = Batcher[int, float](work, 10)

    async def ask() -> list[float]:
        with pytest.raises(ZeroDivisionError):
            await batcher.ask([0])
        return await batcher.ask([2])

    assert asyncio.run(ask()) == [0.5]
    batcher.close()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no room"),
        torch.OutOfMemoryError("CUDA out of memory"),
        torch.AcceleratorError("an illegal memory access was encountered", 700),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_a_lack_of_memory_or_a_broken_gpu_is_the_workers(error: Exception) -> None:
    def work(items: list[int]) -> list[int]:
        raise error

    batcher = Batcher[int, int](work, 10)
    with pytest.raises(EngineDeadError, match=f"^{type(error).__name__}: "):
        asyncio.run(batcher.ask([1]))
    batcher.close()


def test_close_answers_what_is_queued() -> None:
    batcher = Batcher[int, int](lambda items: items, 1)

    async def ask() -> list[list[int]]:
        tasks = [asyncio.create_task(batcher.ask([n])) for n in range(5)]
        await asyncio.sleep(0)
        await asyncio.to_thread(batcher.close)
        return list(await asyncio.gather(*tasks))

    assert asyncio.run(ask()) == [[0], [1], [2], [3], [4]]
