"""How well facts were read off turns: F1 of content words, ROUGE-L, and turns that tell nothing that were left empty.

Both are of words, against the facts that a pair has: what is told in other words counts as missed, and a fact that the
pair lacks as wrong. Limitations: English function words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.base.words import content

_WORD = re.compile(r"\w+")
_LONGEST_ANSWER = 96
_BATCH = 32

Facts = Sequence[str]


@dataclass(frozen=True, slots=True)
class Figures:
    """`f1` is of the distinct content words, `precision` and `recall` too, over all pairs that tell something at once;
    `rouge_l` the mean of their F-measures of the longest common subsequence of words (Lin, 2004). `left_empty` is the
    share of the `empty` pairs, which tell nothing, for which nothing was written. None where there are none."""

    telling: int
    f1: float | None
    precision: float | None
    recall: float | None
    rouge_l: float | None
    empty: int
    left_empty: float | None


def figures(wanted: Sequence[Facts], found: Sequence[Facts]) -> Figures:
    """The figures of what was found for each turn, against what is wanted."""
    both = list(zip(wanted, found, strict=True))
    telling = [(" ".join(told), " ".join(read)) for told, read in both if told]
    words = [(content(told), content(read)) for told, read in telling]
    right = sum(len(told & read) for told, read in words)
    precision = right / max(sum(len(read) for _, read in words), 1)
    recall = right / max(sum(len(told) for told, _ in words), 1)
    empty = [not read for told, read in both if not told]
    return Figures(
        telling=len(telling),
        f1=2 * precision * recall / max(precision + recall, 1e-12) if telling else None,
        precision=precision if telling else None,
        recall=recall if telling else None,
        rouge_l=sum(rouge_l(*pair) for pair in telling) / len(telling) if telling else None,
        empty=len(empty),
        left_empty=sum(empty) / len(empty) if empty else None,
    )


def rouge_l(wanted: str, found: str) -> float:
    """F-measure of the longest common subsequence of two texts' words, in lower case (Lin, 2004)."""
    one, other = _WORD.findall(wanted.lower()), _WORD.findall(found.lower())
    row = [0] * (len(other) + 1)
    for word in one:
        diagonal = 0
        for place, another in enumerate(other, 1):
            above = row[place]
            row[place] = diagonal + 1 if word == another else max(above, row[place - 1])
            diagonal = above
    return 2 * row[-1] / (len(one) + len(other)) if one or other else 1.0


def answers(model: Any, tokenizer: Any, prompts: Sequence[str]) -> list[str]:
    """The greedy answers of a causal model to prompts that a chat template has rendered."""
    import torch

    tokenizer.padding_side, tokenizer.pad_token = "left", tokenizer.pad_token or tokenizer.eos_token
    model.eval()
    said: list[str] = []
    for start in range(0, len(prompts), _BATCH):
        batch = tokenizer(
            list(prompts[start : start + _BATCH]), return_tensors="pt", padding=True, add_special_tokens=False
        ).to(model.device)
        batch.pop("token_type_ids", None)
        with torch.inference_mode():
            out = model.generate(
                **batch, max_new_tokens=_LONGEST_ANSWER, do_sample=False, pad_token_id=tokenizer.pad_token_id
            )
        said += tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return said


def opened(model: str, trained: Path, adapter: bool) -> tuple[Any, Any]:
    """A trained model with its tokenizer: a folder of its own, or an adapter of the one that it was trained on."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = model if adapter else str(trained)
    whole = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return (PeftModel.from_pretrained(whole, trained).merge_and_unload() if adapter else whole), tokenizer
