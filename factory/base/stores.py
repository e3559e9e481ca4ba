"""Arrow's file systems, with one policy of time-outs and retries for all that reads or writes an object store.

Limitations: Azure's client has its own time-outs, which cannot be set.
"""

from __future__ import annotations

import pyarrow.fs as pafs

from factory.base.places import is_uri, parts_of

CONNECT_S = 5
ANSWER_S = 10
"""Seconds without a byte after which a server is asked again."""
RETRIES = 10
"""Times an S3 server is asked again, after pauses that double from 50 ms: 25 s of them in all. One that is silent is
given up after two to four minutes."""
RETRIES_S = 60
"""Seconds after which a request that fails again and again is given up, by clients that count time rather than
requests: Google's would look for credentials for 15 minutes."""


def filesystem(place: str) -> tuple[pafs.FileSystem, str]:
    """Arrow's file system of an absolute place, and what the place is called in it. Raises ArrowInvalid or OSError."""
    if not is_uri(place):
        return pafs.LocalFileSystem(), place
    store, key = parts_of(place)
    files, top = pafs.FileSystem.from_uri(
        f"{store}?retry_limit_seconds={RETRIES_S}" if store.startswith("gs://") else store
    )
    if isinstance(files, pafs.S3FileSystem):
        files = _patient(files)
    return files, "/".join(filter(None, (top.rstrip("/"), key)))


def _patient(files: pafs.S3FileSystem) -> pafs.S3FileSystem:
    """The same file system with time-outs and retries, which cannot be given in a URI. Arrow's own give up on an
    overloaded server after 6 s; those of its "standard" strategy run out when a client has seen enough of them."""
    _, (options,) = files.__reduce__()
    times = {"connect_timeout": CONNECT_S, "request_timeout": ANSWER_S}
    return pafs.S3FileSystem(**options | times, retry_strategy=pafs.AwsDefaultS3RetryStrategy(max_attempts=RETRIES))
