"""Signals that stop a run: the first one is told to it, the second raises KeyboardInterrupt."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_ONE_HANGUP_S = 1.0
"""A terminal that closes may send SIGHUP several times: the kernel does, and so does the shell before it ends."""


@contextmanager
def heard() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Hear SIGINT, SIGTERM and SIGHUP: each raises KeyboardInterrupt, but the first one calls what is given instead,
    once something is. SIGHUP stays ignored where it is (nohup). Only the main thread gets signals; in another nothing
    changes."""
    first: list[Callable[[], None]] = []
    if threading.current_thread() is not threading.main_thread():
        yield first.append
        return
    first_at: float | None = None

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal first_at
        if first_at is None and first:
            first_at = time.monotonic()
            first[0]()
        elif first_at is None or number != signal.SIGHUP or time.monotonic() - first_at > _ONE_HANGUP_S:
            raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield first.append
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
