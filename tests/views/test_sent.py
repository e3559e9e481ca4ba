from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import Mock

import pytest
from transformers import AutoTokenizer

from factory.engines import Message
from factory.store.corpus import Corpus
from factory.views.explain import explain
from factory.views.sent import Sent
from tests.rehearsal import Rehearsal, job_in, rows_of, some_personas, write_seeds
from tests.tiny import tiny_model

MESSAGES = (Message(role="system", content="I ski."), Message(role="user", content="Say <|end|> now."))


def test_the_text_is_that_of_the_template_and_the_ids_are_its_tokens() -> None:
    sent = Sent({"name": tiny_model(), "revision": "of its files"})
    found = sent(MESSAGES)
    assert sent.missing is None
    assert found["text"].endswith("<|system|>I ski.<|end|><|user|>Say < |end|> now.<|end|><|assistant|>")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model())
    assert found["ids"] == tokenizer.encode(found["text"], add_special_tokens=False)


def test_a_model_that_is_not_here_is_named() -> None:
    sent = Sent({"name": "org/elsewhere", "revision": "main"})
    assert "the tokenizer of org/elsewhere cannot be opened here" in str(sent.missing)
    assert sent(MESSAGES) == {}


def test_a_tokenizer_that_lacks_a_package_or_says_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for error, said in ((ImportError("it needs sentencepiece"), "it needs sentencepiece"), (OSError(), "OSError")):
        monkeypatch.setattr(AutoTokenizer, "from_pretrained", Mock(side_effect=error))
        assert said in str(Sent({"name": "org/model", "revision": "main"}).missing)


def test_prompts_of_a_row_are_shown_as_they_were_sent(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(2))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    row = next(iter(rows_of(job).values()))
    for record in row.stages:
        file = Path(job.corpus) / "_recipes" / f"{record.recipe}.json"
        kept = json.loads(file.read_text())
        if "language" in kept["models"]:
            kept["models"]["language"] = {"name": tiny_model(), "revision": "of its files"}
            file.write_text(json.dumps(kept))
    plain, told = (explain(Corpus(job.corpus), row, tokens=tokens)["stages"] for tokens in (False, True))
    prompts = [prompt for stage in told for prompt in stage["prompts"]]
    assert len(prompts) == sum(len(stage["prompts"]) for stage in plain) > 0
    assert not any("text" in prompt for stage in plain for prompt in stage["prompts"])
    for prompt in prompts:
        assert all(message["content"].strip() in prompt["text"] for message in prompt["messages"])
