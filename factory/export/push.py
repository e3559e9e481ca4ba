"""A version of a corpus as a dataset on the Hugging Face hub: its files of rows and a card, and nothing else.

>>> from factory.export.push import push
>>> push("out/quickstart", "hf://datasets/me/quickstart").url
'https://huggingface.co/datasets/me/quickstart'

Shards never change, so one that the dataset has stays there unread; those of other versions are deleted in the commit
that brings the new ones. Limitations: the card's header says how large the rows are in memory, for which all of them
are read once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from factory.base.frontmatter import joined, parted
from factory.base.places import in_shell
from factory.export.hub import AT_MOST, CARD, Dataset, HubError
from factory.store.corpus import Corpus
from factory.store.shards import Shard
from factory.views.card import UNSTATED, card, is_ours, signed

__all__ = ["HubError", "Push", "push"]

_OF_FILES = ("dataset_info", "configs")
"""What a card's header says of the files, which are new with each version."""


@dataclass(frozen=True, slots=True)
class Push:
    """What a push brings to a dataset, and what came of it.

    `files` are all that the dataset then has of the corpus, with their `bytes`; `sent` are those that it lacks, with
    `sent_bytes`, and `deleted` those of other versions. `commit` is none until it is done; it is an old one if there
    was nothing to do."""

    corpus: str
    version: int
    to: str
    url: str
    new: bool
    private: bool
    rows: int
    files: list[str]
    bytes: int
    sent: list[str]
    sent_bytes: int
    deleted: list[str]
    commit: str | None = None


def push(
    corpus: str,
    to: str,
    *,
    version: int | None = None,
    private: bool | None = None,
    message: str | None = None,
    announce: Callable[[Push], None] = lambda _: None,
    report: Callable[[str, int], None] = lambda *_: None,
) -> Push:
    """Make `hf://datasets/OWNER/NAME` hold the rows of a version (the newest without it), in one commit.

    If there is no such dataset it is created, private unless `private` is false; one that is there stays as it is.
    `announce` is told what is to be sent and deleted before any of it is. A card that people have
    edited, in the corpus or else in the dataset, is kept, but for what its header says of files. Raises HubError, and
    CorpusError or StorageError for the corpus.
    """
    opened = Corpus(corpus)
    opened.scan()
    pinned = opened.table.version() if version is None else version
    shards = [] if pinned is None else opened.table.shards_at(pinned)
    if pinned is None or not shards:
        raise HubError(f"{corpus}: there is no row to push; see: factory log {in_shell(corpus)}")
    dataset = Dataset(to)
    if not dataset.new and private not in (None, dataset.private):
        kind = "private" if dataset.private else "public"
        raise HubError(f"{to} is there already, and {kind}; change that in its settings on the hub, then push again")
    held = dataset.card()
    text = _card(opened, pinned, held, report)
    size, changed = len(text.encode()), text != held
    wanted = {shard.path for shard in shards}
    lacking = [shard for shard in shards if dataset.held.get(shard.path) != shard.size]
    told = Push(
        corpus, pinned, to, dataset.url, dataset.new, private is not False if dataset.new else bool(dataset.private),
        rows=sum(shard.rows for shard in shards),
        files=[*sorted(wanted), CARD],
        bytes=sum(shard.size for shard in shards) + size,
        sent=[*sorted(shard.path for shard in lacking), *[CARD] * changed],
        sent_bytes=sum(shard.size for shard in lacking) + size * changed,
        deleted=sorted(path for path in dataset.held if Shard.parse(path, 0) and path not in wanted),
    )  # fmt: skip
    if len(told.files) > AT_MOST:
        raise HubError(
            f"{to}: the version has {len(shards):,} files, and the hub takes {AT_MOST:,} in a folder; export it with "
            "larger files (factory export CORPUS plain), and send those with: hf upload"
        )
    announce(told)
    if dataset.new:
        dataset.create(private=told.private)
    if not told.sent and not told.deleted:
        return replace(told, commit=dataset.commit)
    added = []
    for one in dataset.send(opened.storage, lacking):
        added.append(one)
        report("files sent", len(added))
    title = message or f"Version {pinned}: {told.rows:,} dialogues"
    commit = dataset.finish(added, text if changed else None, told.deleted, title)
    return replace(told, commit=commit)


def _card(corpus: Corpus, version: int, held: str | None, report: Callable[[str, int], None]) -> str:
    """The card of a version, with the licence and language of the corpus's card, or of the one that the dataset holds;
    or one of the two that people have edited, with a header that fits the version."""
    own = corpus.storage.read_bytes(CARD).decode("utf-8", "replace") if corpus.storage.exists(CARD) else None
    before = [text for text in (own, held) if text is not None]
    header = parted(before[0])[0] if before else {}
    language = header.get("language") or "en"
    made = card(
        corpus, version=version, licence=header.get("license") or UNSTATED,
        language=language if isinstance(language, str) else language[0], report=report,
    )  # fmt: skip
    edited = next((text for text in before if not is_ours(text) and parted(text)[1].strip()), None)
    if edited is None:
        return signed(made)
    kept, text = parted(edited)
    return joined(kept | {name: parted(made)[0][name] for name in _OF_FILES}, text)
