"""Trains persona-lm: a small Llama on exactly the prompts that the factory's makers send, with examples of the grammar.

`python -m factory.training.persona_lm CONFIG OUT`. The loss falls on the assistant's tokens, and less on the partner's;
tokens that copy from the persona weigh more (`copy_weight`), and training begins with short chats that do little else.
Examples are drawn as needed, never stored. fp32 on the CPU: there, eager, it made 4,000 tokens a CPU-second, bf16
autocast 2,400, and torch.compile took two minutes to start; bf16 on a GPU.
"""

from __future__ import annotations

import copy
import random
import re
import sys
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from factory.training.examples import Example, PublishedTalk, draw_example, read_talk, read_wild
from factory.training.induction import set_induction_heads
from factory.training.loop import Schedule, replace_folder, train
from factory.training.words import content

BOS, EOS, PAD = "<s>", "<|end|>", "<pad>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|' + m['role'] + '|>' + (m['content'] | trim) + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
POOL = 32
"""Steps whose examples are drawn together and sorted by length, so that little of a batch is padding."""


class PersonaLmConfig(BaseModel):
    """What persona-lm is and how it is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: Path | None = Field(
        description="Synthetic-Persona-Chat CSV, a path from this file; none: the grammar alone."
    )
    words: Path | None = Field(
        description="SNLI CSV, a path from this file: its words take the places of values, to be copied; none: made-up "
        "names alone."
    )
    vocabulary: int = Field(ge=300, description="Tokens of the byte-level BPE vocabulary.")
    hidden: int = Field(ge=32)
    layers: int = Field(ge=1)
    heads: int = Field(
        ge=1, description="Attention heads; hidden / heads is the head size, which vLLM wants at 32, 64 or 128."
    )
    intermediate: int = Field(ge=32)
    seed: int
    batch_tokens: int = Field(ge=256, description="Tokens of a step, padding included.")
    learning_rate: float = Field(gt=0, description="AdamW: embeddings and norms.")
    muon_learning_rate: float = Field(gt=0, description="Muon: the hidden matrices.")
    copy_weight: float = Field(
        ge=1, description="Weight of an answer's token that occurs in the persona; others weigh 1."
    )
    partner_weight: float = Field(
        ge=0, description="Weight of the user's tokens: talk to learn from, too, but not to answer."
    )
    schedule: Schedule


def make_tokenizer(vocabulary: int, seed: int, corpus: PublishedTalk) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on drawn examples; digits stand alone, so that any number can be copied."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[BOS, EOS, PAD, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )

    def texts() -> Iterator[str]:
        rng = random.Random(seed)
        for _ in range(8000):
            yield from (message["content"] for message in draw_example(rng, corpus=corpus).messages)
        for _, turns in corpus.dialogues:
            yield from turns

    tokenizer.train_from_iterator(texts(), trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD, additional_special_tokens=list(ROLES),
        chat_template=CHAT_TEMPLATE, model_max_length=2048,
    )  # fmt: skip


def _tokenizer(config: PersonaLmConfig, corpus: PublishedTalk, kept: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of the run that is resumed, or a new one: it must outlive a change of the grammar."""
    if kept.exists():
        resumed: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(kept)
        return resumed
    tokenizer = make_tokenizer(config.vocabulary, config.seed, corpus)
    tokenizer.save_pretrained(kept)
    return tokenizer


def make_model(config: PersonaLmConfig, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A fresh Llama with induction heads in its initial weights."""
    model = LlamaForCausalLM(  # type: ignore[no-untyped-call]
        LlamaConfig(
            vocab_size=config.vocabulary, hidden_size=config.hidden, intermediate_size=config.intermediate,
            num_hidden_layers=config.layers, num_attention_heads=config.heads, num_key_value_heads=config.heads,
            max_position_embeddings=2048, rope_parameters={"rope_type": "default", "rope_theta": 1e6},
            tie_word_embeddings=True, attention_bias=False,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip
    set_induction_heads(model, torch.Generator().manual_seed(config.seed))
    return model


class Encoder:
    """Turns examples into token ids and loss weights."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, copy_weight: float, partner_weight: float = 0.0) -> None:
        self.tokenizer = tokenizer
        self.copy_weight, self.partner_weight = copy_weight, partner_weight
        self.roles = {role: tokenizer.convert_tokens_to_ids(f"<|{role}|>") for role in ("system", "user", "assistant")}
        self._ids = lru_cache(maxsize=4096)(lambda text: tuple(tokenizer.encode(text, add_special_tokens=False)))

    def __call__(self, example: Example) -> tuple[list[int], list[float]]:
        """Ids as the chat template gives them, and for each id the weight of predicting it."""
        copied = {word for text in example.copied for word in content(text)}
        ids, weights = [self.tokenizer.bos_token_id], [0.0]
        for message in example.messages:
            said = [self.roles[message["role"]]]
            learned = [0.0]
            for part in re.findall(r"\s*[^\s]+", message["content"].strip()):
                tokens = self._ids(part)
                said += tokens
                learned += [self._weight(message["role"], part, copied)] * len(tokens)
            ids += [*said, self.tokenizer.eos_token_id]
            weights += [*learned, 1.0 if message["role"] == "assistant" else 0.0]
        return ids, weights

    def _weight(self, role: str, part: str, copied: set[str]) -> float:
        if role == "assistant":
            return self.copy_weight if content(part) & copied else 1.0
        return self.partner_weight if role == "user" else 0.0


class Batches:
    """Batches of like length, each a function of its step."""

    def __init__(self, config: PersonaLmConfig, encoder: Encoder, corpus: PublishedTalk) -> None:
        self.config, self.encoder, self.corpus = config, encoder, corpus
        self._pool: tuple[int, list[list[tuple[list[int], list[float]]]]] = (-1, [])

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and weights of a step's batch, each (rows, tokens), padded on the right."""
        if self._pool[0] != step // POOL:
            self._pool = (step // POOL, self._draw(step // POOL))
        rows = self._pool[1][step % POOL]
        width = -(-max(len(ids) for ids, _ in rows) // 32) * 32
        pad = self.encoder.tokenizer.pad_token_id
        ids = torch.tensor([row + [pad] * (width - len(row)) for row, _ in rows])
        return ids, torch.tensor([weights + [0.0] * (width - len(weights)) for _, weights in rows])

    def _draw(self, pool: int) -> list[list[tuple[list[int], list[float]]]]:
        rng = random.Random(f"{self.config.seed} {pool}")
        progress = pool * POOL / self.config.schedule.steps
        rows, tokens = [], 0
        while tokens < POOL * self.config.batch_tokens:
            row = self.encoder(draw_example(rng, progress, corpus=self.corpus))
            if len(row[0]) <= 1024:
                rows.append(row)
                tokens += len(row[0]) + 12
        rows.sort(key=lambda row: len(row[0]))
        groups: list[list[tuple[list[int], list[float]]]] = [[] for _ in range(POOL)]
        share, seen = tokens / POOL, 0.0
        for row in rows:
            groups[min(POOL - 1, int(seen / share))].append(row)
            seen += len(row[0]) + 12
        rng.shuffle(groups)
        return groups


def train_persona_lm(config: PersonaLmConfig, output: Path, work: Path) -> int:
    """Train to the configured steps, resuming from `work`; write the model folder. The steps done in this call."""
    torch.manual_seed(config.seed)
    corpus = read_talk(config.corpus, wild=read_wild(config.words))
    tokenizer = _tokenizer(config, corpus, work / "tokenizer")
    model = make_model(config, tokenizer)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)  # type: ignore[arg-type]
    batches = Batches(config, Encoder(tokenizer, config.copy_weight, config.partner_weight), corpus)

    def loss_of(step: int) -> torch.Tensor:
        ids, weights = (part.to(device) for part in batches[step])
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            states = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
            weights = weights[:, 1:]
            learned = weights > 0
            logits = model.lm_head(states[learned])
        losses = torch.nn.functional.cross_entropy(logits.float(), ids[:, 1:][learned], reduction="none")
        return (losses * weights[learned]).sum() / weights.sum()

    def save() -> None:
        write_model(model, tokenizer, output)

    return train(model, optimizers(model, config), loss_of, config.schedule, checkpoint=work / "lm.pt", save=save)


def optimizers(model: LlamaForCausalLM, config: PersonaLmConfig) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices (Jordan et al., 2024), AdamW for the rest."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim < 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=config.muon_learning_rate, weight_decay=0.01),
        torch.optim.AdamW(others, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def write_model(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, output: Path) -> None:
    """The folder that transformers and vLLM load: bf16 weights, tokenizer with chat template, sampling defaults."""
    with tempfile.TemporaryDirectory() as folder:
        small = copy.deepcopy(model).bfloat16()
        small.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id, do_sample=True, temperature=0.7, top_p=0.9,
        )  # fmt: skip
        small.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        replace_folder(Path(folder), output)


def main(config: Path, output: Path, work: Path = Path("checkpoints/persona-lm")) -> None:
    """Train from a YAML file into a model folder; checkpoints go to `work`."""
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    files = {name: config.parent / content[name] for name in ("corpus", "words") if content.get(name)}
    train_persona_lm(PersonaLmConfig.model_validate(content | files), output, work)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
