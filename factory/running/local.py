"""A Ray for one run, on this machine only.

Its sockets, logs and token are in a private folder, which is deleted at the end unless an error message points to the
logs. Where Ray has no option, its own modules are changed, and only while it starts. Limitations: no dashboard.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from ray._private import ray_constants, utils
from ray._private.node import Node

from factory.running.pool import RunError

_UNUSED = ("start_api_server", "start_monitor", "start_log_monitor")
"""Processes of a local Ray that no run needs: its web server (which it starts and waits for even without a dashboard),
its autoscaler, and the one that sends the workers' output to the driver. With them Ray takes twice as long to start and
to stop."""

_SOCKET = "/ray-12345678/r/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_LONGEST = (103 if sys.platform == "darwin" else 107) - len(_SOCKET)
"""Bytes that the path of a folder for Ray may have: the kernel takes no longer path for a socket."""

_TOKEN = "token"  # noqa: S105 -- the name of the file

_HOMELESS = ("HF_MODULES_CACHE", "MPLCONFIGDIR")
"""Folders that packages make in the user's home, and fail or complain where it cannot be written."""


@contextmanager
def private_folder() -> Iterator[Path]:
    """A new folder with a short path that nobody else may read. It is kept if an error points to the logs in it."""
    folder = _new_folder()
    kept = False
    try:
        yield folder
    except RunError as error:
        kept = str(folder) in str(error)
        raise
    finally:
        if kept:
            (folder / _TOKEN).unlink(missing_ok=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)  # a worker that is ending may still write there


def _new_folder() -> Path:
    for place in (os.environ.get("RAY_TMPDIR"), os.environ.get("TMPDIR"), "/tmp"):  # noqa: S108 -- mkdtemp's is private
        if place and len(os.fsencode(os.path.abspath(place))) <= _LONGEST:
            with suppress(OSError):
                return Path(tempfile.mkdtemp(prefix="ray-", dir=os.path.abspath(place)))
    raise RunError(
        f"Ray needs a writable folder with a path of at most {_LONGEST} bytes, for its sockets; neither "
        "RAY_TMPDIR nor TMPDIR names one, and /tmp is none: set RAY_TMPDIR"
    )


def surroundings(folder: Path) -> dict[str, str | None]:
    """The environment of a local Ray. Others on this machine can reach its ports too: its token keeps them out, and it
    is not the one in the user's home, where later commands would find it and ask for it."""
    token = folder / _TOKEN
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32), encoding="ascii")
    home = str(Path(__file__).parents[2])
    paths = [] if home in sys.path else [home]  # else no worker finds what `python -m factory` finds in a clone
    homeless = () if os.access(os.path.expanduser("~"), os.W_OK) else _HOMELESS
    return {
        **{name: os.environ.get(name, str(folder)) for name in homeless},
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": None,  # it would come before the file
        "RAY_AUTH_TOKEN_PATH": str(token),
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0",
        "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])]) or None,
        "PYTHONSAFEPATH": "1",  # for all processes of Ray and below: see _Job
        "VLLM_RPC_BASE_PATH": os.environ.get("VLLM_RPC_BASE_PATH", str(folder)),  # sockets again
    }


@contextmanager
def alone() -> Iterator[None]:
    """Make Ray bind to loopback only, and start only what a run on one machine needs. Ray replaces 127.0.0.1 by the
    machine's own address unless clusters are switched off, as they are by default on desktop systems. Under `uv run` it
    would send the working directory to the workers, which are on this machine."""
    in_own_session = partial(_in_a_session_of_its_own, utils.set_kill_on_parent_death_linux)
    ours: list[tuple[Any, str, Any]] = [
        (ray_constants, "ENABLE_RAY_CLUSTER", False),
        (ray_constants, "RAY_ENABLE_UV_RUN_RUNTIME_ENV", False),
        (utils, "set_kill_on_parent_death_linux", in_own_session),
        *((Node, name, lambda *_, **__: None) for name in _UNUSED),
    ]
    before = [getattr(owner, name) for owner, name, _ in ours]
    for owner, name, value in ours:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for (owner, name, _), value in zip(ours, before, strict=True):
            setattr(owner, name, value)


def _in_a_session_of_its_own(die_with_parent: Callable[[], None]) -> None:
    """For a process of Ray, before it begins: a closed terminal, Ctrl-C and `timeout` signal a group of processes, and
    the driver can finish what is in progress only with Ray alive."""
    os.setsid()
    die_with_parent()
