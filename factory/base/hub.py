"""Repositories of the Hugging Face Hub as Arrow's file systems, each at the commit that its revision stands for now.

The address of the Hub and the token are those of huggingface_hub: `HF_ENDPOINT`, and `HF_TOKEN` or `hf auth login`.
Limitations: what is read is not kept in huggingface_hub's cache; its buckets are not read.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.fs as pafs

from factory.base.packages import needing

_FOLDERS = {"dataset": "datasets/", "model": ""}
"""How the paths of repositories begin, by their type."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit: its file system, the `root` that paths in it begin with, its address as it was given,
    and the path that followed it there (empty for all of it)."""

    files: pafs.FileSystem
    root: str
    address: str
    path: str
    commit: str


def repository(address: str) -> Repository:
    """The repository of an address: hf://datasets/OWNER/NAME[@REVISION][/PATH], and without `datasets/` that of a
    model. Raises MissingPackageError, ValueError for an address that is none, and OSError if there is no such
    repository or revision, or it cannot be asked for."""
    with needing("reading from hf://", "hub"):
        import httpx2
        from huggingface_hub import HfApi, HfFileSystem, parse_hf_uri
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
    said = parse_hf_uri(address)
    if said.type not in _FOLDERS:
        raise ValueError(f"a {said.type} of the Hub holds no seeds: name a dataset, hf://datasets/OWNER/NAME")
    hub = HfApi()
    name = f"{_FOLDERS[said.type]}{said.id}"
    try:
        commit = hub.repo_info(said.id, repo_type=said.type, revision=said.revision).sha
    except GatedRepoError as error:
        raise OSError(f"its owner asks you to accept conditions first, at {hub.endpoint}/{name}") from error
    except RepositoryNotFoundError as error:
        raise OSError("there is no such repository, or your token may not read it") from error
    except RevisionNotFoundError as error:
        raise OSError(f"it has no revision {said.revision}") from error
    except httpx2.HTTPError as error:
        raise OSError(f"{hub.endpoint} cannot be asked: {error}") from error
    path = said.path_in_repo
    shown = address.rstrip("/").removesuffix(path.rstrip("/")).rstrip("/")
    files = pafs.PyFileSystem(pafs.FSSpecHandler(HfFileSystem()))
    return Repository(files, f"{name}@{commit}", shown, path, str(commit))
