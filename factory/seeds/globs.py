"""Globs as they are on a local disk, for places that list their files but match none: stores and archives."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase


def split_glob(path: str, exists: Callable[[str], bool]) -> tuple[str, str]:
    """The folder before the first part that is a glob (empty, or with a slash at its end), and the rest. A part that
    exists as it is written is none."""
    parts = path.split("/")
    for number, part in enumerate(parts):
        if glob.has_magic(part) and not exists("/".join(parts[: number + 1])):
            break
    else:
        number = len(parts) - 1
    return "".join(f"{part}/" for part in parts[:number]), "/".join(parts[number:])


def matches(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether a path's parts match those of a glob, as on a local disk: `**` stands for any number of folders, and a
    leading dot is matched by a dot only."""
    if not patterns:
        return not names
    if patterns[0] == "**":
        seen = next((number for number, name in enumerate(names) if name.startswith(".")), len(names))
        return any(matches(names[start:], patterns[1:]) for start in range(seen + 1))
    if not names or (names[0].startswith(".") and not patterns[0].startswith(".")):
        return False
    return fnmatchcase(names[0], patterns[0]) and matches(names[1:], patterns[1:])
