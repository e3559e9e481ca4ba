"""`train-nli`: its pairs, and the classifier it leaves."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from factory.models import resolve
from factory.scorers.nli import Nli, NliModel
from factory.spec.layers import YamlError
from factory.spec.yamlfile import load_yaml
from factory.training import TrainingError, nli
from factory.training.labelled import LABELS
from factory.training.neutrals import dialogues_of
from factory.training.nli import NliConfig, gather, train_nli
from tests.training.corpora import dialogue, write_corpus

TALK = "User 1: How was your day?\nUser 2: I spent it fixing my roof.\nUser 1: My dogs are called [dog's name]."


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    said = ("cat cat cat cat", "rain rain rain rain", "seven seven seven seven")
    rows = [{"premise": f"dog {i}", "hypothesis": said[i % 3], "label": LABELS[i % 3]} for i in range(300)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "spc.csv"
    row = ("I have two dogs.", "I live in an old house.\nMy roof leaks.", TALK)
    with path.open("w", newline="") as file:
        header = ("user 1 personas", "user 2 personas", "Best Generated Conversation")
        csv.writer(file).writerows([header, *[row] * 3])
    return path


def config(**changes: Any) -> NliConfig:
    steps = {"steps": 40, "batch": 16, "learning_rate": 2e-4, "checkpoint_every": 20, "report_every": 10}
    return NliConfig.model_validate({"training": steps, "held": 0.2, **changes})


def test_a_new_head_learns_and_the_job_can_use_it(tmp_path: Path, pairs: Path) -> None:
    given = config(
        model="minilm", files=[{"path": str(pairs)}], weights="float16", head_learning_rate=1e-2, frozen_words=True
    )
    result = train_nli(given, tmp_path / "model")
    assert result.accuracy > 0.9, "the label follows from one word of the hypothesis"
    assert 150 < result.pairs < 300
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert model.dtype == torch.float16
    kept = AutoModel.from_pretrained(resolve("minilm")).embeddings.word_embeddings.weight
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, kept.half())
    Nli(NliModel(name=str(tmp_path / "model"))).close()


def test_a_model_with_the_three_labels_keeps_their_order(tmp_path: Path, pairs: Path) -> None:
    names = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}
    base = AutoModelForSequenceClassification.from_pretrained(resolve("nli-small"))
    base.config.id2label, base.config.label2id = names, {name: number for number, name in names.items()}
    base.save_pretrained(tmp_path / "base")
    AutoTokenizer.from_pretrained(resolve("nli-small")).save_pretrained(tmp_path / "base")
    result = train_nli(config(model=str(tmp_path / "base"), files=[{"path": str(pairs)}]), tmp_path / "model")
    assert result.accuracy > 0.9
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").config.id2label == names


def test_a_corpus_gives_the_pairs_its_model_was_sure_of(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", [dialogue(number) for number in range(8)])
    trained, held, _ = gather(config(model="m", corpora=[{"corpus": str(tmp_path / "corpus")}], held=0))
    assert {(pair.premise, pair.label) for pair in trained} == {(f"I have {n} hens.", "entailment") for n in range(8)}
    assert not held


def test_a_training_that_goes_on_reads_the_version_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(nli, "fit", lambda *_, **__: None)
    monkeypatch.setattr(nli, "gather", lambda config: seen.append(len(gather(config)[0])) or gather(config))
    wanted = config(model=str(resolve("nli-small")), corpora=[{"corpus": str(tmp_path / "corpus")}], held=0)
    for first in (0, 8):
        write_corpus(tmp_path / "corpus", [dialogue(number) for number in range(first, first + 8)])
        train_nli(wanted, tmp_path / "model")
    assert seen == [8, 8]


def test_no_premise_is_on_both_sides(pairs: Path) -> None:
    trained, held, left_out = gather(config(model="m", files=[{"path": str(pairs)}]))
    assert 30 < len(held) < 100
    assert not {pair.premise for pair in trained} & {pair.premise for pair in held}
    assert not left_out


def test_talk_is_drawn_by_the_seed(talk: Path) -> None:
    given = {"model": "m", "talk": {"path": str(talk), "skip": 1, "pairs": 3}}
    one, same, other = (gather(config(**given, seed=seed))[0] for seed in (1, 1, 2))
    assert len(one) == 3
    assert one == same != other


def test_a_turn_that_shares_a_word_with_the_fact_is_no_neutral(talk: Path) -> None:
    found = dialogues_of(talk)[0]
    assert ("I live in an old house.", "I spent it fixing my roof.") in [(p.premise, p.hypothesis) for p in found]
    assert not any("roof" in pair.premise and "roof" in pair.hypothesis for pair in found)
    assert not any("[" in pair.hypothesis for pair in found)


def test_nothing_to_train_on_is_said(tmp_path: Path, pairs: Path) -> None:
    with pytest.raises(TrainingError, match="no column gold"):
        gather(config(model="m", files=[{"path": str(pairs), "label": "gold"}]))
    path = tmp_path / "nli.yaml"
    path.write_text("model: minilm\ntraining: {steps: 1}\n")
    with pytest.raises(YamlError, match="name pairs to train on"):
        load_yaml(path, NliConfig)
    path.write_text("model: minilm\ntalk: {path: t.csv, pairs: 1}\ntraining:\n  step: 1\n")
    with pytest.raises(YamlError, match=r"line 4: unknown field training.step; did you mean steps"):
        load_yaml(path, NliConfig)
