"""`train-lm`: killed, gone on, loaded again."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
import torch
import yaml
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from factory.cli import app
from factory.seeds.files import SourceError
from factory.spec.layers import YamlError
from factory.spec.yamlfile import load_yaml
from factory.training import TrainingError, lm
from factory.training.chats import Chat, ChatFiles, ChatSource, Tokens
from factory.training.lm import LmConfig, Lora, persona_perplexity, train_lm
from factory.training.nli import NliConfig, gather
from tests.tiny import write_tiny
from tests.training.corpora import dialogue, write_corpus


@pytest.fixture
def config(tmp_path: Path) -> LmConfig:
    write_tiny(tmp_path / "base")
    write_corpus(tmp_path / "corpus", [dialogue(number) for number in range(40)])
    return LmConfig.model_validate(
        {
            "model": str(tmp_path / "base"),
            "data": {"corpus": str(tmp_path / "corpus"), "held": 0.2},
            "max_tokens": 128,
            "training": {"steps": 40, "batch": 4, "learning_rate": 3e-3, "checkpoint_every": 10, "report_every": 5},
        }
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(AutoModelForCausalLM.from_pretrained(folder).state_dict())


def test_a_killed_training_goes_on_to_the_step_and_ends_the_same(config: LmConfig, tmp_path: Path) -> None:
    result = train_lm(config, tmp_path / "whole")
    file = tmp_path / "lm.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = [sys.executable, "-m", "factory", "train-lm", str(file), "--to", str(tmp_path / "killed")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "killed.training" / "checkpoint-10" / "trainer_state.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed").exists()
    # The corpus grows meanwhile; a training that goes on must not see it.
    write_corpus(tmp_path / "corpus", [dialogue(number) for number in range(100, 140)])

    resumed = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True)
    assert "resumes from step" in resumed.stderr
    whole, killed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    assert (tmp_path / "killed.training" / "loss.png").stat().st_size > 0
    assert result.steps == 40
    assert result.perplexity is not None


def test_the_loss_falls_and_the_folder_is_a_chat_model(config: LmConfig, tmp_path: Path) -> None:
    result = train_lm(config, tmp_path / "model")
    untrained = train_lm(
        config.model_copy(update={"training": config.training.model_copy(update={"steps": 1})}), tmp_path / "one"
    )
    assert result.perplexity < untrained.perplexity / 2
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert model.dtype == torch.bfloat16, "as the model it began with"
    chat = [{"role": "user", "content": "Hi!"}]
    batch = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    assert model.generate(batch["input_ids"], max_new_tokens=3).shape[1] > batch["input_ids"].shape[1]


@pytest.mark.parametrize(("rows", "some"), [(range(20), True), ([3, 3, 3], False)])
def test_a_stranger_shares_no_seed(
    rows: Sequence[int], some: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[Chat]] = []
    monkeypatch.setattr(lm, "perplexity", lambda _, __, chats: seen.append(list(chats)) or 1.0)
    write_corpus(tmp_path, [dialogue(number // 4 if some else number) for number in rows])
    found = persona_perplexity(None, cast(Tokens, None), ChatSource(corpus=str(tmp_path), held=0.99))
    assert found == ((1.0, 1.0) if some else (None, None))
    if some:
        own, wrong = seen
        assert len(own) == len(wrong) == 40
        for mine, theirs in zip(own, wrong, strict=True):
            assert mine[1:] == theirs[1:]
            assert mine[0]["content"] != theirs[0]["content"]


def test_another_configuration_does_not_go_on_there(config: LmConfig, tmp_path: Path) -> None:
    one = config.model_copy(update={"training": config.training.model_copy(update={"steps": 1})})
    train_lm(one, tmp_path / "model")
    with pytest.raises(TrainingError, match="another configuration"):
        train_lm(config, tmp_path / "model")


def test_what_is_missing_is_named(config: LmConfig, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no corpus here"):
        train_lm(
            config.model_copy(update={"data": config.data.model_copy(update={"corpus": "nowhere"})}), tmp_path / "a"
        )
    with pytest.raises(TrainingError, match="model /nowhere cannot be loaded"):
        train_lm(config.model_copy(update={"model": "/nowhere"}), tmp_path / "b")


def test_the_paths_of_a_configuration_start_at_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "my configs"
    (folder / "model").mkdir(parents=True)
    steps = "training: {steps: 1}\n"
    (folder / "lm.yaml").write_text(f"model: model\ndata: {{corpus: ../out}}\n{steps}")
    (folder / "nli.yaml").write_text(
        "model: ./model\ncorpora: [{corpus: out}]\nfiles: [{path: no*.csv}]\ntalk: {path: t.csv, pairs: 1}\n" + steps
    )
    monkeypatch.chdir("/")
    lm, _ = load_yaml(folder / "lm.yaml", LmConfig, base=folder)
    assert (lm.model, lm.data.corpus) == (str(folder / "model"), str(tmp_path / "out"))
    nli, _ = load_yaml(folder / "nli.yaml", NliConfig, base=folder)
    assert nli.talk is not None
    assert (nli.model, nli.corpora[0].corpus, nli.talk.path) == (
        str(folder / "model"), str(folder / "out"), folder / "t.csv",
    )  # fmt: skip
    ended = CliRunner().invoke(app, ["train-lm", str(folder / "lm.yaml"), "--to", str(tmp_path / "made")])
    assert str(ended.exception).startswith(f"{tmp_path / 'out'}: there is no corpus here")
    ended = CliRunner().invoke(app, ["train-nli", str(folder / "nli.yaml"), "--to", str(tmp_path / "nli")])
    assert str(ended.exception).startswith(f"{folder / 'out'}: there is no corpus here")
    with pytest.raises(SourceError, match=re.escape(f"no*.csv (in {folder})")):
        gather(nli)
    (folder / "lm.yaml").write_text(f"model: ./other\ndata: {{corpus: ../out}}\n{steps}")
    with pytest.raises(YamlError, match=re.escape(f"line 1: model: there is no folder {folder}/other")):
        load_yaml(folder / "lm.yaml", LmConfig, base=folder)


def test_an_adapter_is_trained_beside_a_model_that_stays_as_it_is(config: LmConfig, tmp_path: Path) -> None:
    steps = config.training.model_copy(update={"steps": 25, "learning_rate": 4e-2, "gradient_checkpointing": True})
    made = config.model_copy(update={"training": steps, "lora": Lora(rank=4, alpha=8), "weights": "bfloat16"})
    result = train_lm(made, tmp_path / "adapter")
    untrained = train_lm(
        made.model_copy(update={"training": steps.model_copy(update={"steps": 1})}), tmp_path / "untrained"
    )
    assert result.perplexity < untrained.perplexity / 1.1
    assert {file.name for file in (tmp_path / "adapter").iterdir()} >= {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert not list((tmp_path / "adapter").glob("model*"))
    assert str(tmp_path) not in "".join(file.read_text() for file in (tmp_path / "adapter").glob("*.[jm][sd]*"))
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    kept = {name: value.clone() for name, value in base.state_dict().items()}
    merged = PeftModel.from_pretrained(base, tmp_path / "adapter").merge_and_unload().state_dict()
    moved = {name for name, value in merged.items() if not torch.equal(value, kept[name])}
    assert moved
    assert not [name for name in moved if "norm" in name or "embed" in name]


def test_a_model_learns_chats_of_files(config: LmConfig, tmp_path: Path) -> None:
    chats = [
        {
            "id": str(number),
            "messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Cello."}],
        }
        for number in range(40)
    ]
    (tmp_path / "chats.jsonl").write_text("\n".join(map(json.dumps, chats)))
    files = ChatFiles(files=(str(tmp_path / "chats.jsonl"),), held=0.2)
    short = config.training.model_copy(update={"steps": 1})
    before = train_lm(config.model_copy(update={"data": files, "training": short}), tmp_path / "one")
    after = train_lm(config.model_copy(update={"data": files}), tmp_path / "all")
    assert before.perplexity is not None
    assert after.perplexity is not None
    assert after.perplexity < before.perplexity / 2
    assert (after.corpus_version, after.perplexity_wrong_persona) == (None, None)
