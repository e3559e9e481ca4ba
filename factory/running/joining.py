"""The Ray cluster to join: which one it is, and whether it can be joined, found out before Ray tries.

Ray waits for a cluster that is gone for minutes, and warns all the while. So its port is tried first, then the cluster
is asked for its versions and nodes, with this machine's token if it wants one; whatever is wrong is said in one line.
Limitations: a driver needs a node of the cluster on its machine, as Ray's own do; Ray client addresses (ray://) are
refused.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import ray
from ray._common.usage.usage_lib import get_cluster_metadata
from ray._common.utils import get_ray_address_file
from ray._private import services
from ray._private.utils import check_version_info
from ray.core.generated.gcs_pb2 import GcsNodeInfo
from ray.exceptions import AuthenticationError, RayError

from factory.running.pool import RunError

_CONNECT_S = 10.0
_ANSWER_S = 20.0

_TOKEN = "put its token in ~/.ray/auth_token, in a file that RAY_AUTH_TOKEN_PATH names, or in RAY_AUTH_TOKEN"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Address:
    """A head node's address, where it was named, and what to do if it cannot be used."""

    host: str
    port: int
    source: str
    remedy: str

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def cluster(self) -> str:
        """The cluster, as messages name it."""
        return f"the Ray cluster at {self} (from {self.source})"


def find_cluster(named: str | None) -> Address | None:
    """The head node that is named; for `auto`, that of the last `ray start` on this machine. None for `local` and
    without a name. Raises RunError."""
    if not named or named == "local":
        return None
    source = "RAY_ADDRESS" if named == os.environ.get("RAY_ADDRESS") else "--address"
    remedy = f"correct {source}, or do without it, and the run starts its own Ray"
    if named == "auto":
        file = get_ray_address_file(None)
        found = services.find_bootstrap_address(None)
        if not found:
            raise RunError(f"{source} is auto, but no `ray start` has left its address in {file}; {remedy}")
        named, source = found, f"{file}, where {source} auto finds it"
    if "://" in named:
        raise RunError(
            f"{source} is {named}: a run cannot join a cluster by the address of its Ray client server (ray://) or job "
            "server (http://); give HOST:PORT of its head node, or start it as a job: ray job submit -- factory run JOB"
        )
    host, _, port = named.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise RunError(f"{source} is {named}: the address of a head node is HOST:PORT, such as 10.0.0.1:6379")
    return Address(host.strip("[]"), int(port), source, remedy)


def check_cluster(address: Address) -> dict[str, str | None]:
    """The environment in which Ray can join the cluster. Raises RunError, with what is wrong, within a minute."""
    try:
        socket.create_connection((address.host, address.port), _CONNECT_S).close()
    except OSError as error:
        raise RunError(f"{address.cluster} cannot be reached: {error}; {address.remedy}") from error
    mode = os.environ.get("RAY_AUTH_MODE")
    own = _has_token(address)
    if ray._raylet.get_authentication_mode() == ray._raylet.AuthenticationMode.TOKEN and not own:
        raise RunError(f"RAY_AUTH_MODE is token, but there is none for {address.cluster}; {_TOKEN}")
    try:
        _ask(address)
    except AuthenticationError as error:
        if not own or mode is not None:
            why = f"RAY_AUTH_MODE is {mode}, and the token here is not the one" if own else "there is none here"
            raise RunError(f"{address.cluster} asks for a token, but {why}; {_TOKEN}") from error
    else:
        return {}
    with_token: dict[str, str | None] = {"RAY_AUTH_MODE": "token"}
    with environment(with_token):
        try:
            _ask(address)
        except AuthenticationError as error:
            raise RunError(f"{address.cluster} refuses the token of this machine; {_TOKEN}") from error
    return with_token


def _has_token(address: Address) -> bool:
    try:
        return bool(ray._raylet.AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True))
    except AuthenticationError as error:
        path = os.environ.get("RAY_AUTH_TOKEN_PATH")
        raise RunError(f"there is no token for {address.cluster} in {path}; correct RAY_AUTH_TOKEN_PATH") from error


def _ask(address: Address) -> None:
    """Raises AuthenticationError if the cluster wants a token or another one, else RunError."""
    try:
        with _silent():
            client = ray._raylet.GcsClient(address=str(address))
            versions = get_cluster_metadata(client)
            nodes = client.get_all_node_info(timeout=_ANSWER_S, state_filter=GcsNodeInfo.GcsNodeState.ALIVE)
    except AuthenticationError:
        raise
    except RayError as error:
        said = " ".join(str(error).split())
        raise RunError(f"{address.cluster} does not answer as a head node does ({said}); {address.remedy}") from error
    if versions:
        try:
            check_version_info(versions, "this machine")
        except RuntimeError as error:
            raise RunError(
                f"{address.cluster} has Ray {versions['ray_version']} on Python {versions['python_version']}, but here "
                f"is Ray {ray.__version__} on Python {platform.python_version()}; they must be the same"
            ) from error
    if not services.find_node_ids() & {node.hex() for node in nodes}:
        raise RunError(
            f"{address.cluster} has no node on this machine, and a driver needs one: make it one with ray start "
            f"--address={address}, or start the run as a job: ray job submit -- factory run JOB"
        )


@contextmanager
def _silent() -> Iterator[None]:
    """Keep warnings of Ray's native code off the terminal: what matters is raised as an error."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


@contextmanager
def environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Set variables, or unset those that are none, for this process, for Ray in it, and for what it starts."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    ray._raylet.Config.initialize("")  # Ray caches what it has read, the token too
    ray._raylet.AuthenticationTokenLoader.instance().reset_cache()
