"""A dataset on the Hugging Face hub: what it holds, and one commit that adds and deletes files.

The hub's library finds the address and the token (`HF_ENDPOINT`, `HF_TOKEN` or its login) and tries again where the hub
is overloaded. Limitations: the hub takes 10,000 files in a folder.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from factory.store.shards import Shard
from factory.store.storage import Storage

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

CARD = "README.md"
AT_MOST = 10_000
"""Files that the hub takes in one folder."""

_AT_ONCE = 64
"""Files that are sent together. So many of an object store are on the local disk at once."""
_HINTS = {
    401: "the hub does not accept the token: check HF_TOKEN, or log in with: hf auth login",
    403: "the token may not do that: give it the right to write at https://huggingface.co/settings/tokens, or name a "
    "dataset of your own",
    404: "there is no such dataset any more, or the token may not see it",
    409: "there is such a dataset, which the token may not see, or another was created at the same time",
    412: "somebody else has pushed at the same time; push again",
    429: "wait as long as it says, then push again; files that were sent are not sent twice",
}
_LATER = "push again later; files that were sent are not sent twice"


class HubError(Exception):
    """What the hub cannot be asked, or refuses: which dataset, why, and what to do."""


class Dataset:
    """A dataset, `hf://datasets/OWNER/NAME`, as it is now. Everything raises HubError.

    `held` are the sizes of its files in bytes, `commit` is its last commit. They are empty and none while it is `new`,
    that is while it is not there."""

    def __init__(self, to: str) -> None:
        from huggingface_hub import HfApi, get_token
        from huggingface_hub.errors import RepositoryNotFoundError

        self.to, self.name = to, _name(to)
        if get_token() is None:
            raise HubError(
                "there is no token for the hub: make one that may write at https://huggingface.co/settings/tokens, and "
                "set HF_TOKEN to it or log in with: hf auth login"
            )
        self.api: HfApi = HfApi(library_name="persona-factory")
        self.new = False
        self.private: bool | None = None
        self.commit: str | None = None
        self.held: dict[str, int] = {}
        with self._asking("read"):
            try:
                self._look()
            except RepositoryNotFoundError:
                self.new = True

    @property
    def url(self) -> str:
        """Its page."""
        return f"{self.api.endpoint}/datasets/{self.name}"

    def create(self, *, private: bool) -> None:
        """Make it, without files."""
        with self._asking("create"):
            self.api.create_repo(self.name, repo_type="dataset", private=private)
            self._look()

    def card(self) -> str | None:
        """The text of its card, if there is one."""
        if CARD not in self.held:
            return None
        with self._asking("read"), tempfile.TemporaryDirectory() as folder:
            found = self.api.hf_hub_download(
                self.name, CARD, repo_type="dataset", revision=self.commit, local_dir=folder
            )
            return Path(found).read_text(encoding="utf-8")

    def send(self, files: Storage, shards: Sequence[Shard]) -> Iterator[CommitOperationAdd]:
        """Send shards. Nobody sees them until `finish` is given what comes out."""
        for start in range(0, len(shards), _AT_ONCE):
            with tempfile.TemporaryDirectory() as folder:
                added = _at_hand(files, shards[start : start + _AT_ONCE], Path(folder))
                with self._asking("write to"):
                    self.api.preupload_lfs_files(self.name, added, repo_type="dataset")
                for one in added:
                    if isinstance(one.path_or_fileobj, str):  # small, and no LFS file: it goes with the commit
                        one.path_or_fileobj = Path(one.path_or_fileobj).read_bytes()
            yield from added

    def finish(self, sent: Sequence[CommitOperationAdd], card: str | None, gone: Sequence[str], message: str) -> str:
        """Commit what was sent, with a new card if there is one, and without the files that are gone. Fails if somebody
        else has pushed meanwhile. Returns the commit's id."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        deleted = [CommitOperationDelete(path) for path in gone]
        cards = [] if card is None else [CommitOperationAdd(CARD, card.encode())]
        with self._asking("write to"):
            made = self.api.create_commit(
                self.name,
                [*deleted, *sent, *cards],
                commit_message=message,
                repo_type="dataset",
                parent_commit=self.commit,
            )
        return made.oid

    def _look(self) -> None:
        from huggingface_hub import RepoFile

        info = self.api.dataset_info(self.name)
        self.private, self.commit = info.private, info.sha
        found = self.api.list_repo_tree(self.name, recursive=True, repo_type="dataset", revision=self.commit)
        self.held = {entry.path: entry.size for entry in found if isinstance(entry, RepoFile)}

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Errors of the body as HubErrors."""
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

        where = f"cannot {what} {self.to}"
        try:
            yield
        except HfHubHTTPError as error:
            hint = _HINTS.get(error.response.status_code, _LATER)
            raise HubError(f"{where}: {error.server_message or _line(error)}; {hint}") from error
        except OfflineModeIsEnabled as error:
            raise HubError(f"{where}: HF_HUB_OFFLINE is set, so the hub is not asked; unset it") from error
        except httpx2.TransportError as error:
            hint = "check the network, HF_ENDPOINT and the proxy, then push again"
            raise HubError(f"{where}: {self.api.endpoint} cannot be reached: {_line(error)}; {hint}") from error
        except (OSError, RuntimeError, ValueError) as error:  # of sending and fetching; a card's header that is refused
            why = f"{_line(error)} {_line(error.__cause__)}".strip()
            raise HubError(f"{where}: {why}; {_LATER}") from error


def _at_hand(files: Storage, shards: Sequence[Shard], folder: Path) -> list[CommitOperationAdd]:
    """Shards to be added, from the local disk: from `folder`, if they are elsewhere."""
    from huggingface_hub import CommitOperationAdd

    added: list[CommitOperationAdd] = []
    files.each(lambda one: added.append(CommitOperationAdd(one.path, files.local(one.path, folder))), shards)
    return added


def _name(to: str) -> str:
    from huggingface_hub import parse_hf_uri
    from huggingface_hub.errors import HfUriError

    try:
        found = parse_hf_uri(to)
    except HfUriError as error:
        raise HubError(f"{to}: {_line(error)}; write hf://datasets/OWNER/NAME") from error
    if found.type != "dataset" or found.revision or found.path_in_repo:
        raise HubError(f"{to}: a corpus is pushed to the main branch of a whole dataset: hf://datasets/OWNER/NAME")
    return found.id


def _line(error: BaseException | None) -> str:
    return "" if error is None else re.sub(r"\?\S+", "?…", " ".join(str(error).split()))  # a query may be a signature
