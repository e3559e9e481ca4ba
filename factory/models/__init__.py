"""Model names: what a job calls a model, turned into what the libraries load, and what identifies its weights.

A name is a folder, one of the bundled models, or a Hugging Face id, tried in that order. Of the last nothing is
downloaded here, so its revision is the one the job gives: a job that names none follows the branch `main`, and its rows
are not out of date when the branch moves. A licence is what the model's card says where the card is at hand.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path, PurePath

from factory.base.frontmatter import parted
from factory.base.packages import needing
from factory.base.places import Alias, absolute
from factory.models import smollm2

PERSONA = "persona"
"""The adapter that taught SmolLM2 the prompts of the makers."""

REVISIONS = {
    "extractor": "1c18d4459974ad6252d72d49c819f152",
    "minilm": "106b2926316044a8fccd618aeb98c913",
    "nli-small": "06eb6e0d8e50ce56ac8177c974123b91",
    PERSONA: "114fec7e02b48c85b2665b6de1834de6",
    "talk-small": "9e427a3c236073cba222dbfab76c54e6",
}
"""What identifies the weights of the package persona-factory-models, so that a plan does not need them."""

BUNDLED = frozenset({smollm2.NAME, *REVISIONS})
"""Names that need no hub."""

LICENCE = "apache-2.0"
"""Of the bundled models, as their cards say."""

OPENING = threading.Lock()
"""Held by whoever imports transformers or opens a model with it. While it is first imported another thread may be given
a module without its names, and while a model opens its dtype is the default of the whole process."""

_CONTENT = re.compile("[0-9a-f]{32}")
_WHOLE_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 20
_BLOCKS = 16


def placed(name: str, base: Path) -> str:
    """The name of a model, of a folder as an absolute path; relative ones start at `base`.

    Raises ValueError for what can only be a folder, but is none there.
    """
    folder = absolute(name, base)
    if os.path.isdir(folder):
        return folder
    if name.startswith(("./", "../", "~")) or (name.count("/") > 1 and not name.startswith("/")):
        raise ValueError(f"there is no folder {folder}")
    if os.path.isdir(name) and not name.startswith("/") and name not in BUNDLED:  # libraries would open that one
        raise ValueError(f"there is no folder {folder}; that of the same name in the working directory is not meant")
    return name


def is_folder(name: str) -> bool:
    """Whether a placed name is that of a folder."""
    return name.startswith("/") and os.path.isdir(name)


def short(name: str) -> str:
    """A model's name; of a folder without what leads to it."""
    return PurePath(name).name if name.startswith("/") else name


def called(name: str, revision: str) -> str:
    """A model's name with its revision (`revision_of`), NAME@REVISION; of a folder without what leads to it."""
    return f"{short(name)}@{revision}"


def same(one: str, other: str) -> bool:
    """Whether two such names may be of one model. Of folders and bundled models the content decides, which a revision
    tells; else the name does, also where a person wrote it without a revision."""
    (name, revision), (other_name, other_revision) = _name_and_revision(one), _name_and_revision(other)
    if revision and other_revision and (_CONTENT.fullmatch(revision) or _CONTENT.fullmatch(other_revision)):
        return revision == other_revision
    return name == other_name


def _name_and_revision(called: str) -> tuple[str, str]:
    name, at, revision = called.rpartition("@")
    return (name, revision) if at else (called, "")


def resolve(name: str) -> str:
    """The directory or Hugging Face id behind a model's name.

    Raises MissingPackageError for a bundled one without the package that carries its weights, and OSError if those of
    `smollm2`, which are unpacked here, cannot be.
    """
    if name == smollm2.NAME:
        return smollm2.folder()
    if name not in REVISIONS:
        return name
    with needing(f"the model {name}"):
        import persona_factory_models
    return str(Path(str(persona_factory_models.__file__)).with_name(name))


@contextmanager
def without_signs(name: str) -> Iterator[str]:
    """What `resolve` says, under another name while the body runs if it holds signs of a pattern, as which vLLM would
    read it. Raises OSError."""
    path = resolve(name)
    if is_folder(path) and glob.escape(path) != path:
        with closing(Alias({"model": path})) as alias:
            yield f"{alias.path}/model"
    else:
        yield path


@cache
def revision_of(name: str, revision: str | None) -> str:
    """What identifies a model's weights, for fingerprints.

    A hub model: its revision, or `main`. A directory: 32 hex digits over the name, size and content of its files;
    a file above 64 MiB is sampled (16 blocks of 1 MiB, the first and the last among them), so that a 140 GB model costs
    a moment and not minutes. Hidden files and Markdown (the model card) change no output and do not count. Computed
    once a process.
    """
    if name == smollm2.NAME:
        return smollm2.revision()
    if name in REVISIONS:
        return REVISIONS[name]
    root = Path(name)
    if not root.is_dir():
        return revision or "main"
    state = hashlib.blake2b(digest_size=16)
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        relative = path.relative_to(root)
        if path.suffix == ".md" or any(part.startswith(".") for part in relative.parts):
            continue
        state.update(f"{relative.as_posix()}\0{path.stat().st_size}\0".encode())
        state.update(_content(path))
    return state.hexdigest()


def licence_of(name: str, revision: str | None = None) -> str | None:
    """The licence of a bundled model; of another what its card names: README.md of a folder, of a hub model the one in
    the local cache. None if there is no card here, or it names none."""
    if name in BUNDLED:
        return LICENCE
    card = Path(name, "README.md") if is_folder(name) else _cached_card(name, revision)
    if card is None or not card.is_file():
        return None
    licence = parted(card.read_text(encoding="utf-8"))[0].get("license")
    return ", ".join(licence) if isinstance(licence, list) else licence


def _cached_card(name: str, revision: str | None) -> Path | None:
    """Where the hub's library has put a model's card."""
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ModuleNotFoundError:  # then it has put nothing anywhere
        return None
    try:
        found = try_to_load_from_cache(name, "README.md", revision=revision)
    except HFValidationError:  # a server's name for its model
        return None
    return Path(found) if isinstance(found, str) else None


def _content(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _WHOLE_BYTES:
            return hashlib.file_digest(file, "blake2b").digest()
        state = hashlib.blake2b()
        for block in range(_BLOCKS):
            file.seek((size - _BLOCK_BYTES) * block // (_BLOCKS - 1))
            state.update(file.read(_BLOCK_BYTES))
        return state.digest()
