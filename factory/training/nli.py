"""Trains nli-small: a MiniLM encoder with a three-way head, on persona pairs of the grammar and permissive NLI data.

`python -m factory.training.nli CONFIG OUT`. Premise = persona fact or earlier turn, hypothesis = utterance. It is a
filter for dialogues, so false contradictions weigh most: real turns of Synthetic-Persona-Chat beside a fact of their
speaker with which they share no content word are added as neutrals. It gives up long texts (`max_tokens`).
"""

from __future__ import annotations

import copy
import csv
import importlib.util
import random
import re
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field
from transformers import AutoTokenizer, BertForSequenceClassification

from factory.training.loop import Schedule, replace_folder, train
from factory.training.pairs import LABELS, Label, Pair, draw_pair
from factory.training.words import content

Source = Literal["snli", "mnli", "counterfactual", "conjnli"]

HELD = 500
"""Pairs of each public source that are kept for its development figure."""

_TURN = re.compile(r"^User ([12]): (.*)$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"[\[({]\s*(?:user|name|your|country|city)|user [12]", re.IGNORECASE)


class NliConfig(BaseModel):
    """What nli-small is trained on and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Path = Field(description="Folder with nli/ and dialogues/; relative to the working directory.")
    encoder: str = Field(description="Importable package that carries the encoder in its folder `model`, or a folder.")
    persona_pairs: int = Field(ge=0, description="Pairs drawn from the grammar.")
    talk_pairs: int = Field(ge=0, description="Neutral pairs of real turns.")
    public_pairs: dict[Source, int] = Field(
        description="Pairs of each published source; what is held out is never among them."
    )
    seed: int
    batch: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    head_learning_rate: float = Field(gt=0)
    max_tokens: int = Field(ge=16, le=512, description="Longest pair, in tokens; longer ones are cut.")
    schedule: Schedule


def public_pairs(data: Path, counterfactual: Literal["train", "dev"] = "train") -> dict[Source, list[Pair]]:
    """The published pairs of each source, in file order; pairs without a gold label are left out."""
    sources: dict[Source, list[tuple[str, str, tuple[str, str, str]]]] = {
        "snli": [("snli_dev.csv", ",", ("premise", "hypothesis", "label"))],
        "mnli": [("mnli_dev.csv", ",", ("premise", "hypothesis", "label"))],
        "counterfactual": [
            (f"counterfactual_nli_{counterfactual}.tsv", "\t", ("sentence1", "sentence2", "gold_label"))
        ],
        "conjnli": [("conjnli_train_15k.tsv", "\t", ("Premise", "Hypothesis", "Label"))],
    }
    return {
        name: [pair for file in files for pair in _rows(data / "nli" / file[0], file[1], file[2], name)]
        for name, files in sources.items()
    }


def _rows(path: Path, delimiter: str, columns: tuple[str, str, str], source: str) -> Iterator[Pair]:
    premise, hypothesis, label = columns
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file, delimiter=delimiter, quoting=quoting):
            if row[label] in LABELS:
                yield Pair(row[premise], row[hypothesis], cast(Label, row[label]), source)


def _stems(text: str) -> set[str]:
    return {word[:5] for word in content(text)}


def talk_pairs(data: Path) -> list[list[Pair]]:
    """Neutral pairs of Synthetic-Persona-Chat, by dialogue: a fact and its speaker's turn or partner's question."""
    dialogues = []
    with (data / "dialogues" / "synthetic_persona_chat_valid.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            turns = [
                (int(who), text)
                for who, text in _TURN.findall(row["Best Generated Conversation"])
                if not _PLACEHOLDER.search(text)
            ]
            found = []
            for who in (1, 2):
                for fact in row[f"user {who} personas"].splitlines():
                    words = _stems(fact)
                    for speaker, text in turns:
                        if not words & _stems(text) and (speaker == who or text.endswith("?")):
                            found.append(Pair(fact, text, "neutral", "talk"))
            dialogues.append(found)
    return dialogues


def training_pairs(config: NliConfig) -> list[Pair]:
    """All training pairs in training order."""
    rng = random.Random(config.seed)
    pairs = [draw_pair(rng) for _ in range(config.persona_pairs)]
    talk = [pair for dialogue in talk_pairs(config.data)[100:] for pair in dialogue]
    pairs += rng.sample(talk, min(config.talk_pairs, len(talk)))
    for name, source in public_pairs(config.data).items():
        rest = source if name == "counterfactual" else source[HELD:]
        pairs += rng.sample(rest, min(len(rest), config.public_pairs.get(name, 0)))
    rng.shuffle(pairs)
    return pairs


def _batches(pairs: list[Pair], tokenizer: Any, config: NliConfig) -> list[dict[str, torch.Tensor]]:
    """Batches of like length, made once: each 64 batches' worth of pairs is sorted by length, cut and shuffled."""
    rng = random.Random(config.seed)
    block, batches = 64 * config.batch, []
    for first in range(0, len(pairs), block):
        part = sorted(pairs[first : first + block], key=lambda pair: len(pair.premise) + len(pair.hypothesis))
        groups = [part[i : i + config.batch] for i in range(0, len(part), config.batch)]
        rng.shuffle(groups)
        for group in groups:
            texts = [pair.premise for pair in group], [pair.hypothesis for pair in group]
            batch = tokenizer(
                *texts,
                padding=True,
                pad_to_multiple_of=8,
                truncation=True,
                max_length=config.max_tokens,
                return_tensors="pt",
            )
            batches.append({**batch, "labels": torch.tensor([LABELS.index(pair.label) for pair in group])})
    return batches


def encoder_folder(name: str) -> Path:
    """The folder of an encoder: inside an installed package, or a path."""
    spec = importlib.util.find_spec(name) if "/" not in name else None
    return Path(spec.origin).parent / "model" if spec and spec.origin else Path(name)


def _optimizer(model: BertForSequenceClassification, config: NliConfig) -> torch.optim.Optimizer:
    head = [p for name, p in model.named_parameters() if name.startswith("classifier")]
    body = [p for name, p in model.named_parameters() if not name.startswith("classifier") and p.requires_grad]
    groups = [{"params": body, "lr": config.learning_rate}, {"params": head, "lr": config.head_learning_rate}]
    return torch.optim.AdamW(groups, weight_decay=0.01, fused=True)


def train_nli(config: NliConfig, output: Path, work: Path) -> int:
    """Train to the configured steps, resuming from `work`; write the model folder. The steps done in this call."""
    torch.manual_seed(config.seed)
    folder = encoder_folder(config.encoder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    names = dict(enumerate(LABELS))
    model = BertForSequenceClassification.from_pretrained(
        folder, num_labels=3, id2label=names, label2id={label: index for index, label in names.items()}
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # Frozen: a value that no training pair holds keeps its place among the values that do.
    model.bert.embeddings.word_embeddings.requires_grad_(False)
    model.to(device)  # type: ignore[arg-type]
    batches = _batches(training_pairs(config), tokenizer, config)

    def loss_of(step: int) -> torch.Tensor:
        batch = {key: value.to(device) for key, value in batches[step % len(batches)].items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss: torch.Tensor = model(**batch).loss
        return loss

    save = partial(_write, model, tokenizer, output)
    return train(model, [_optimizer(model, config)], loss_of, config.schedule, checkpoint=work / "nli.pt", save=save)


def _write(model: BertForSequenceClassification, tokenizer: Any, output: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy.deepcopy(model).half().save_pretrained(folder)  # type: ignore[no-untyped-call]
        tokenizer.save_pretrained(folder)
        replace_folder(Path(folder), output)


def main(config: Path, output: Path, work: Path = Path("checkpoints/nli-small")) -> None:
    """Train from a YAML file into a model folder; checkpoints go to `work`."""
    train_nli(NliConfig.model_validate(yaml.safe_load(config.read_text(encoding="utf-8"))), output, work)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
