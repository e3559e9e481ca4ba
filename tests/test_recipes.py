"""Recipes for other libraries: TRL trains by them; the other exports are held against what LLaMA-Factory, Axolotl and
Unsloth document of the data that they read, since these need packages of other versions, or a GPU."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import trl
import yaml
from safetensors.numpy import load_file
from transformers import AutoTokenizer

from tests.cli.test_commands import call
from tests.pages import ROOT, blocks_of
from tests.rehearsal import Rehearsal, job_in, some_personas, write_seeds
from tests.tiny import write_tiny

RECIPES = ROOT / "examples" / "recipes"
PAGE = ROOT / "docs" / "recipes.md"
MODEL = '"Qwen/Qwen2.5-1.5B-Instruct"'
ON_A_PROCESSOR = "use_cpu=True, bf16=False, max_steps=2, per_device_train_batch_size=4, report_to=[], "


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page's exports were made, and a tiny model with the chat template of the recipes' model."""
    folder = tmp_path_factory.mktemp("recipes")
    write_seeds(folder, some_personas(8))
    job = job_in(folder, "makers.converse.candidates=4", "makers.converse.turns=4", "select=null")
    Rehearsal().run(job)
    commands, copying, single = (block for block in blocks_of(PAGE) if not block.not_run)
    for line in commands.text.splitlines():
        name, command, _, *options = line.partition("#")[0].split()
        assert name == "factory"
        options[options.index("--to") + 1] = str(folder / options[options.index("--to") + 1])
        call(command, job.corpus, *options)
    for block, program in ((copying, ["bash", "-euc"]), (single, [sys.executable, "-c"])):
        text = block.text.replace("examples/recipes", str(RECIPES))
        subprocess.run([*program, text], cwd=folder, check=True, capture_output=True)
    write_tiny(folder / "tiny")
    tokenizer = AutoTokenizer.from_pretrained(str(folder / "tiny"))
    tokenizer.chat_template = (Path(trl.__file__).parent / "chat_templates" / "qwen2_5.jinja").read_text()
    tokenizer.save_pretrained(str(folder / "tiny"))
    return folder


def records(folder: Path) -> list[dict[str, Any]]:
    """The train split of an export, or a file."""
    files = [folder] if folder.is_file() else sorted(folder.glob("train-*.parquet"))
    return [record for file in files for record in pq.read_table(file).to_pylist()]


def alternate(roles: Iterable[str], user: str, assistant: str) -> bool:
    """Whether a user begins, the assistant ends, and they take turns."""
    said = list(roles)
    return bool(said) and said == [user, assistant] * (len(said) // 2)


@pytest.mark.parametrize("name", ["trl_sft", "trl_dpo"])
def test_trl_trains_by_the_recipe(name: str, ground: Path) -> None:
    source = (RECIPES / f"{name}.py").read_text()
    to = name.replace("_", "-")
    assert source.count(MODEL) == 1
    assert source.count(f'Config("out/{to}", ') == 1
    source = source.replace(MODEL, '"tiny"').replace(f'Config("out/{to}", ', f'Config("out/{to}", {ON_A_PROCESSOR}')
    done = subprocess.run([sys.executable, "-c", source], cwd=ground, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    learned = load_file(ground / "out" / to / "adapter_model.safetensors")
    assert any(weights.any() for layer, weights in learned.items() if "lora_B" in layer)


@pytest.mark.parametrize("name", ["llamafactory_sft", "llamafactory_dpo"])
def test_llamafactory_finds_what_its_file_says(name: str, ground: Path) -> None:
    recipe = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    folder = ground / recipe["dataset_dir"]
    info = json.loads((folder / "dataset_info.json").read_text())[recipe["dataset"]]
    assert info["formatting"] == "sharegpt"
    assert info.get("ranking", False) == (recipe["stage"] == "dpo")
    columns: Mapping[str, str] = info["columns"]
    tags = {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt",
            "system_tag": "system"} | info.get("tags", {})  # fmt: skip
    found = records(folder / info["file_name"])
    assert found
    for record in found:
        messages = record[columns["messages"]]
        if messages[0][tags["role_tag"]] == tags["system_tag"]:
            messages = messages[1:]
        else:
            assert record[columns["system"]]
        answers = [record[columns[one]] for one in ("chosen", "rejected")] if "ranking" in info else [messages.pop()]
        for answer in answers:
            said = [*messages, answer]
            assert alternate((one[tags["role_tag"]] for one in said), tags["user_tag"], tags["assistant_tag"])
            assert all(one[tags["content_tag"]] for one in said)


@pytest.mark.parametrize("name", ["axolotl_sft", "axolotl_dpo"])
def test_axolotl_finds_what_its_file_says(name: str, ground: Path) -> None:
    recipe = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    (data,) = recipe["datasets"]
    found = records(ground / data["path"])
    assert found
    for record in found:
        system, *said = record[data["field_messages"]]
        assert system["role"] == "system"
        if "rl" in recipe:
            for answer in (record[data["field_chosen"]], record[data["field_rejected"]]):
                assert len(answer) == 1, "it reads the last message alone"
                assert alternate((one["role"] for one in [*said, *answer]), "user", "assistant")
        else:
            assert alternate((one["role"] for one in said), "user", "assistant")


def test_unsloths_marks_stand_before_each_turn(ground: Path) -> None:
    tree = ast.parse((RECIPES / "unsloth_sft.py").read_text())
    (marks,) = (
        {word.arg: ast.literal_eval(word.value) for word in node.keywords}
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "train_on_responses_only"
    )
    tokenizer = AutoTokenizer.from_pretrained(str(ground / "tiny"))
    for chat in records(ground / "out" / "chat"):
        text = tokenizer.apply_chat_template(chat["messages"], tokenize=False)
        said = [message["content"] for message in chat["messages"] if message["role"] == "assistant"]
        replies = [part.partition("<|im_end|>")[0] for part in text.split(marks["response_part"])[1:]]
        assert replies == said
        assert text.count(marks["instruction_part"]) == len(said)


def test_every_recipe_is_on_the_page(tmp_path: Path) -> None:
    page = PAGE.read_text()
    assert [file.name for file in sorted(RECIPES.iterdir()) if f"examples/recipes/{file.name}" not in page] == []
