"""persona-lm in miniature: what is trained is what transformers loads."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from factory.training.examples import PublishedTalk, draw_example
from factory.training.loop import Schedule
from factory.training.persona_lm import Encoder, PersonaLmConfig, make_model, make_tokenizer, train_persona_lm

CONFIG = PersonaLmConfig(
    corpus=None, words=None, vocabulary=700, hidden=128, layers=2, heads=2, intermediate=128, seed=3, batch_tokens=512,
    learning_rate=1e-3, muon_learning_rate=5e-3, copy_weight=4.0, partner_weight=0.0,
    schedule=Schedule(steps=6, warmup=1, checkpoint_every=3, report_every=3),
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer(CONFIG.vocabulary, CONFIG.seed, PublishedTalk())


def test_ids_are_those_of_the_chat_template_and_only_answers_are_learned(tokenizer: PreTrainedTokenizerFast) -> None:
    encoder, rng = Encoder(tokenizer, 4.0), random.Random(1)
    for _ in range(40):
        example = draw_example(rng)
        ids, weights = encoder(example)
        assert ids == tokenizer.apply_chat_template(list(example.messages), tokenize=True)["input_ids"]
        learned = tokenizer.decode([token for token, weight in zip(ids, weights, strict=True) if weight])
        answers = [m["content"].strip() + "<|end|>" for m in example.messages if m["role"] == "assistant"]
        assert learned == "".join(answers)


def test_what_is_copied_from_the_persona_weighs_more(tokenizer: PreTrainedTokenizerFast) -> None:
    encoder, rng = Encoder(tokenizer, 4.0, partner_weight=0.5), random.Random(2)
    weights = [weight for _ in range(50) for weight in encoder(draw_example(rng, progress=0.0))[1]]
    assert set(weights) == {0.0, 0.5, 1.0, 4.0}


def test_the_tokenizer_keeps_any_text(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "Zoë paid 1,204 € — 好, \t ok?\nI'm  done"
    assert tokenizer.decode(tokenizer.encode(text)) == text


@torch.inference_mode()
def test_a_fresh_model_already_repeats_random_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    model: LlamaForCausalLM = make_model(CONFIG, tokenizer).eval()
    once = torch.randint(10, 600, (8, 48), generator=torch.Generator().manual_seed(1))
    twice = torch.cat([once, once], 1)
    logits = model(twice).logits[:, 48:-1]
    # A tied embedding favours the current token itself; what counts is the choice among the others.
    logits = logits.scatter(2, twice[:, 48:-1, None], -torch.inf)
    assert (logits.argmax(-1) == once[:, 1:]).float().mean() > 0.5


def test_the_saved_folder_loads_and_answers(tmp_path: Path) -> None:
    assert train_persona_lm(CONFIG, tmp_path / "model", tmp_path / "work") == 6
    assert train_persona_lm(CONFIG, tmp_path / "model", tmp_path / "work") == 0
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert model.dtype == torch.bfloat16
    chat = [{"role": "user", "content": "Hi!"}]
    batch = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    out = model.generate(batch["input_ids"], max_new_tokens=3)
    assert out.shape[1] > batch["input_ids"].shape[1]
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids("<|end|>")
