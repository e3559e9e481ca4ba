"""Files of seeds: which ones a path, folder, glob or address names.

Marks of a glob that stand in the name of a file or folder that exists are part of that name, on disks and in object
stores alike. Limitations: https:// has no listing, so each file there is named by itself; of a folder, the files
directly in it are taken, and of a whole repository of the Hugging Face Hub those of its first data format.
"""

from __future__ import annotations

import glob
import io
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from factory.base.hub import repository
from factory.base.places import absolute
from factory.base.stores import filesystem
from factory.seeds.globs import matches, split_glob

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
    **dict.fromkeys(_COMPRESSIONS, "jsonl"),  # as dumps are named; what is no JSON is told by its first row
}
_DATA = ((".parquet",), (".jsonl", ".ndjson"), (".csv", ".tsv"), (".json",))
"""What data sets are published as, the first a repository has is taken: others are copies of it, or describe it."""
_STORES = ("s3", "gs")
_LOGIN = "where a login is wanted, name the variable with its token in the source's `token_env`"
_HINTS = {
    "s3": "check the address, and the AWS credentials and AWS_ENDPOINT_URL in the environment",
    "gs": "check the address, and GOOGLE_APPLICATION_CREDENTIALS in the environment",
    "hf": "check the address; where a login is wanted, set HF_TOKEN or run `hf auth login`",
    "https": f"check the address; {_LOGIN}",
    "http": f"check the address; {_LOGIN}",
    "zip": "unpack the archive, and name the files in it",
    "tar": "unpack the archive, and name the files in it",
    "": "check the path and its permissions",
}
_OTHER_FILES = {
    ".xlsx": "is an Excel file: save the sheet as CSV UTF-8",
    ".xls": "is an Excel file: save the sheet as CSV UTF-8",
    ".pdf": "is a PDF document: copy its text into a .txt file, one persona a line",
    ".arrow": "is an Arrow file: save it as Parquet",
}

_ARCHIVE = re.compile(r"\.(?:zip|tar(?:\.(?:gz|bz2|xz|zst))?|tgz|tbz2?|txz|tzst)$", re.IGNORECASE)

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
    it is in, where its path is the `uri` without the scheme. One of a commit, and one that is made and nowhere, has a
    `recipe`, which changes with its content; an archive's is its stamp. One that is made, and one in an `archive`, is
    `opened` by a function.
    `token_env` is the variable with the token for an https:// address."""

    uri: str
    name: str
    format: FileFormat
    sniff: bool
    files: pafs.FileSystem | None = None
    recipe: str | None = None
    token_env: str | None = None
    archive: SeedFile | None = None
    opened: Callable[[], io.RawIOBase | IO[bytes]] | None = None


def files_at(path: str, form: FileFormat, base: Path, token_env: str | None = None) -> list[SeedFile]:
    """The files of a path, folder, glob or address, sorted; an archive is one of them, of format `form`. Raises
    SourceError if there are none, they cannot be listed, or their format is unknown."""
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
    if scheme == "hf":
        return _files_of_repository(path, form)
    try:
        parts = urlsplit(path)
    except ValueError as error:
        raise SourceError(f"{path.partition('?')[0]}: no valid address: {error}") from error
    name = f"{scheme}://{parts.netloc}{parts.path}"
    if "*" in parts.path or (parts.path.endswith("/") and form == "auto"):
        raise SourceError(f"{name}: files behind {scheme}:// cannot be listed: name each file")
    return [replace(seed_file(path, name, form), token_env=token_env)]


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
        folder, pattern = split_glob(named, lambda name: os.path.exists(base / name))
        names = [folder + name for name in sorted(glob.glob(pattern, root_dir=base / folder, recursive=True))]
        found = [name for name in names if os.path.isfile(base / name)]
        if not found:
            what = "only folders: name files, for example with /*.jsonl" if names else "no file: check the path"
            raise SourceError(f"{where} matches {what}")
    for name in found:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise SourceError(f"{where} matches {name!r}: the name is not UTF-8; rename the file") from error
    return [seed_file(str(base / name), _relative(base, name), form) for name in found]


def _stored_files(scheme: str, rest: str, form: FileFormat) -> list[SeedFile]:
    """Files of an object store, where every character after the bucket is part of the key."""
    bucket, _, key = rest.partition("/")
    named = f"{scheme}://{rest}".partition("?")
    shown = named[0] + ("?…" if named[1] else "")
    try:
        files, _ = filesystem(f"{scheme}://{bucket}")
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{shown}: cannot be read: {told(error)}; {hint(scheme)}") from error
    names = [f"{scheme}://{bucket}/{name}" for name in _in_store(files, bucket, key, form, shown)]
    return [seed_file(name, name, form, files) for name in names]


def _files_of_repository(address: str, form: FileFormat) -> list[SeedFile]:
    """Files of a repository of the Hugging Face Hub."""
    try:
        repo = repository(address)
    except ValueError as error:
        raise SourceError(f"{address}: no valid address: {told(error)}") from error
    except OSError as error:
        raise SourceError(f"{address}: cannot be read: {told(error)}; {hint('hf')}") from error
    found = _in_store(repo.files, repo.root, repo.path, form, address)
    made = [seed_file(f"hf://{repo.root}/{name}", f"{repo.address}/{name}", form, repo.files) for name in found]
    return [replace(file, recipe=repo.commit) for file in made]


def _in_store(files: pafs.FileSystem, top: str, key: str, form: FileFormat, shown: str) -> list[str]:
    """The files that a key names, from the folder `top` of a store: a bucket, or a repository. Raises SourceError."""
    place, scheme = f"{top}/{key}".rstrip("/"), shown.partition("://")[0]
    try:
        info = files.get_file_info(place)
        if info.type == pafs.FileType.File:
            return [key]
        if info.type == pafs.FileType.Directory and scheme == "hf" and not key:
            return _of_repository(_listed(files, place, recursive=True), shown)
        if info.type == pafs.FileType.Directory:
            listed = _listed(files, place, recursive=False)
            return [f"{key.rstrip('/')}/{name}".lstrip("/") for name in _of_folder(listed, form, shown)]
        if glob.has_magic(key):
            folder, pattern = split_glob(key, lambda name: _is_there(files, f"{top}/{name}"))
            parts = pattern.split("/")
            listed = _listed(files, f"{top}/{folder}".rstrip("/"), recursive=len(parts) > 1 or parts == ["**"])
            if found := [folder + name for name in sorted(listed) if matches(name.split("/"), parts)]:
                return found
    except SourceError:
        raise
    except Exception as error:  # the stores share no base class
        raise SourceError(f"{shown}: cannot be read: {told(error)}; {hint(scheme)}") from error
    raise SourceError(f"{shown} matches no file: {hint(scheme)}")


def told(error: Exception) -> str:
    """What an error of a transport says, shortened; no query of an address is repeated, as it may be signed."""
    return " ".join(re.sub(r"\?\S+", "?…", str(error)).split())[:300] or type(error).__name__


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
    """The files of a folder that hold seeds."""
    if found := readable(names, form):
        return sorted(found)
    raise SourceError(f"{folder} is a folder without a seed file ({', '.join(_FORMATS)}) directly in it")


def readable(names: Iterable[str], form: FileFormat) -> list[str]:
    """Of the paths of files those that hold seeds: none that is hidden or a tool's mark, and of a known format;
    pictures only if there is nothing else."""
    found = [name for name in names if not hidden(name) and (form != "auto" or format_of(name) is not None)]
    return [name for name in found if not name.lower().endswith(_PICTURE)] or found


def hidden(name: str) -> bool:
    """Whether a file, or a folder of its path, is hidden or a tool's mark."""
    return any(part.startswith((".", "_")) for part in name.split("/"))


def _of_repository(names: Sequence[str], shown: str) -> list[str]:
    """The data of a whole repository: the files of the first of its formats."""
    kept = sorted(name for name in names if not hidden(name))
    for kinds in _DATA:
        if found := [name for name in kept if _suffix_of(name) in kinds]:
            return found
    raise SourceError(
        f"{shown} is a repository without a data file ({', '.join(kind for kinds in _DATA for kind in kinds)}): name "
        "its files, for example with /**/*.txt"
    )


def is_archive(name: str) -> bool:
    """Whether a file of this name is an archive of files."""
    return _ARCHIVE.search(name) is not None


def seed_file(uri: str, name: str, form: FileFormat, files: pafs.FileSystem | None = None) -> SeedFile:
    """A file of a known format. Raises SourceError for an extension that names none."""
    if form != "auto" or is_archive(name):
        return SeedFile(uri, name, form, sniff=False, files=files)
    known = format_of(name)
    if known is None:
        what = _OTHER_FILES.get(Path(name).suffix.lower())
        if what is None:
            what = f"has an extension that names no format (known: {', '.join(_FORMATS)}): set `format`"
        raise SourceError(f"{name} {what}")
    return SeedFile(uri, name, known, sniff=True, files=files)


def format_of(name: str) -> FileFormat | None:
    """The format that an extension names, but for that of a compression."""
    return _FORMATS.get(_suffix_of(name))


def _suffix_of(name: str) -> str:
    """The extension but for that of a compression; that one where there is no other; empty if there is none."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    if len(suffixes) > 1 and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _relative(base: Path, name: str) -> str:
    full = base / name
    return str(full.relative_to(base)) if full.is_relative_to(base) else name


def stamp(file: SeedFile) -> str | None:
    """The file's size and time of change, or its recipe; none if they cannot be had, or the change is too fresh to tell
    it from the next one; looked up on local disks and in object stores only."""
    if file.archive is not None:
        return file.archive.recipe
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
