"""What the tiny model says by transformers alone."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from factory.engines import Request
from tests.tiny import tiny_model


@cache
def transformer() -> tuple[Any, Any]:
    folder = tiny_model()
    return AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()


def constrained(asked: Request) -> list[float]:
    """Of a request's choices, how probable each is where nothing else may be said, by transformers alone."""
    tokenizer, model = transformer()
    prompt = tokenizer.apply_chat_template(list(asked.messages), add_generation_prompt=True, return_dict=False)
    paths = [[*tokenizer.encode(one, add_special_tokens=False), tokenizer.eos_token_id] for one in asked.choices]
    product = [1.0] * len(paths)
    for number, path in enumerate(paths):
        with torch.no_grad():
            logits = model(torch.tensor([prompt + path])).logits[0, len(prompt) - 1 :].double()
        for length, token in enumerate(path):
            allowed = sorted({other[length] for other in paths if other[:length] == path[:length]})
            product[number] *= logits[length, allowed].softmax(0)[allowed.index(token)].item()
    return product
