"""`factory train-lm`: train any causal language model, or an adapter of it, on a corpus or on your own chats.

Of a corpus the model learns each speaker's turns from that speaker's prompt, as generation sends it, so what comes out
can be the dialogue model of the next job. The held-out perplexity, with the speaker's own facts and with a stranger's,
says whether it uses the persona. Limitations: sharded models; the weights must fit the device.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, get_peft_model
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.json_schema import SkipJsonSchema
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from factory.base.places import absolute
from factory.models import placed, resolve, short
from factory.store.corpus import Corpus
from factory.training import TrainingError
from factory.training.chats import (
    IGNORED,
    Chat,
    ChatFiles,
    ChatSource,
    Tokens,
    characters,
    chats_of,
    drawn_chats,
    epoch,
    pad,
    prompt_facts,
    read_chats,
    rows_of,
)
from factory.training.output import replace_folder
from factory.training.stream import Stream
from factory.training.templates import Templates
from factory.training.trainer import Steps, begin, fit, pinned

_HELD_ROWS = 200
"""Dialogues or chats of the held-out perplexity, at most."""


class Lora(BaseModel):
    """An adapter of low rank beside every linear layer (LoRA, ICLR 2022); the model's own weights stay as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(16, ge=1, description="Rank of the adapter's matrices; its size grows with it.")
    alpha: int = Field(32, ge=1, description="What the adapter adds is scaled by alpha over rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of the adapter's inputs that is dropped in training.")


class LmConfig(BaseModel):
    """What is trained, on what, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: SkipJsonSchema[Path] = Field(Path("."), exclude=True, description="Folder of the file; set by its loader.")
    model: str = Field(
        min_length=1, description="A folder (relative ones start at this file), a bundled model or a Hugging Face id."
    )
    revision: str | None = Field(None, description="Branch, tag or commit of a Hugging Face model.")
    trust_remote_code: bool = Field(False, description="Run Python code from the model's repository.")
    data: ChatSource | ChatFiles
    max_tokens: int = Field(1024, ge=16, description="Longest chat, in tokens; longer ones are cut.")
    seed: int = 0
    weights: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="How weights are held in training. bfloat16 takes half of the memory; without `lora` small updates "
        "are then lost.",
    )
    lora: Lora | None = Field(None, description="Train an adapter instead of the model, and write only that.")
    training: Steps

    @field_validator("model")
    @classmethod
    def _model_from_base(cls, model: str, info: ValidationInfo) -> str:
        return placed(model, info.data.get("base", "."))

    @field_validator("data")
    @classmethod
    def _data_from_base(cls, data: ChatSource | ChatFiles, info: ValidationInfo) -> ChatSource | ChatFiles:
        base = info.data.get("base", ".")
        if isinstance(data, ChatFiles):
            return data.model_copy(update={"files": tuple(absolute(path, base) for path in data.files)})
        return data.model_copy(update={"corpus": absolute(data.corpus, base)})


@dataclass(frozen=True, slots=True)
class LmResult:
    """What a training came to. Perplexities are per token of held-out turns; none where nothing is held out. Files have
    no version, and no strangers."""

    output: str
    steps: int
    corpus_version: int | None
    perplexity: float | None
    perplexity_wrong_persona: float | None


def train_lm(config: LmConfig, output: Path) -> LmResult:
    """Train to the configured steps and write the model folder. Beside it, `<output>.training` holds the checkpoints
    that a killed training resumes from, and the loss curve. Raises TrainingError and CorpusError."""
    work = output.with_name(f"{output.name}.training")
    begin(work, config)
    source, version = config.data, None
    if isinstance(source, ChatSource):
        version = pinned(source.corpus, source.version, work / "corpus_version")
        source = source.model_copy(update={"version": version})
    tokenizer, model, dtype = _load(config)
    tokens = Tokens(tokenizer, config.max_tokens)
    chats = partial(epoch, source, tokens) if isinstance(source, ChatSource) else partial(drawn_chats, source, tokens)
    stream = partial(Stream, chats, tokens, characters, seed=config.seed, batch=config.training.batch)
    collate = partial(pad, filler=tokenizer.pad_token_id or tokenizer.eos_token_id)
    fit(model, stream, collate, config.training, seed=config.seed, work=work)
    own, wrong = _held_out(model, tokens, source)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        model.to(dtype)
        if config.lora is None:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        else:
            # What is saved names the model as people do: a folder of this machine is nobody else's business.
            model.peft_config["default"].base_model_name_or_path = short(config.model)
            model.save_pretrained(folder, save_embedding_layers=False)
            Path(folder, "README.md").unlink()  # which names the folder
        replace_folder(Path(folder), output)
    return LmResult(str(output), config.training.steps, version, own, wrong)


def _held_out(model: Any, tokens: Tokens, source: ChatSource | ChatFiles) -> tuple[float | None, float | None]:
    if isinstance(source, ChatSource):
        return persona_perplexity(model, tokens, source)
    chats = read_chats(source, held=True)[:_HELD_ROWS]
    return (perplexity(model, tokens, chats) if chats else None), None


def _load(config: LmConfig) -> tuple[Any, Any, torch.dtype]:
    """Tokenizer, what is trained, and the type to save it in: that of the model."""
    path = resolve(config.model)
    options = {"revision": config.revision, "trust_remote_code": config.trust_remote_code}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **options)
        dtype = AutoConfig.from_pretrained(path, **options).dtype or torch.float32
        model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, config.weights), **options)
    except (ImportError, OSError, ValueError) as error:
        raise TrainingError(f"model {config.model} cannot be loaded: {error}") from error
    if (lora := config.lora) is not None:  # the adapter itself is float32, as peft has it
        low = {"r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout}
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", **low))
    return tokenizer, model, dtype


def persona_perplexity(model: Any, tokens: Tokens, source: ChatSource) -> tuple[float | None, float | None]:
    """Perplexity per token of held-out turns, with the speaker's own facts and with a stranger's: those of the next row
    that shares no seed. Rows without one are left out; none if none is left."""
    templates, rows = Templates(Corpus(source.corpus)), list(islice(rows_of(source, held=True), _HELD_ROWS))
    own: list[Chat] = []
    wrong: list[Chat] = []
    for number, row in enumerate(rows):
        seeds = {seed.id for seed in row.seeds}
        others = (*rows[number + 1 :], *rows[:number])
        stranger = next((other for other in others if seeds.isdisjoint(seed.id for seed in other.seeds)), None)
        if stranger is not None:
            own += chats_of(row, prompt_facts(row, source), templates)
            wrong += chats_of(row, prompt_facts(stranger, source), templates)
    return (perplexity(model, tokens, own), perplexity(model, tokens, wrong)) if own else (None, None)


@torch.inference_mode()
def perplexity(model: Any, tokens: Tokens, chats: Sequence[Chat]) -> float:
    """Perplexity per learned token, over all chats."""
    model.eval()
    total, learned = 0.0, 0
    for chat in (part for whole in chats for part in tokens.parts(whole)):
        batch = {name: value.to(model.device) for name, value in pad([tokens(chat)], 0).items()}
        labels = batch.pop("labels")[:, 1:]
        logits = model(**batch).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        total += losses.item()
        learned += int((labels != IGNORED).sum())
    return math.exp(total / max(learned, 1))
