"""Ray's actors in this process, one call after another, and deaths at any step of the protocol.

What the driver and its pools see is Ray's: calls that are copied on their way, answers that come when they come,
actors that die with what they held. Limitations: nothing runs at the same time.
"""

from __future__ import annotations

import asyncio
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from ray.exceptions import GetTimeoutError, RayActorError

from factory.store.storage import Storage
from factory.store.table import Table


class Killed(BaseException):
    """The process is gone: nothing of it runs any more but what Python unwinds."""


@dataclass(frozen=True)
class Death:
    """A SIGKILL at a step: the n-th of the run (from 0), or the first whose name ends so. It takes the process that
    takes the step, or, if the step is a worker's and `all` is set, the driver with it."""

    step: int | str
    all: bool = True


@dataclass
class Steps:
    """The steps of a run so far, by name (`worker: before write _staging`), and the deaths that wait for it."""

    deaths: list[Death] = field(default_factory=list)
    at_step: Callable[[int, str], None] = lambda *_: None
    seen: list[str] = field(default_factory=list)
    died: list[str] = field(default_factory=list)
    all_die: bool = False
    whose: str = "driver"

    def reach(self, name: str) -> None:
        """Take a step, or die over it."""
        number, name = len(self.seen), f"{self.whose}: {name}"
        self.seen.append(name)
        self.at_step(number, name)
        for death in self.deaths:
            if death.step == number or (isinstance(death.step, str) and name.endswith(death.step)):
                self.deaths.remove(death)
                self.died.append(name)
                self.all_die = death.all
                raise Killed(name)

    @contextmanager
    def in_storage(self) -> Iterator[None]:
        """Make each write, each deletion and each commit a step before it and one after it, and a write one within."""
        with ExitStack() as stack:
            for owner, name in ((Storage, "write_bytes"), (Storage, "upload"), (Storage, "delete"), (Table, "commit")):
                stack.enter_context(patch.object(owner, name, self._stepping(getattr(owner, name), name)))
            yield

    def _stepping(self, method: Callable[..., Any], name: str) -> Callable[..., Any]:
        def stepped(this: Any, *args: Any, **options: Any) -> Any:
            what = _what(this, name, args)
            self.reach(f"before {what}")
            if name == "write_bytes":
                try:
                    self.reach(f"within {what}")
                except Killed:
                    _tear(this, *args)
                    raise
            result = method(this, *args, **options)
            self.reach(f"after {what}")
            return result

        return stepped


def _what(this: Any, name: str, args: tuple[Any, ...]) -> str:
    """`write _staging`, `delete _staging`, `commit rows`, `write letters`, ..."""
    root = this.root if isinstance(this, Table) else this._root
    whose = "letters" if root.endswith("_dead_letters") else "rows"
    if name == "commit":
        return f"commit {whose}"
    verb = "delete" if name == "delete" else "write"
    folder = str(args[1] if name == "upload" else args[0]).partition("/")[0]
    return f"{verb} {whose if folder == 'shards' else folder}"


def _tear(storage: Storage, path: str, content: bytes) -> None:
    """Leave what a process leaves that is killed while it writes."""
    if storage._local:
        target = Path(f"{storage._path(path)}.partial")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content[: len(content) // 2])


@dataclass(eq=False)
class _Ref:
    """A call on its way: done once there is a value or an error."""

    actor: _Actor
    method: str
    args: bytes
    done: bool = False
    value: Any = None
    error: BaseException | None = None


class _Actor:
    def __init__(self, local: LocalRay, instance: Any) -> None:
        self.local = local
        self.instance = instance
        self.refs: list[_Ref] = []
        local.actors.append(self)

    def __getattr__(self, method: str) -> Any:
        return _Remote(lambda *args: self.local.call(self, method, args))

    def die(self) -> None:
        self.local.actors.remove(self)
        for ref in self.refs:
            if not ref.done:
                ref.done, ref.error = True, RayActorError()


@dataclass
class _Remote:
    remote: Callable[..., Any]

    def options(self, **_: Any) -> _Remote:
        return self


class LocalRay:
    """Stands for the module `ray`. Of the calls that the driver waits for, `order` says which is answered first."""

    def __init__(self, steps: Steps, order: random.Random) -> None:
        self.actors: list[_Actor] = []
        self._steps = steps
        self._order = order
        self._loop = asyncio.new_event_loop()

    def is_initialized(self) -> bool:
        return True

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_temp_dir=lambda: "/tmp/ray")

    def remote(self, actor: type) -> _Remote:
        return _Remote(lambda *args: _Actor(self, actor(*pickle.loads(pickle.dumps(args)))))

    def call(self, actor: _Actor, method: str, args: tuple[Any, ...]) -> _Ref:
        ref = _Ref(actor, method, pickle.dumps(args))
        actor.refs.append(ref)
        if actor not in self.actors:
            ref.done, ref.error = True, RayActorError()
        elif method not in ("run", "merge", "opened"):
            self._answer(ref)
        return ref

    def wait(self, refs: Sequence[_Ref], *, num_returns: int = 1, timeout: float = 0) -> tuple[list[_Ref], list[_Ref]]:
        pending = [ref for ref in refs if not ref.done]
        if timeout and pending:
            self._answer(self._order.choice(pending))
        return [ref for ref in refs if ref.done], [ref for ref in refs if not ref.done]

    def get(self, ref: _Ref, *, timeout: float | None = None) -> Any:
        if ref.method == "opened" and ref.actor.instance._opened.is_set():
            return None
        if not ref.done:
            raise GetTimeoutError
        if ref.error is not None:
            raise ref.error
        return ref.value

    def kill(self, actor: _Actor) -> None:
        if actor in self.actors:
            actor.die()

    def close(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _answer(self, ref: _Ref) -> None:
        self._steps.whose = "worker"
        try:
            if ref.method in ("run", "merge"):
                self._steps.reach(f"before {ref.method}")
            method = getattr(ref.actor.instance, ref.method)
            value = self._loop.run_until_complete(method(*pickle.loads(ref.args)))
            ref.value = pickle.loads(pickle.dumps(value))
            if ref.method in ("run", "merge"):
                self._steps.reach(f"after {ref.method}")
            ref.done = True
        except Killed:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0))
            if self._steps.all_die:
                raise
            ref.actor.die()
        except Exception as error:
            ref.done, ref.error = True, error
        finally:
            self._steps.whose = "driver"
