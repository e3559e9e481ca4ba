"""An initialisation that holds induction heads from the first step: the model can copy at once, and learns when to.

Copying needs two heads in a row: one that marks each token with its predecessor, one that finds an earlier token with
the current token's mark and repeats what it was (Olsson et al., 2022). Gradient descent finds the pair only after many
millions of tokens; written into the initial weights (as in mimetic initialisation, Trockman and Kolter, 2023) it is
there from the start and trained like everything else. A fresh model of persona-lm's size repeats 91 to 94 % of random
tokens it saw 64 to 256 tokens before. Half of the heads of the first two layers are set; the rest stay random.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaAttention

SPREAD = 0.1
"""Deviation of the embeddings. Wide, so that the first noisy steps do not blur the tokens that the heads compare."""
LOGIT_SCALE = 0.6
PREVIOUS_LOGIT = 50.0
"""Attention logit of the preceding token in the first layer; its neighbours lie about an eighth lower."""
MARK_SCALE = 2.0
MATCH_SCALE = 3.0
COPY_SCALE = 12.0
SLOW = 3e-3
"""Radians a token below which a rotary pair can match over the length of a chat."""


@torch.no_grad()
def set_induction_heads(model: LlamaForCausalLM, generator: torch.Generator) -> None:
    """Write previous-token heads into layer 0 and induction heads into layer 1 of a fresh model, in place."""
    config = model.config
    width, heads = config.hidden_size, config.num_attention_heads
    size, used = width // heads, max(1, heads // 2)
    embedding = model.model.embed_tokens.weight
    embedding *= SPREAD / embedding.std()
    model.model.norm.weight *= LOGIT_SCALE
    basis = torch.linalg.qr(torch.randn(width, width, generator=generator))[0].T
    # One direction is the constant's, and what remains is shared by what a token is and what came before it.
    rank = min(size, (width - 1) // (2 * used))
    constant, marks, content = basis[0], basis[1 : 1 + used * rank], basis[1 + used * rank : 1 + 2 * used * rank]
    # All tokens share a constant component, which is what a head that looks at positions alone attends by.
    embedding -= (embedding @ constant)[:, None] * constant
    embedding += 0.5 * SPREAD * width**0.5 * constant
    share = (0.25 / 1.25) ** 0.5 * width**0.5
    for layer in model.model.layers:
        # Random branches must not drown the marks.
        layer.self_attn.o_proj.weight *= 0.2
        layer.mlp.down_proj.weight *= 0.2
    first, second = model.model.layers[0].self_attn, model.model.layers[1].self_attn
    rope: Any = config.rope_parameters
    theta = float(rope["rope_theta"])
    frequencies: torch.Tensor = 1.0 / theta ** (torch.arange(size // 2) / (size // 2))
    fast, slow = slice(0, size // 8), int((frequencies > SLOW).sum())
    strength = (PREVIOUS_LOGIT * size**0.5 / (size // 8)) ** 0.5 / share
    for head in range(used):
        rows, part = slice(head * size, (head + 1) * size), slice(head * rank, (head + 1) * rank)
        query, key = torch.zeros(size), torch.zeros(size)
        query[fast] = strength
        key[fast] = strength * torch.cos(frequencies[fast])
        key[size // 2 :][fast] = strength * torch.sin(frequencies[fast])
        first.q_proj.weight[rows] = query[:, None] * constant
        first.k_proj.weight[rows] = key[:, None] * constant
        _set_value(first, rows, content[part], marks[part], MARK_SCALE * SPREAD)
        kept = torch.arange(size)[torch.arange(size) % (size // 2) >= slow]
        kept = kept[kept < rank]
        for projection, source in ((second.q_proj, content[part]), (second.k_proj, marks[part])):
            projection.weight[rows] = 0
            projection.weight[rows.start + kept] = MATCH_SCALE * source[kept]
        _set_value(second, rows, content[part], content[part], COPY_SCALE * SPREAD)


def _set_value(attention: LlamaAttention, rows: slice, read: torch.Tensor, write: torch.Tensor, scale: float) -> None:
    value, out = attention.v_proj.weight, attention.o_proj.weight
    value[rows] = 0
    value[rows][: len(read)] = read
    out[:, rows] = 0
    out[:, rows][:, : len(write)] = scale * write.T
