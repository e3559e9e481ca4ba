"""Files of seeds: which ones a path, folder, glob or address names.

Marks of a glob that stand in the name of a file or folder that exists are part of that name, on disks and in object
stores alike. Limitations: https:// has no listing, so each file there is named by itself; of a folder, the files
directly in it are taken.
"""

from __future__ import annotations

import glob
import io
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from factory.base.places import absolute
from factory.base.stores import filesystem

FileFormat = Literal["auto", "jsonl", "csv", "tsv", "parquet", "text", "spc", "convai2"]

_PICTURE = ".png"
_COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
_FORMATS: dict[str, FileFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".txt": "text",
    _PICTURE: "jsonl",  # the JSON of the character card in it
}
_STORES = ("s3", "gs")
_HINTS = {
    "s3": "check the address, and the AWS credentials and AWS_ENDPOINT_URL in the environment",
    "gs": "check the address, and GOOGLE_APPLICATION_CREDENTIALS in the environment",
    "": "check the path and its permissions",
}
_OTHER_FILES = {
    ".zip": "is a zip archive: unpack it and name the files in it",
    ".tar": "is a tar archive: unpack it and name the files in it",
    ".xlsx": "is an Excel file: save the sheet as CSV UTF-8",
    ".xls": "is an Excel file: save the sheet as CSV UTF-8",
    ".pdf": "is a PDF document: copy its text into a .txt file, one persona a line",
    ".arrow": "is an Arrow file: save it as Parquet",
}

_SETTLED_NS = 3_000_000_000
"""A file that changed less long ago might change again without its time showing it (object stores keep seconds)."""


class SourceError(Exception):
    """A source as a whole cannot be read; the message names it and says what to do."""


class BadRow(Exception):  # noqa: N818 - a value more often than it is raised
    """A row that is no seed: `reason` is a short stable code, `detail` is for people. `line` is set where it `ends` a
    file, of which the rest is lost with it."""

    def __init__(self, reason: str, detail: str, line: int = 1) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.line = line
        self.ends = False


@dataclass(frozen=True, slots=True)
class SeedFile:
    """One file of a source: where to open it and how to name it to the user (never with a URI's query, which may be a
    signature); `sniff` says that its first line may still show it to be of another format. `files` is the object store
    it is in, where its path is the `uri` without the scheme. One that is made and nowhere has a `recipe`, which changes
    with its content, and is `opened` by a function."""

    uri: str
    name: str
    format: FileFormat
    sniff: bool
    files: pafs.FileSystem | None = None
    recipe: str | None = None
    opened: Callable[[], io.RawIOBase] | None = None


def find_files(path: str, form: FileFormat, base: Path) -> list[SeedFile]:
    """The files of a path, folder, glob or address, sorted. Raises SourceError if there are none, they cannot be
    listed, or their format is unknown."""
    scheme, separator, rest = path.partition("://")
    if not separator:
        return _local_files(path, form, base)
    if scheme == "file":
        try:
            return _local_files(absolute(path), form, base)
        except ValueError as error:
            raise SourceError(str(error)) from error
    if "@" in rest.partition("/")[0]:
        raise SourceError(f"{scheme}://…: credentials do not belong in a path; set them in the environment")
    if scheme in _STORES:
        return _stored_files(scheme, rest, form)
    try:
        parts = urlsplit(path)
    except ValueError as error:
        raise SourceError(f"{path.partition('?')[0]}: no valid address: {error}") from error
    name = f"{scheme}://{parts.netloc}{parts.path}"
    if "*" in parts.path or (parts.path.endswith("/") and form == "auto"):
        raise SourceError(f"{name}: files behind {scheme}:// cannot be listed: name each file")
    return [_seed_file(path, name, form)]


def _local_files(path: str, form: FileFormat, base: Path) -> list[SeedFile]:
    named = path if os.path.lexists(base / path) else os.path.expanduser(path)
    where = named if os.path.isabs(named) else f"{path} (in {base})"
    if os.path.isfile(base / named):
        found = [named]
    elif os.path.isdir(base / named):
        entries = (name for name in os.listdir(base / named) if os.path.isfile(base / named / name))
        found = [os.path.join(named, name) for name in _of_folder(entries, form, where)]
    elif os.path.islink(base / named):
        target = os.readlink(base / named)
        do = "run `git annex get` on it" if "annex/objects" in target else "mend the link"
        raise SourceError(f"{where} is a link to {target}, which is not there: {do}")
    else:
        folder, pattern = _split_glob(named, lambda name: os.path.exists(base / name))
        names = [folder + name for name in sorted(glob.glob(pattern, root_dir=base / folder, recursive=True))]
        found = [name for name in names if os.path.isfile(base / name)]
        if not found:
            what = "only folders: name files, for example with /*.jsonl" if names else "no file: check the path"
            raise SourceError(f"{where} matches {what}")
    for name in found:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise SourceError(f"{where} matches {name!r}: the name is no UTF-8; rename the file") from error
    return [_seed_file(str(base / name), _relative(base, name), form) for name in found]


def _stored_files(scheme: str, rest: str, form: FileFormat) -> list[SeedFile]:
    """Files of an object store, where every character after the bucket is part of the key."""
    bucket, _, key = rest.partition("/")
    named = f"{scheme}://{rest}".partition("?")
    shown = named[0] + ("?…" if named[1] else "")
    try:
        files, _ = filesystem(f"{scheme}://{bucket}")
        info = files.get_file_info(rest.rstrip("/"))
        if info.type == pafs.FileType.File:
            found = [key]
        elif info.type == pafs.FileType.Directory:
            listed = _listed(files, rest.rstrip("/"), recursive=False)
            found = [f"{key.rstrip('/')}/{name}".lstrip("/") for name in _of_folder(listed, form, shown)]
        elif glob.has_magic(key):
            folder, pattern = _split_glob(key, lambda name: _is_there(files, f"{bucket}/{name}"))
            parts = pattern.split("/")
            listed = _listed(files, f"{bucket}/{folder}".rstrip("/"), recursive=len(parts) > 1 or parts == ["**"])
            found = [folder + name for name in sorted(listed) if _matches(name.split("/"), parts)]
        else:
            found = []
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{shown}: cannot be read: {told(error)}; {hint(scheme)}") from error
    if not found:
        raise SourceError(f"{shown} matches no file: {hint(scheme)}")
    names = [f"{scheme}://{bucket}/{name}" for name in found]
    return [_seed_file(name, name, form, files) for name in names]


def told(error: Exception) -> str:
    """What an error of a transport says, shortened; no query of an address is repeated, as it may be signed."""
    return re.sub(r"\?\S+", "?…", str(error))[:300] or type(error).__name__


def hint(scheme: str) -> str:
    """What to check where an address of this scheme, or a path (the empty one), fails."""
    return _HINTS.get(scheme, "check the address")


def _listed(files: pafs.FileSystem, folder: str, *, recursive: bool) -> list[str]:
    """Paths of the files in a folder of a store, from that folder."""
    selector = pafs.FileSelector(folder, allow_not_found=True, recursive=recursive)
    infos = files.get_file_info(selector)
    return [info.path[len(folder) + 1 :] for info in infos if info.type == pafs.FileType.File]


def _is_there(files: pafs.FileSystem, path: str) -> bool:
    return bool(files.get_file_info(path).type != pafs.FileType.NotFound)


def _of_folder(names: Iterable[str], form: FileFormat, folder: str) -> list[str]:
    """The files of a folder that hold seeds: none that is hidden or a tool's mark, and of a known format;
    pictures only if it has nothing else."""
    found = sorted(
        name for name in names if not name.startswith((".", "_")) and (form != "auto" or _format_of(name) is not None)
    )
    if not found:
        raise SourceError(f"{folder} is a folder without a seed file ({', '.join(_FORMATS)}) directly in it")
    return [name for name in found if not name.lower().endswith(_PICTURE)] or found


def _split_glob(path: str, exists: Callable[[str], bool]) -> tuple[str, str]:
    """The folder before the first part that is a glob (empty, or with a slash at its end), and the rest. A part that
    exists as it is written is none."""
    parts = path.split("/")
    for number, part in enumerate(parts):
        if glob.has_magic(part) and not exists("/".join(parts[: number + 1])):
            break
    else:
        number = len(parts) - 1
    return "".join(f"{part}/" for part in parts[:number]), "/".join(parts[number:])


def _matches(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether a path's parts match those of a glob, as on a local disk: `**` stands for any number of folders, and a
    leading dot is matched by a dot only."""
    if not patterns:
        return not names
    if patterns[0] == "**":
        seen = next((number for number, name in enumerate(names) if name.startswith(".")), len(names))
        return any(_matches(names[start:], patterns[1:]) for start in range(seen + 1))
    if not names or (names[0].startswith(".") and not patterns[0].startswith(".")):
        return False
    return fnmatchcase(names[0], patterns[0]) and _matches(names[1:], patterns[1:])


def _seed_file(uri: str, name: str, form: FileFormat, files: pafs.FileSystem | None = None) -> SeedFile:
    if form != "auto":
        return SeedFile(uri, name, form, sniff=False, files=files)
    known = _format_of(name)
    if known is None:
        what = _OTHER_FILES.get(Path(name).suffix.lower())
        if what is None:
            what = f"has an extension that names no format (known: {', '.join(_FORMATS)}): set `format`"
        raise SourceError(f"{name} {what}")
    return SeedFile(uri, name, known, sniff=True, files=files)


def _format_of(name: str) -> FileFormat | None:
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    return _FORMATS.get(suffixes[-1]) if suffixes else None


def _relative(base: Path, name: str) -> str:
    full = base / name
    return str(full.relative_to(base)) if full.is_relative_to(base) else name


def stamp(file: SeedFile) -> str | None:
    """The file's size and time of change, or its recipe; none if they cannot be had, or the change is too fresh to tell
    it from the next one; looked up on local disks and in object stores only."""
    if file.recipe is not None:
        return file.recipe
    try:
        if file.files is not None:
            info = file.files.get_file_info(file.uri.partition("://")[2])
        elif "://" not in file.uri:
            info = pafs.LocalFileSystem().get_file_info(os.path.abspath(file.uri))
        else:
            return None
    except (pa.ArrowException, OSError):
        return None  # opening it will say what is wrong, if anything is
    if info.mtime_ns is None or time.time_ns() - info.mtime_ns < _SETTLED_NS:
        return None
    return f"{info.size} bytes, {info.mtime_ns}"
