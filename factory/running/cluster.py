"""The Ray that a run works on: a cluster it joins, or one of its own on this machine, bound to loopback."""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import ray
from ray._private import utils
from ray.job_config import JobConfig

from factory.running.joining import check_cluster, environment, find_cluster
from factory.running.local import alone, private_folder, surroundings
from factory.running.pool import RunError
from factory.spec.job import Job, Workers
from factory.spec.phases import phases

_OBJECT_STORE_BYTES = 100 * 1024 * 1024
"""Of a local Ray: only tasks and their results pass through it, no rows."""


class _Job(JobConfig):  # type: ignore[misc]
    """A job whose workers import nothing from the folder that the run was started in, where anybody's `random.py` may
    lie: Ray would put it before Python's own modules."""

    def _runtime_env_has_working_dir(self) -> bool:
        return True


@contextmanager
def joined(job: Job | None, address: str | None) -> Iterator[None]:
    """Join the cluster at `address` (HOST:PORT, or `auto`), or start Ray on this machine, bound to loopback, with room
    for the workers of a job, if it is for one; an existing connection is used as it is. Raises RunError."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # the driver is told of a run's errors anyway
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)  # it announces that tokens are in use
    cluster = find_cluster(address)
    if cluster is None:
        with _local([(phase.workers, job.workers(phase.workers)) for phase in phases(job)] if job else []):
            yield
        return
    with (
        environment(check_cluster(cluster)),
        _connected(f"{cluster.cluster} cannot be joined", nullcontext(), address=str(cluster)),
    ):
        yield


@contextmanager
def _local(pools: Sequence[tuple[str, Workers]]) -> Iterator[None]:
    """Ray on this machine, in a folder of its own."""
    with private_folder() as folder, environment(surroundings(folder)):
        start = _connected(
            "Ray cannot start on this machine",
            alone(),
            address="local",
            num_cpus=max(os.cpu_count() or 1, math.ceil(sum(pool.cpus * pool.min for _, pool in pools))),
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=False,
            # Ray starts workers at niceness 15: whatever else runs on the machine would starve the engine.
            _system_config={"worker_niceness": 0},
            _temp_dir=str(folder / "r"),  # Ray makes it readable to all; the folder around it is private
        )
        with start:
            _refuse_what_never_fits(pools)
            yield


@contextmanager
def _connected(failure: str, start: AbstractContextManager[None], **options: Any) -> Iterator[None]:
    try:
        try:
            with start, _sigterm_kept():
                told = logging.getLogger("factory").isEnabledFor(logging.INFO)
                level = "info" if told else "warning"
                ray.init(job_config=_Job(), log_to_driver=told, logging_level=level, **options)
        except Exception as error:  # Ray raises bare exceptions when a process of its own does not come up
            raise RunError(f"{failure}: {' '.join(str(error).split())}") from error
        yield
    finally:
        ray.shutdown()


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Keep the process's own handler of SIGTERM: Ray installs others, in Python and in C++, that end the process."""
    handler, ours = signal.getsignal(signal.SIGTERM), utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda _: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = ours
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _refuse_what_never_fits(pools: Sequence[tuple[str, Workers]]) -> None:
    here = ray.cluster_resources().get("GPU", 0)
    for name, pool in pools:
        if pool.gpus > here:
            raise RunError(
                f"a worker reserves {pool.gpus:g} GPUs (run.workers.{name}.gpus), but this machine has {here:g}; "
                "lower it, or join a cluster that has them with --address"
            )
