from __future__ import annotations

import asyncio

from factory.engines.flow import Flow


async def waited(_: float) -> bool:
    return True


async def under_way(flow: Flow, asked: int) -> int:
    """How many of so many requests that never end are let through."""
    let_through = 0

    async def one() -> None:
        nonlocal let_through
        async with flow.slot():
            let_through += 1
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(one()) for _ in range(asked)]
    for _ in range(20):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return let_through


def test_a_word_halves_what_is_under_way_once_a_round() -> None:
    async def work() -> list[int]:
        flow, seen = Flow(16, waited), []
        async with flow.slot() as sent_at:
            seen.append(await under_way(flow, 40))
            flow.refused(sent_at, 0)
            flow.refused(sent_at, 0)  # of the same round
        seen.append(await under_way(flow, 40))
        async with flow.slot() as sent_at:
            flow.refused(sent_at, 0)  # nothing was answered since
        seen.append(await under_way(flow, 40))
        flow.answered()
        async with flow.slot() as sent_at:
            flow.refused(sent_at, 0)
        seen.append(await under_way(flow, 40))
        return seen

    assert asyncio.run(work()) == [15, 8, 8, 4]


def test_answers_bring_it_back_to_the_most_and_no_further() -> None:
    async def work() -> tuple[int, int]:
        flow = Flow(8, waited)
        for _ in range(5):
            flow.answered()
            async with flow.slot() as sent_at:
                flow.refused(sent_at, 0)
        low = await under_way(flow, 40)
        for _ in range(100):
            flow.answered()
        return low, await under_way(flow, 40)

    assert asyncio.run(work()) == (1, 8)


def test_nothing_is_sent_within_a_pause() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> bool:
        pauses.append(seconds)
        return False  # cut short

    async def work() -> None:
        flow = Flow(8, sleep)
        flow.refused(0, 30)
        async with flow.slot():
            pass

    asyncio.run(work())
    assert 29 < pauses[0] <= 30
    assert len(pauses) == 1
