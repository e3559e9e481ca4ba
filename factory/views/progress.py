"""How far something is: bars on a terminal, plain lines every ten seconds elsewhere; always on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Self

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from factory.running.progress import Progress
from factory.views.display import counts, err, lost

_LINE_EVERY_S = 10.0


class ProgressView:
    """Progress of a run: a bar on a terminal, else a plain line every ten seconds; always on standard error."""

    def __init__(self) -> None:
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=counts,
            transient=True,
        )
        self._task = self._bars.add_task("dialogues", total=None, note="")
        self._last_line = time.monotonic()
        self._told: set[str] = set()
        self._waiting = False

    def __enter__(self) -> Self:
        if counts.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bars.live.is_started:  # also where the terminal is one no more
            self._bars.stop()

    def __call__(self, progress: Progress) -> None:
        """Show how the run stands."""
        note = _note(progress)
        for told in progress.notes:
            if told not in self._told:
                err.print(escape(f"note: {told}"))
                self._told.add(told)
        if progress.waiting and not self._waiting:
            err.print(escape(f"waiting: {progress.waiting}"))
        elif self._waiting and not progress.waiting and progress.workers and not progress.stopping:
            err.print("the server answers again")
        self._waiting = progress.waiting is not None
        if counts.is_terminal:
            done = progress.committed + progress.failed
            # Each phase is an equal part of the way, so that the bar moves before the first commit.
            way = sum(rows for _, rows in progress.through) // max(len(progress.through), 1)
            self._bars.update(self._task, total=progress.planned, completed=max(done, way), note=note)
        elif time.monotonic() - self._last_line >= _LINE_EVERY_S:
            self._last_line = time.monotonic()
            through = "".join(f"{rows} through {name}, " for name, rows in progress.through)
            counts.print(
                escape(f"{through}{progress.committed} of {progress.planned} committed, {note}{_left(progress)}")
            )


def _note(progress: Progress) -> str:
    decided = progress.decisions.total()
    parts = [f"accepted {progress.decisions['accept'] / decided:.0%}"] if decided else []
    if progress.tokens:
        parts.append(f"{progress.tokens / progress.seconds:,.0f} tokens/s")
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.lost:
        parts.append(lost(progress))
    workers = f"{progress.workers} worker{'s' * (progress.workers > 1)}"
    parts.append(workers if progress.workers else "starting workers")
    if progress.waiting:
        parts.append("waiting for the model's server")
    if progress.stopping:
        parts.append("stopping: finishing the dialogues in progress (Ctrl-C again stops at once)")
    return ", ".join(parts)


def _left(progress: Progress) -> str:
    done = progress.committed + progress.failed
    if not done:
        return ""
    return f", about {progress.seconds / done * (progress.planned - done):.0f} s left"


class CountView:
    """How far a count without a known end is: a plain line every ten seconds on standard error."""

    def __init__(self) -> None:
        self._what = ""
        self._last_line = 0.0

    def __call__(self, what: str, count: int) -> None:
        """Show it."""
        if what != self._what:
            self._what, self._last_line = what, time.monotonic()
        if time.monotonic() - self._last_line >= _LINE_EVERY_S:
            self._last_line = time.monotonic()
            counts.print(f"{count:,} {what}")


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many of a total are done: a bar on a terminal, else a plain line every ten seconds."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bars = Bars(*columns, console=counts, transient=True)
    task, last = bars.add_task(what, total=total), time.monotonic()

    def report(done: int) -> None:
        nonlocal last
        bars.update(task, completed=done)
        if not counts.is_terminal and time.monotonic() - last >= _LINE_EVERY_S:
            last = time.monotonic()
            counts.print(f"{done} of {total} {what}")

    with bars if counts.is_terminal else nullcontext():
        yield report
