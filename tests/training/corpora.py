"""A committed corpus of a few dialogues, and a model small enough to train in seconds."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from factory.models import resolve
from factory.store.corpus import Corpus
from factory.store.records import PairScore, Row, rows_to_table
from tests.methods.parts import a_row


def dialogue(number: int) -> Row:
    """A row of two seeds of its own, whose first speaker says its fact."""
    row = a_row(
        [f"I have {number} hens."],
        [f"I live in house {number}."],
        turns=["Hi!", "Hello.", f"I have {number} hens.", "Nice."],
        row_id=f"{number:032x}",
    )
    for seed, speaker, side in zip(row.seeds, row.speakers, "ab", strict=True):
        seed.id = speaker.id = speaker.seed_id = f"{side}{number}"
    row.decision = "accept"
    row.scores = [
        PairScore("turn_persona", 0, 2, f"I have {number} hens.", f"I have {number} hens.", 1.0, 0.98, 0.01, 0.01),
        PairScore("turn_persona", 0, 0, f"I have {number} hens.", "Hi!", 0.3, 0.2, 0.5, 0.3),
    ]
    return row


def write_corpus(root: Path, rows: list[Row], per_shard: int = 5) -> Corpus:
    """Commit rows, a few to a shard."""
    corpus = Corpus(str(root))
    corpus.table.shards()
    parts = [rows[first : first + per_shard] for first in range(0, len(rows), per_shard)]
    shards = [corpus.table.write(rows_to_table(part)) for part in parts]
    corpus.table.commit(shards, [], "test")
    return corpus


def write_tiny_lm(folder: Path) -> None:
    """A one-layer Llama with persona-lm's tokenizer and chat template."""
    tokenizer = AutoTokenizer.from_pretrained(resolve("persona-lm"))
    size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), dtype="bfloat16", **size)).bfloat16().save_pretrained(
        folder
    )
    tokenizer.save_pretrained(folder)
