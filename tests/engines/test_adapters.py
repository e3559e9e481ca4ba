"""Adapters of a real model, made on the spot, under real vLLM: several on one engine, and one that is merged."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from factory.engines import EngineStartError, LanguageModel, Message, Request, Sampling
from factory.engines.adapters import AdapterError, arguments, located, merged
from factory.engines.vllm import VllmEngine
from factory.engines.vllm_process import start
from tests.tiny import tiny_model

MODEL = LanguageModel(name=tiny_model(), dtype="float32", max_model_len=256, max_num_seqs=8)
ASKED: tuple[Message, ...] = (
    {"role": "system", "content": "You are a baker."},
    {"role": "user", "content": "Hi, what do you do?"},
)
TOKENS = 12


def base() -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_model(), dtype=torch.float32)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two adapters of different ranks, each of which makes the model say something else."""
    made = []
    for rank in (4, 12):
        torch.manual_seed(rank)
        model = get_peft_model(base(), LoraConfig(r=rank, target_modules="all-linear"))
        for name, weights in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weights, std=1.0)
        made.append(str(tmp_path_factory.mktemp(f"rank-{rank}")))
        model.save_pretrained(made[-1])
    return made


def said_by(model: Any) -> str:
    """What transformers makes of it, greedily."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model())
    asked = tokenizer.apply_chat_template(
        list(ASKED), add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = model.generate(**asked, max_new_tokens=TOKENS, do_sample=False)[0, asked["input_ids"].shape[1] :]
    return str(tokenizer.decode(answer, skip_special_tokens=True))


def answers(opened: list[str | None]) -> list[str]:
    """What an engine that was opened with these adapters says with each of them, all at once."""

    async def ask() -> list[str]:
        engine = VllmEngine(MODEL, opened)
        greedy = Sampling(temperature=0, max_tokens=TOKENS)
        try:
            replies = await asyncio.gather(*(engine.generate(Request(ASKED, greedy, adapter=one)) for one in opened))
        finally:
            await engine.close()
        return [reply.completions[0].text for reply in replies]

    return asyncio.run(ask())


def test_one_engine_answers_with_each_adapter_and_without(adapters: list[str]) -> None:
    wanted = [said_by(base()), *(said_by(PeftModel.from_pretrained(base(), adapter)) for adapter in adapters)]
    assert len(set(wanted)) == 3
    assert answers([None, *adapters]) == wanted


def test_an_adapter_that_is_alone_is_merged_once(
    adapters: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path))
    assert answers([adapters[1]]) == [said_by(PeftModel.from_pretrained(base(), adapters[1]))]
    (made,) = (tmp_path / "persona-factory" / "models").iterdir()
    written = (made / "model.safetensors").stat().st_mtime_ns
    assert merged(MODEL, Path(adapters[1])) == made
    assert (made / "model.safetensors").stat().st_mtime_ns == written
    assert merged(MODEL, Path(adapters[0])) != made


def test_room_is_made_for_the_largest_rank(adapters: list[str]) -> None:
    assert arguments([]) == {}
    folders = [located(adapter) for adapter in adapters]
    assert arguments(folders) == {"enable_lora": True, "max_loras": 3, "max_lora_rank": 16}


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (None, "holds no adapter_config.json, so it is not a PEFT adapter"),
        ("{", "adapter_config.json cannot be read"),
        (json.dumps({"peft_type": "LORA"}), "adapter_config.json cannot be read: KeyError"),
        (json.dumps({"peft_type": "IA3", "r": 8}), "names IA3 of rank 8; vLLM takes LoRA up to rank 512"),
        (json.dumps({"peft_type": "LORA", "r": 1024}), "names LORA of rank 1024"),
        (json.dumps({"peft_type": "LORA", "r": 8, "rank_pattern": {"q_proj": 600}}), "names LORA of rank 600"),
    ],
)
def test_a_folder_that_is_no_adapter_for_vllm_is_refused(tmp_path: Path, config: str | None, why: str) -> None:
    if config is not None:
        (tmp_path / "adapter_config.json").write_text(config)
    with pytest.raises(AdapterError, match=why):
        arguments([located(str(tmp_path))])


def test_an_adapter_of_another_model_stops_the_start(adapters: list[str], tmp_path: Path) -> None:
    with pytest.raises(
        EngineStartError, match="adapter org/nowhere: there is no such folder, and the Hugging Face hub"
    ):
        start(MODEL, ["org/nowhere"])
