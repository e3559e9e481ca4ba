"""Ids that are put together from pieces are those of the whole prompt, for any kind of tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from factory.engines import Message
from factory.engines.chat import ChatTokenizer
from tests.tiny import tiny_model

TEMPLATE = (
    "<s>{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}</s>\n{% endfor %}<|assistant|>\n"
)
TALK = ["Hi, I'm Ann.", "I own 2 cats; do you?", "Où vas-tu ?", " a  b ", "No…\n\nNo!"]
ROLES = ("system", "user", "assistant")


def bytes_level(marks: dict[str, Any]) -> Tokenizer:
    """As GPT-2, Llama 3 and Qwen have it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return trained(tokenizer, marks, pre_tokenizers.ByteLevel.alphabet())


def sentence_pieces(marks: dict[str, Any]) -> Tokenizer:
    """As Llama 2 and Mistral have it: a mark before each text that is cut off, also between special tokens."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return trained(tokenizer, marks)


def first_marked(marks: dict[str, Any]) -> Tokenizer:
    """As Llama 2 has it in newer files: a mark before the first text alone."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    return trained(tokenizer, marks)


def trained(tokenizer: Tokenizer, marks: dict[str, Any], alphabet: Sequence[str] = ()) -> Tokenizer:
    special = [AddedToken(mark, special=True, normalized=False, **marks) for mark in ("<s>", "</s>", "<unk>")]
    roles = [AddedToken(f"<|{role}|>", special=True, normalized=False, **marks) for role in ROLES]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=[*special, *roles], initial_alphabet=list(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(TALK * 3, trainer)
    return tokenizer


KINDS = {
    "bytes": lambda: bytes_level({}),
    "bytes, blanks taken in": lambda: bytes_level({"rstrip": True}),
    "pieces": lambda: sentence_pieces({}),
    "first marked": lambda: first_marked({}),
}


@cache
def tokenizer_of(kind: str) -> Any:
    if kind == "tiny":
        return AutoTokenizer.from_pretrained(tiny_model())
    return PreTrainedTokenizerFast(tokenizer_object=KINDS[kind](), chat_template=TEMPLATE, eos_token="</s>")


@cache
def chat_of(kind: str) -> ChatTokenizer:
    return ChatTokenizer(tokenizer_of(kind))


@pytest.mark.parametrize("kind", ["tiny", *KINDS])
@settings(max_examples=60, deadline=None)
@given(said=st.lists(st.one_of(st.sampled_from(TALK), st.text(max_size=20)), min_size=1, max_size=6))
def test_pieces_make_the_whole(kind: str, said: list[str]) -> None:
    roles = ["system", *["user", "assistant"] * 3]
    chat = tuple(Message(role=role, content=text) for role, text in zip(roles, said, strict=False))  # type: ignore[typeddict-item]
    whole = tokenizer_of(kind).apply_chat_template(list(chat), add_generation_prompt=True, return_dict=False)
    assert chat_of(kind)(chat) == whole
    assert chat_of(kind)(chat) == whole


@pytest.mark.parametrize("kind", ["tiny", *KINDS])
@settings(max_examples=60, deadline=None)
@given(said=st.one_of(st.sampled_from(TALK), st.text(max_size=20)), cut=st.integers(0, 3))
def test_an_answer_reads_as_decoded_token_by_token(kind: str, said: str, cut: int) -> None:
    fast = tokenizer_of(kind).backend_tokenizer
    ids = fast.encode(said, add_special_tokens=False).ids
    ids = ids[: len(ids) - cut]
    stream = decoders.DecodeStream(skip_special_tokens=True)
    one_by_one = "".join(filter(None, (stream.step(fast, token) for token in ids)))
    assert chat_of(kind).said(ids, guided=False)[0].strip() == one_by_one.strip()


def test_what_was_tokenised_is_kept() -> None:
    chat = chat_of("tiny")
    before = (Message(role="system", content="Kept once."), Message(role="user", content="Hello there."))
    chat(before)
    seen = chat._ids.cache_info().misses
    chat((*before, Message(role="assistant", content="Kept, too.")))
    assert chat._ids.cache_info().misses - seen <= 2


def test_a_tokenizer_that_comes_with_a_longest_length_cuts_no_prompt() -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model())
    chat = (Message(role="system", content="I own 2 cats. " * 40), Message(role="user", content="Hello there."))
    whole = ChatTokenizer(tokenizer)(chat)
    tokenizer.backend_tokenizer.enable_truncation(64)
    assert ChatTokenizer(tokenizer)(chat) == whole


@pytest.mark.parametrize(("kind", "piecewise"), [("bytes", True), ("first marked", False)])
def test_a_tokenizer_that_cannot_be_asked_for_pieces_is_not(kind: str, piecewise: bool) -> None:
    assert chat_of(kind)._piecewise == piecewise
