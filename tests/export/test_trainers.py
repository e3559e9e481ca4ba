"""The library that each format is for trains on what was exported: TRL, from a tiny model, on the CPU."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from factory.export import export
from factory.methods.exports.preference import Of
from factory.spec.job import Job
from tests.tiny import write_tiny

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>' }}{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ (m['content'] | trim) + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ (m['content'] | trim) + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""The tiny model's, with the marks that TRL's assistant-only loss goes by."""
STEPS = {
    "max_steps": 10, "per_device_train_batch_size": 8, "learning_rate": 1e-2, "warmup_steps": 0, "logging_steps": 1,
    "report_to": [], "use_cpu": True, "bf16": False, "save_strategy": "no", "disable_tqdm": True, "max_length": 512,
    "lr_scheduler_type": "constant", "gradient_checkpointing": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny(folder)
    return str(folder)


def model_of(folder: str) -> Any:
    torch.manual_seed(1)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def losses(trainer: Any) -> list[float]:
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def goes_down(found: list[float]) -> bool:
    assert len(found) == 10
    return fmean(found[-3:]) < fmean(found[:3]) - 0.01


def test_sft_learns_the_assistants_turns(job: Job, tiny: str, tmp_path: Path) -> None:
    told = export(job.corpus, "chat", str(tmp_path / "chat"), splits={"test": 0.3})
    data = load_dataset("parquet", data_dir=told.to, cache_dir=str(tmp_path / "cache"))
    one_batch = data["train"].select(range(8))
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.chat_template = TEMPLATE
    config = SFTConfig(str(tmp_path / "out"), assistant_only_loss=True, **STEPS)
    trainer = SFTTrainer(model_of(tiny), config, train_dataset=one_batch, processing_class=tokenizer)
    for chat, learned in zip(one_batch, trainer.train_dataset, strict=True):
        said = [message["content"] for message in chat["messages"] if message["role"] == "assistant"]
        assert tokenizer.decode([label for label in learned["labels"] if label != -100]) == "".join(
            f"{text}<|end|>" for text in said
        )
    assert goes_down(losses(trainer))


@pytest.mark.parametrize("of", ["turn", "slot"])
def test_dpo_learns_to_prefer(job: Job, tiny: str, tmp_path: Path, of: Of) -> None:
    told = export(job.corpus, "preference", str(tmp_path / "pairs"), form="jsonl", of=of)
    data = load_dataset("json", data_dir=told.to, cache_dir=str(tmp_path / "cache"))
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    trainer = DPOTrainer(
        model_of(tiny), None, DPOConfig(str(tmp_path / "out"), **STEPS),
        train_dataset=data["train"].select(range(8)), processing_class=tokenizer,
    )  # fmt: skip
    found = losses(trainer)
    assert goes_down(found)
    margins = [entry["rewards/margins"] for entry in trainer.state.log_history if "rewards/margins" in entry]
    assert margins[-1] > margins[0]
