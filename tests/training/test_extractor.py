"""`train-extractor`: its pairs, the model it leaves, and what the card says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from factory.engines.template import ChatTemplate
from factory.methods.makers.extract import Extract, ExtractParams
from factory.training import TrainingError
from factory.training.extracted import answers
from factory.training.extractor import ExtractorConfig, read_pairs, train_extractor
from tests.tiny import write_tiny

THINGS = ("apple", "cello", "eagle", "island", "jungle", "kitchen", "lantern", "mountain")


def pairs() -> list[dict[str, Any]]:
    """Turns of words that the tiny model's tokenizer has whole; one in two tells something."""
    telling = [
        {"utterance": f"yellow {thing} {other}", "facts": [f"I own {thing}."]} for thing in THINGS for other in THINGS
    ]
    empty = [{"utterance": f"quiet {thing} {other}", "facts": []} for thing in THINGS for other in THINGS]
    return [*telling, *empty]


def config(folder: Path, rows: list[dict[str, Any]], **changes: Any) -> ExtractorConfig:
    write_tiny(folder / "base")
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    steps = {"steps": 60, "batch": 16, "learning_rate": 1e-2, "warmup": 5}
    given = {"model": str(folder / "base"), "files": [str(folder / "pairs.jsonl")], "held": 0.2, "training": steps}
    return ExtractorConfig.model_validate(given | changes)


def test_it_learns_what_tells_nothing_and_its_card_says_how_often(tmp_path: Path) -> None:
    wanted = config(tmp_path, pairs())
    result = train_extractor(wanted, tmp_path / "model")
    assert result.held_out is not None
    assert result.echo is not None
    assert result.held_out.telling + result.held_out.empty + result.pairs == len(pairs())
    assert result.held_out.left_empty == 1.0
    assert result.echo.left_empty == 0.0
    assert result.held_out.f1 is not None
    assert result.echo.f1 is not None
    assert result.held_out.f1 > result.echo.f1
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert f"| f1 | {result.held_out.f1:.3f} | {result.echo.f1:.3f} |" in card
    assert "| left_empty | 1.000 | 0.000 |" in card
    assert str(tmp_path) not in card

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    prompt = ChatTemplate(tokenizer)(Extract(ExtractParams(trained=True)).messages("quiet apple eagle"), answered=False)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert answers(model, tokenizer, [prompt]) == ["[None]"], "as the maker asks it"


def test_an_adapter_is_written_alone_and_triples_are_lines(tmp_path: Path) -> None:
    rows = [
        {"utterance": row["utterance"], "triples": [["I", "own", "apple"]] if row["facts"] else []} for row in pairs()
    ]
    few = {"steps": 2, "batch": 4, "learning_rate": 1e-3}
    wanted = config(tmp_path, rows, form="triple", lora={"rank": 4}, training=few, held=0)
    assert read_pairs(wanted)[0] == ("yellow apple apple", ("I | own | apple",))
    result = train_extractor(wanted, tmp_path / "adapter")
    assert (result.held_out, result.pairs) == (None, len(rows))
    assert "No pair was held out" in (tmp_path / "adapter" / "README.md").read_text(encoding="utf-8")
    chat = json.loads((tmp_path / "adapter.training" / "chats.jsonl").read_text().splitlines()[0])["messages"]
    assert chat[-1] == {"role": "assistant", "content": "I | own | apple"}
    assert "triple" in chat[0]["content"]
    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "adapter")


def test_a_training_goes_on_only_with_the_pairs_that_it_began_with(tmp_path: Path) -> None:
    few = {"steps": 1, "batch": 2}
    train_extractor(config(tmp_path, pairs(), training=few, held=0), tmp_path / "model")
    other = config(tmp_path, pairs()[:5], training=few, held=0)
    with pytest.raises(TrainingError, match="holds a training on other pairs: name another output"):
        train_extractor(other, tmp_path / "model")


@pytest.mark.parametrize(
    ("row", "form", "said"),
    [
        ({"utterance": "Hi."}, "sentence", r"pairs.jsonl, line 2: .*; a pair of form sentence has `utterance`, a text"),
        ({"utterance": "Hi.", "facts": "I ski."}, "sentence", r"line 2: .* and `facts`, a list"),
        ({"utterance": "Hi.", "facts": []}, "triple", r"line 2: .* and `triples`, a list"),
        ({"utterance": "Hi.", "triples": [["I", "ski"]]}, "triple", r"line 2: .* and `triples`, a list"),
        ({"utterance": 3, "facts": []}, "sentence", r"line 2: .* a pair of form"),
    ],
)
def test_a_row_that_is_no_pair_is_told_with_its_place(tmp_path: Path, row: Any, form: str, said: str) -> None:
    good = {"utterance": "Hi.", "facts": [], "triples": []}
    with pytest.raises(TrainingError, match=said):
        read_pairs(config(tmp_path, [good, row], form=form))


def test_without_a_pair_to_learn_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no pair to train on"):
        train_extractor(config(tmp_path, pairs()[:1], held=0.999), tmp_path / "model")
