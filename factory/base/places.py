"""Names of places: a local path or the URI of an object store, as each library has to be told of it.

What follows the bucket in a URI is the key as it is, character by character, as the AWS command line takes it: nothing
in it is an escape, a query or a pattern. Limitations: a key with a control character, an empty part, `.` or `..` is
refused; so is, for a corpus, one with `#`, `?`, `:` or an escape such as `%20`, which the Delta client cannot do.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNREACHED = re.compile(r"%[0-9A-Fa-f]{2}|[#?:]")
"""What the Delta client reads as something else in a key, or finds no versions under."""
_UNESCAPED = "/!$&'()*+,:;=@~"
"""What no client of a URL escapes, besides letters, digits and `-._`."""


def is_uri(place: str) -> bool:
    """Whether it is the address of an object store rather than a local path."""
    return "://" in place


def absolute(place: str, base: str | Path = ".") -> str:
    """The place as a process that works elsewhere must be told of it: a URI as it is; of a path (a file:// URI too),
    what it leads to from `base`, or from a home where it begins with `~`. Raises ValueError for what is no name."""
    if place.startswith("file://"):
        parts = urlsplit(place)
        if parts.netloc not in ("", "localhost"):
            raise ValueError(f"{place} names the host {parts.netloc}; a file on this machine is file:///PATH")
        place = url2pathname(parts.path)
    if not is_uri(place):
        return str(Path(base, os.path.expanduser(place)).resolve())
    store, key = parts_of(place)
    return f"{store}/{key}" if key else store


def plain(place: str) -> bool:
    """Whether no character of an absolute place has to be escaped in a URL: such a one every library reads."""
    return quote(place, safe=_UNESCAPED) == place


def refusal(place: str, *, of_table: bool = False) -> str | None:
    """Why an absolute place cannot be used, if so: `of_table` as that of a Delta table."""
    if place.encode(errors="replace").decode() != place:
        return "the name is not UTF-8; rename the folder"
    if not is_uri(place):
        return None
    store, key = parts_of(place)
    unreached = _UNREACHED.search(key) if of_table else None
    if store.endswith("://") or _CONTROL.search(place) or {"", ".", ".."} & set((key or "-").split("/")):
        return (
            "an address has a bucket, and in its key no control character and no part that is empty, . or ..; use a "
            "path or an s3://, gs:// or abfs:// URI"
        )
    if unreached:
        return (
            f"the Delta client reaches no key with {unreached[0]} in it; give the corpus another (a blank is written "
            "as a blank: nothing in an address is an escape)"
        )
    return None


def printable(place: str) -> str:
    """The place as any terminal shows it, were it no UTF-8."""
    return place.encode(errors="backslashreplace").decode()


def parts_of(uri: str) -> tuple[str, str]:
    """Store (s3://bucket) and key of the address of an object."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key.rstrip("/")


def escaped(place: str) -> str:
    """The URI of a place in an object store, for clients that read one as a URL."""
    store, key = parts_of(place)
    return f"{store}/{quote(key, safe=_UNESCAPED)}" if key else store


def in_shell(place: str) -> str:
    """The place as an argument of a command line."""
    return shlex.quote(f"./{place}" if place.startswith("-") else place)


class Alias:
    """A folder with a plain name that holds links, by name, for libraries that escape, unescape or expand the names of
    folders. It is there until `close`, or as long as this object. Raises OSError."""

    def __init__(self, links: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="alias-", ignore_cleanup_errors=True)
        self.path = str(Path(self._folder.name).resolve())
        if not plain(self.path) or glob.escape(self.path) != self.path:
            raise OSError(
                f"the folder for temporary files, {tempfile.gettempdir()}, needs a name without blanks and special "
                "characters; name another one in the environment variable TMPDIR"
            )
        for name, target in links.items():
            Path(self.path, name).symlink_to(target)

    def close(self) -> None:
        """Take the folder away."""
        self._folder.cleanup()
