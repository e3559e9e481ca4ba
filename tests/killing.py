"""Deaths by order, for real: a process that comes to a named event kills itself with SIGKILL.

An order is a file, named after its event, that says how often a process may pass it. Whoever takes the order deletes it
before it dies, so that a death comes once. `python -m tests.killing run JOB` is `factory run JOB` under such orders,
and any other command likewise; `in_worker` is for Ray to call in each worker. The orders lie in the folder that the
environment names.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ray

from factory.cli import main
from factory.engines import Request, Sampling, vllm
from factory.running import models
from factory.running.run import _Driver
from factory.scorers.nli import Nli
from factory.store.storage import Storage
from factory.store.table import Table
from factory.views.progress import CountView

FOLDER, POISON = "TEST_DEATHS", "TEST_POISON"
RUNTIME = {"worker_process_setup_hook": "tests.killing.in_worker"}
_passed: Counter[str] = Counter()


def order(folder: Path, event: str, after: int = 0) -> None:
    """Order a death at the event, once it has been passed so often."""
    folder.mkdir(exist_ok=True)
    (folder / event).write_text(str(after))


def reach(event: str) -> None:
    """Come to an event."""
    path = Path(os.environ[FOLDER]) / event
    try:
        if _passed[event] < int(path.read_text()):
            _passed[event] += 1
            return
        path.unlink()
    except FileNotFoundError:  # nobody ordered it, or somebody else has just died of it
        return
    os.kill(os.getpid(), signal.SIGKILL)


def in_worker() -> None:
    """Make what a worker does events: `generate` and `score` before each call of a model, `staged` and `merged` after
    each file; of threads, `part` and `seeds`, after each file and before its note."""
    _before(models.Counted, "generate", lambda _: "generate")
    _before(Nli, "score", lambda _: "score")
    _after(Storage, "write_arrow", lambda _: "staged")
    _after(Storage, "write_parquet", lambda _: "merged")
    _after(
        Storage,
        "write_bytes",
        lambda args: {"part": "part", "parquet": "seeds"}.get(args[1].rpartition(".")[2], "wrote"),
    )
    if POISON in os.environ:
        _make_poisonous(os.environ[POISON])


def _make_poisonous(word: str) -> None:
    """Have vLLM's CPU engine die of requests with this word: it does of a request with a seed of its own that is
    prefilled in two chunks, and so the factory lets neither happen."""
    prompt, sampled = vllm.VllmEngine._prompt, vllm._sampled
    poisoned = False

    def read(self: vllm.VllmEngine, request: Request) -> list[int]:
        nonlocal poisoned
        poisoned = any(word in message["content"] for message in request.messages)
        return prompt(self, request)

    def seeded(sampling: Sampling) -> str:
        return json.dumps(json.loads(sampled(sampling)) | ({"seed": 1} if poisoned else {}))

    vllm.VllmEngine._prompt, vllm._sampled = read, seeded
    vllm._MAIN = CHUNKED


CHUNKED = """
import os, sys

os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
import vllm
from factory.engines.vllm_process import main

class Chunked(vllm.EngineArgs):
    def __init__(self, **options):
        super().__init__(**options | {"enable_chunked_prefill": True, "max_num_batched_tokens": 32})

vllm.EngineArgs = Chunked
main(int(sys.argv[1]), int(sys.argv[2]))
"""


def in_driver() -> None:
    """Make what a driver does events: `generating` once rows come out, `result`, `commit_letters`, `commit_rows`,
    `committed`, `swept`, `deleted`; of threads, `bytes read` and `seeds written`, after each file and each bucket."""
    _before(_Driver, "_advance", lambda _: "result")
    _before(Table, "commit", lambda args: "commit_letters" if args[0].root.endswith("_dead_letters") else "commit_rows")
    _after(Table, "commit", lambda args: "committed")
    _after(Storage, "delete", lambda _: "deleted")
    _after(_Driver, "_sweep", lambda _: "swept")
    _after(CountView, "__call__", lambda args: args[1])
    _after(_Driver, "_show", lambda args: "generating" if dict(args[0]._progress.through).get("writer") else "waiting")


def _before(owner: type, name: str, event: Callable[[Any], str]) -> None:
    method = getattr(owner, name)

    def dying(*args: Any, **options: Any) -> Any:
        reach(event(args))
        return method(*args, **options)

    setattr(owner, name, dying)


def _after(owner: type, name: str, event: Callable[[Any], str]) -> None:
    method = getattr(owner, name)

    def dying(*args: Any, **options: Any) -> Any:
        result = method(*args, **options)
        reach(event(args))
        return result

    setattr(owner, name, dying)


def _workers_too() -> None:
    """Have the workers of a cluster that the driver joins obey the orders too."""
    environment = {FOLDER: os.environ[FOLDER], "PYTHONPATH": str(Path(__file__).parents[1])}
    ray.init = partial(ray.init, runtime_env=RUNTIME | {"env_vars": environment})


if __name__ == "__main__":
    in_driver()
    _workers_too()
    sys.argv[0] = "factory"
    main()
