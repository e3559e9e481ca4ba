"""A language model of a few thousand parameters that is made on the spot: it talks words without sense, as real text.

Its weights are drawn, but for one direction of its vectors, which says how likely each token is whatever came before:
words are, so are full stops, and an answer ends after some ten tokens. What it is asked still moves what it says.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from factory.methods.prompts import bundled

ROOT = Path(__file__).parents[1]

ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|' + m['role'] + '|>' + (m['content'] | trim) + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_TEXT = (
    "apple baker cello dance eagle fiddle garden harbour island jungle kitchen lantern mountain noodle orchard piano "
    "quarry river saddle teacher umbrella winter yellow zebra almond bridge candle dragon evening forest "
    "ginger hammer insect jacket kettle lemon marble needle office pepper quiet rabbit silver tunnel uncle velvet"
)
_WORDS = _TEXT.split()
_SIZE, _CONSTANT, _NEVER = 64, 4.0, -12.0
_LONGEST = 2048


@cache
def tiny_model() -> str:
    """The model's folder, made once a process."""
    folder = tempfile.mkdtemp(prefix="tiny-model-")
    write_tiny(Path(folder))
    return folder


def write_tiny(folder: Path) -> None:
    """Write model and tokenizer, always the same."""
    tokenizer = _tokenizer()
    sizes = {"hidden_size": _SIZE, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(5)
    model = LlamaForCausalLM(  # type: ignore[no-untyped-call]
        LlamaConfig(
            vocab_size=len(tokenizer), max_position_embeddings=_LONGEST, tie_word_embeddings=False,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id, **sizes,
        )
    )  # fmt: skip
    with torch.no_grad():
        vectors = model.model.embed_tokens.weight
        vectors.copy_(torch.randn_like(vectors) * 0.3)
        vectors[:, 0], vectors[:, 1] = _CONSTANT, 0.0
        vectors[tokenizer.convert_tokens_to_ids(ROLES[-1]), 1] = (
            1.0  # behind which no answer ends, or it would be empty
        )
        scale = _CONSTANT / (_CONSTANT**2 / _SIZE + 0.3**2) ** 0.5  # what the last norm makes of it
        model.lm_head.weight.copy_(torch.randn_like(model.lm_head.weight) * 0.15)
        model.lm_head.weight[:, 0] = _likeliness(tokenizer) / scale
        model.lm_head.weight[:, 1] = 0.0
        model.lm_head.weight[tokenizer.eos_token_id, 1] = _NEVER
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        do_sample=True, temperature=0.7, top_p=0.9,
    )  # fmt: skip
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1200, special_tokens=["<s>", "<|end|>", "<pad>", *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )  # fmt: skip
    said = [" ".join((*_WORDS[n:], *_WORDS[:n])) + "." for n in range(8)]
    asked = [bundled(name) for name in ("converse", "expand", "extract", "script")]
    facts = (ROOT / "jobs" / "personas" / "quickstart.jsonl").read_text(encoding="utf-8").splitlines()
    tokenizer.train_from_iterator([*said, *asked, *facts], trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|end|>", pad_token="<pad>",
        additional_special_tokens=list(ROLES), chat_template=TEMPLATE, model_max_length=_LONGEST,
    )  # fmt: skip


def _likeliness(tokenizer: Any) -> torch.Tensor:
    """The logit that each token has by itself."""
    likely = torch.full((len(tokenizer),), _NEVER)
    for token in range(len(tokenizer)):
        if tokenizer.decode([token]).strip() in _WORDS and tokenizer.decode([token]).startswith(" "):
            likely[token] = 0.0
    likely[tokenizer.convert_tokens_to_ids(".")] = 0.0
    likely[tokenizer.eos_token_id] = 1.5
    return likely
