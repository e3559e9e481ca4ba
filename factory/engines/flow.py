"""How many requests a server is asked at once: fewer as it refuses, more as it answers.

Additive increase and multiplicative decrease (Chiu and Jain, 1989), with TCP's slow start (RFC 5681): up to half of
what was too much the number grows with each answer, above it by one a round. Limitations: it starts at the most.
"""

from __future__ import annotations

import time
from asyncio import Condition
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager


class Flow:
    """At most `most` requests at once, and as many as the server bears. `sleep` waits out a pause, and says whether it
    did."""

    def __init__(self, most: int, sleep: Callable[[float], Awaitable[bool]]) -> None:
        self._most = float(most)
        self._limit = float(most)
        self._slow_above = float(most)
        self._under_way = 0
        self._paused_until = 0.0
        self._eased_at = 0.0
        self._news = True
        self._changed = Condition()
        self._sleep = sleep

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Room for one request, once there is some and no pause is on. Gives the time at which it is sent."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._under_way < int(self._limit))
            self._under_way += 1
        try:
            while (pause := self._paused_until - time.monotonic()) > 0 and await self._sleep(pause):
                pass
            yield time.monotonic()
        finally:
            self._under_way -= 1
            async with self._changed:
                self._changed.notify(max(1, int(self._limit) - self._under_way))

    def answered(self) -> None:
        """The server answered: it bears more."""
        self._news = True
        step = 1.0 if self._limit < self._slow_above else 1.0 / self._limit
        self._limit = min(self._most, self._limit + step)

    def refused(self, sent_at: float, pause_s: float) -> None:
        """The server had too much of what was sent at that time: half as much, and nothing for so many seconds. It is
        no news of what was sent before the last such word, nor where nothing was answered since: a server that is away
        bears no less than before once it is back."""
        self._paused_until = max(self._paused_until, time.monotonic() + pause_s)
        if self._news and sent_at >= self._eased_at:
            self._news = False
            self._eased_at = time.monotonic()
            self._slow_above = max(1.0, self._limit / 2)
            self._limit = self._slow_above
