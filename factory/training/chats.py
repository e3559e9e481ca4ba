"""Chats to train on: a corpus, each dialogue from either side, in the very prompts that generation sends; or files.

Shards are read one after another, in a drawn order, so memory holds one shard however large the corpus. Limitations:
shuffling is by shard and within it, not over the whole corpus.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from factory.base.fingerprint import fraction
from factory.engines import Message
from factory.engines.template import ChatTemplate, ChatTemplateError
from factory.methods.makers.converse import sides_of
from factory.methods.origins import Origin
from factory.seeds.archives import find_files
from factory.seeds.files import BadRow
from factory.seeds.formats import read_rows
from factory.store.corpus import Corpus
from factory.store.records import Decision, Row
from factory.training import TrainingError
from factory.training.templates import Templates

IGNORED = -100
"""The label of tokens that are not learned (PyTorch's cross entropy)."""

Chat = tuple[Message, ...]


class _Weighed(Message, total=False):
    weight: Literal[0, 1]


_CHAT = TypeAdapter(Annotated[tuple[_Weighed, ...], Field(min_length=2)])


class ChatSource(BaseModel):
    """Which rows of which corpus, and what of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: str = Field(min_length=1, description="Where the corpus lives: a path or a URI.")
    version: int | None = Field(None, ge=0, description="Its version; the newest at the first start without it.")
    decisions: tuple[Decision, ...] = Field(("accept",), description="Rows so decided.")
    facts: tuple[Origin, ...] = Field(
        ("seed", "expand"),
        description="Facts that stand in the prompt, by origin. A corpus of existing dialogues has [extract, augment], "
        "which is what PPDS (arXiv 2412.09034) pre-trains on.",
    )
    held: float = Field(
        0.02, ge=0, lt=1, description="Share of the seeds, by hash, whose rows are kept for the held-out perplexity."
    )


class ChatFiles(BaseModel):
    """Files of chats: JSON Lines or Parquet with a column `messages`, as chat APIs have it, and if there is one `id`,
    the same for chats of one origin. The assistant's messages are learned, but for those of `weight` 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: tuple[str, ...] = Field(min_length=1, description="Paths, globs or URIs; relative paths start at this file.")
    held: float = Field(
        0.02, ge=0, lt=1, description="Share of the ids, by hash, whose chats are kept for the held-out perplexity."
    )


def read_chats(source: ChatFiles, held: bool) -> list[Chat]:
    """The chats on one side of the split, in order. Raises TrainingError for a row that is no chat, with its place."""
    found = []
    for path in source.files:
        for file in find_files(path, "auto", Path()):
            for line, row in read_rows(file, ("messages", "id")):
                if isinstance(row, BadRow):
                    raise TrainingError(f"{file.name}, line {line}: {row}")
                chat = _chat(row.get("messages"), f"{file.name}, line {line}")
                if _seed_is_held(str(row.get("id", f"{file.name} {line}")), source.held) == held:
                    found.append(chat)
    return found


def _chat(messages: object, place: str) -> Chat:
    try:
        chat = _CHAT.validate_python(messages)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("messages", *first["loc"]))
        raise TrainingError(f"{place}: {where}: {first['msg']}; a chat is a list of role and content") from error
    if chat[-1]["role"] != "assistant" or chat[-1].get("weight", 1) == 0:
        raise TrainingError(f"{place}: the chat does not end with an answer to learn, of role assistant")
    return chat


def drawn_chats(source: ChatFiles, tokens: Tokens, order: random.Random) -> Iterator[Chat]:
    """All chats of files to train on, once, in a drawn order. Raises TrainingError if there are none."""
    chats = read_chats(source, held=False)
    if not chats:
        raise TrainingError(f"{', '.join(source.files)}: holds no chat to train on")
    order.shuffle(chats)
    return (part for chat in chats for part in tokens.parts(chat))


def is_held(row: Row, share: float) -> bool:
    """Whether one of the row's seeds is held out; by hash, so that a grown corpus never moves a seed."""
    return any(_seed_is_held(seed.id, share) for seed in row.seeds)


def _seed_is_held(seed: str, share: float) -> bool:
    return fraction("held", seed) < share


def prompt_facts(row: Row, source: ChatSource) -> list[list[str]]:
    """What each speaker's prompt holds. A row to train on has no distractor in it that a held-out seed gave."""
    trained = not is_held(row, source.held)
    return [
        list(
            dict.fromkeys(
                fact.text
                for fact in speaker.facts
                if fact.origin in source.facts
                and not (trained and fact.origin == "augment" and _seed_is_held(fact.source_id, source.held))
            )
        )
        for speaker in row.speakers
    ]


def chats_of(row: Row, facts: Sequence[Sequence[str]], templates: Templates) -> list[Chat]:
    """The dialogue from either side, with these facts of each speaker; each ends with a turn of its speaker."""
    return sides_of(templates.of(row), row, facts, ended=templates.ended(row))


def rows_of(source: ChatSource, held: bool, order: random.Random | None = None) -> Iterator[Row]:
    """The rows on one side of the split, shard by shard; shuffled by `order` where there is one. Without `select`
    nothing was refused, and all count as accepted."""
    for row in Corpus(source.corpus).rows(version=source.version, order=order):
        if (row.decision or "accept") in source.decisions and is_held(row, source.held) == held:
            yield row


def epoch(source: ChatSource, tokens: Tokens, order: random.Random) -> Iterator[Chat]:
    """All chats to train on, once. Raises TrainingError if there are none."""
    found, templates = False, Templates(Corpus(source.corpus))
    for row in rows_of(source, held=False, order=order):
        for chat in chats_of(row, prompt_facts(row, source), templates):
            found = True
            yield from tokens.parts(chat)
    if not found:
        decisions = ", ".join(source.decisions)
        raise TrainingError(f"{source.corpus}: holds no dialogue to train on (decided {decisions}, its seeds not held)")


def characters(chat: Chat) -> int:
    """How long a chat is."""
    return sum(len(message["content"]) for message in chat)


class Tokens:
    """Chats as token ids and labels, through any tokenizer with a chat template. Raises TrainingError."""

    def __init__(self, tokenizer: Any, longest: int) -> None:
        self.tokenizer, self.longest = tokenizer, longest
        if not tokenizer.chat_template:
            raise TrainingError(f"{tokenizer.name_or_path}: its tokenizer has no chat template; use a chat model")
        try:
            self._template = ChatTemplate(tokenizer)
        except ChatTemplateError as error:
            raise TrainingError(f"{tokenizer.name_or_path}: {error}") from error

    def parts(self, chat: Chat) -> list[Chat]:
        """The chat itself; or, for a template that rewrites earlier turns (as Qwen3's drops their thoughts), one
        chat a turn, since then no single text holds all the prompts that generation would send."""
        if self._spans(chat) is not None:
            return [chat]
        return [chat[: number + 1] for number in _answers(chat)]

    def __call__(self, chat: Chat) -> dict[str, list[int]]:
        """Ids and labels of a chat or part, cut at `longest` tokens; only the assistant's turns are learned."""
        spans, text = self._spans(chat), self._text(chat)
        if spans is None:
            spans = [(len(self._text(chat[:-1], begun=True)), len(text))]
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids = encoded["input_ids"][: self.longest]
        learned = (any(a <= start < b for a, b in spans) for start, _ in encoded["offset_mapping"])
        return {
            "input_ids": ids,
            "labels": [token if learn else IGNORED for token, learn in zip(ids, learned, strict=False)],
        }

    def prompt(self, chat: Chat) -> list[int]:
        """The ids of what opens an answer to the chat, which ends with a message of the user."""
        ids: list[int] = self.tokenizer(self._text(chat, begun=True), add_special_tokens=False)["input_ids"]
        return ids

    def reply(self, chat: Chat, text: str) -> dict[str, list[int]]:
        """Ids and labels of the chat with this reply, of which alone there are labels."""
        before = tuple(_Weighed(role=one["role"], content=one["content"], weight=0) for one in chat)
        return self((*before, Message(role="assistant", content=text)))

    def _spans(self, chat: Chat) -> list[tuple[int, int]] | None:
        """Where the assistant's turns stand in the text; none if an earlier prompt is no beginning of it."""
        text, spans = self._text(chat), []
        for number in _answers(chat):
            before, upto = self._text(chat[:number], begun=True), self._text(chat[: number + 1])
            if not (upto.startswith(before) and text.startswith(upto)):
                return None
            spans.append((len(before), len(upto)))
        return spans

    def _text(self, chat: Chat, begun: bool = False) -> str:
        try:
            return self._template(chat, answered=not begun)
        except ChatTemplateError as error:
            raise TrainingError(f"{self.tokenizer.name_or_path}: {error}") from error


def _answers(chat: Chat) -> list[int]:
    return [
        number
        for number, message in enumerate(chat)
        if message["role"] == "assistant" and cast(_Weighed, message).get("weight", 1)
    ]


def pad(rows: Sequence[dict[str, list[int]]], filler: int) -> dict[str, torch.Tensor]:
    """Rows of ids and labels as one batch, each tensor (rows, tokens), padded on the right."""
    width = max(len(row["input_ids"]) for row in rows)
    ids = torch.tensor([row["input_ids"] + [filler] * (width - len(row["input_ids"])) for row in rows])
    labels = torch.tensor([row["labels"] + [IGNORED] * (width - len(row["labels"])) for row in rows])
    mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows])
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}
