"""Replies by a causal language model: how likely given ones are, and what it says itself.

Candidates of a turn share its prompt, and turns of a dialogue the beginning of theirs: keys and values of what is
shared are computed once. Limitations: models that keep something else than keys and values are not supported; one whose
layers look back over a window only begins anew at each turn.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

import torch
from transformers import DynamicCache

from factory.training.chats import IGNORED, Chat, Tokens, pad

_GENERATED = 16
"""Replies that are generated at once."""


class Likelihoods:
    """The log likelihoods of replies. What is asked one after the other should have much in common."""

    def __init__(self, model: Any, tokens: Tokens) -> None:
        self._model, self._tokens = model, tokens
        self._ids: list[int] = []
        self._cache = DynamicCache(config=model.config)

    @torch.inference_mode()
    def __call__(self, prompt: Chat, replies: Sequence[str]) -> list[tuple[float, int]]:
        """For each reply its log likelihood and how many tokens it has, the one that ends it too."""
        rows = [self._tokens.reply(prompt, reply) for reply in replies]
        # The token before a reply is fed with it, since it predicts the reply's first.
        first = min(next(at for at, label in enumerate(row["labels"]) if label != IGNORED) for row in rows)
        shared = min(_common([row["input_ids"] for row in rows]), first - 1)
        self._read(rows[0]["input_ids"][:shared])
        cache = copy.deepcopy(self._cache)
        cache.batch_repeat_interleave(len(rows))
        batch = pad([{name: ids[shared:] for name, ids in row.items()} for row in rows], 0)
        batch = {name: values.to(self._model.device) for name, values in batch.items()}
        labels, mask = batch["labels"][:, 1:], batch["attention_mask"]
        mask = torch.cat([mask.new_ones(len(rows), shared), mask], dim=1)
        found = self._model(input_ids=batch["input_ids"], attention_mask=mask, past_key_values=cache, use_cache=True)
        losses = torch.nn.functional.cross_entropy(
            found.logits[:, :-1].float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
        )
        return list(zip((-losses.sum(dim=1)).tolist(), (labels != IGNORED).sum(dim=1).tolist(), strict=True))

    def _read(self, ids: list[int]) -> None:
        """Have the cache hold these tokens, and no others."""
        known, croppable = _common([self._ids, ids]), all(layer.is_croppable for layer in self._cache.layers)
        if known < len(self._ids) and not croppable:
            self._ids, known, self._cache = [], 0, DynamicCache(config=self._model.config)
        if known < len(self._ids):
            self._cache.crop(known - len(self._ids))
        if new := ids[known:]:
            batch = torch.tensor([new], device=self._model.device)
            self._model(input_ids=batch, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        self._ids = ids


def _common(rows: Sequence[list[int]]) -> int:
    """How many ids all rows begin with."""
    return sum(1 for _ in takewhile(lambda ids: len(set(ids)) == 1, zip(*rows, strict=False)))


@torch.inference_mode()
def generated(
    model: Any, tokens: Tokens, prompts: Sequence[list[int]], longest: int, report: Callable[[int], None]
) -> list[str]:
    """What the model says to each prompt, given as ids, in at most so many tokens; always its likeliest next token."""
    tokenizer, said = tokens.tokenizer, dict[int, str]()
    ends = model.generation_config.eos_token_id
    ends = [*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id]
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    for start in range(0, len(order), _GENERATED):
        some = order[start : start + _GENERATED]
        width = max(len(prompts[number]) for number in some)
        blank = [width - len(prompts[number]) for number in some]
        ids = [[ends[-1]] * left + prompts[number] for left, number in zip(blank, some, strict=True)]
        mask = [[0] * left + [1] * (width - left) for left in blank]
        found = model.generate(
            input_ids=torch.tensor(ids, device=model.device), attention_mask=torch.tensor(mask, device=model.device),
            max_new_tokens=longest, do_sample=False, temperature=None, top_p=None, top_k=None,
            eos_token_id=sorted({end for end in ends if end is not None}), pad_token_id=ends[-1],
        )  # fmt: skip
        texts = tokenizer.batch_decode(found[:, width:], skip_special_tokens=True)
        said.update(zip(some, texts, strict=True))
        report(len(said))
    return [said[number] for number in range(len(prompts))]
