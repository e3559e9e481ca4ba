"""The Ray that a run works on: a cluster it joins, or one of its own on this machine, bound to loopback.

What Ray has no option for is done to its own modules, and only while it starts. Gives up: the dashboard of a local Ray.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import ray
from ray._private import ray_constants
from ray._private.node import Node

from factory.job import Job, Workers
from factory.pool import RunError

_OBJECT_STORE_BYTES = 100 * 1024 * 1024
"""Of a local Ray: only specs and receipts pass through it."""

_UNUSED = ("start_api_server", "start_monitor", "start_log_monitor")
"""Processes of a local Ray that no run asks: its web server (which it starts without a dashboard too, and waits for),
its autoscaler, and what sends the driver the workers' output. They would double the start and the end of Ray."""


@contextmanager
def joined(job: Job, address: str | None) -> Iterator[None]:
    """Join the cluster, or start Ray on this machine, bound to loopback; a connection that stands is used as it is.
    Raises RunError."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)  # it announces that tokens are in use
    pools = (job.run.generate, job.run.verify)
    local = {
        "num_cpus": max(os.cpu_count() or 1, math.ceil(sum(pool.cpus * pool.min for pool in pools))),
        "object_store_memory": _OBJECT_STORE_BYTES,
        "include_dashboard": False,
        # Ray starts workers at niceness 15: whatever else runs on the machine would starve the engine.
        "_system_config": {"worker_niceness": 0},
    }
    alone = nullcontext() if address else _alone()
    try:
        with alone:
            ray.init(
                address=address or "local", log_to_driver=False, logging_level="warning", **({} if address else local)
            )
    except Exception as error:  # Ray raises bare exceptions when a process of its own does not come up
        where = f"the Ray cluster at {address} cannot be joined" if address else "Ray cannot start on this machine"
        raise RunError(f"{where}: {error}") from error
    try:
        if not address:
            _refuse_what_never_fits(pools)
        yield
    finally:
        ray.shutdown()


def _refuse_what_never_fits(pools: Sequence[Workers]) -> None:
    here, wanted = ray.cluster_resources().get("GPU", 0), max(pool.gpus for pool in pools)
    if wanted > here:
        raise RunError(
            f"a worker reserves {wanted:g} GPUs (run.generate.gpus, run.verify.gpus), but this machine has {here:g}; "
            "lower it, or join a cluster that has them with --address"
        )


@contextmanager
def _alone() -> Iterator[None]:
    """Make Ray bind to loopback alone, and start only what a run on one machine needs. It turns 127.0.0.1 into the
    machine's own address wherever it can be given one, except where clusters are switched off, as it does by itself on
    desktop systems."""
    switch = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    ours: list[tuple[Any, str, Any]] = [(ray_constants, "ENABLE_RAY_CLUSTER", False)]
    ours += [(Node, name, lambda *_, **__: None) for name in _UNUSED]
    before = [getattr(owner, name) for owner, name, _ in ours], os.environ.get(switch)
    for owner, name, value in ours:
        setattr(owner, name, value)
    os.environ[switch] = "0"
    try:
        yield
    finally:
        for (owner, name, _), value in zip(ours, before[0], strict=True):
            setattr(owner, name, value)
        if before[1] is None:
            del os.environ[switch]
        else:
            os.environ[switch] = before[1]
