"""`factory train-nli`: train any classifier of pairs of texts, from labelled files or from a corpus's own scores.

Premise = persona fact or earlier turn, hypothesis = utterance. A corpus gives the pairs that its NLI model was sure of,
so that a small model can learn from a large one. The bundled nli-small is made by the same command, and so is
talk-small, with labels of its own. Limitations: all pairs are held in memory.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, set_seed

from factory.base.fingerprint import blake
from factory.base.places import absolute
from factory.methods.scores.consistency import scored_pairs as scores_of
from factory.models import placed, resolve
from factory.store.corpus import Corpus
from factory.training import TrainingError
from factory.training.labelled import LABELS, LabelledPair, PairFile, read_pairs
from factory.training.neutrals import TalkPairs, talk_pairs
from factory.training.output import replace_folder
from factory.training.stream import Stream
from factory.training.trainer import Steps, begin, fit, pinned


class ScoredPairs(BaseModel):
    """The scored pairs of a corpus, labelled by the model that scored them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: str = Field(min_length=1, description="Where the corpus lives: a path or a URI.")
    version: int | None = Field(None, ge=0, description="Its version; the newest without it.")
    confidence: float = Field(0.9, ge=0.5, lt=1, description="Least probability of a label that is taken for true.")


class NliConfig(BaseModel):
    """What is trained, on which pairs, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: SkipJsonSchema[Path] = Field(Path("."), exclude=True, description="Folder of the file; set by its loader.")
    model: str = Field(
        min_length=1, description="A folder (relative ones start at this file), a bundled model or a Hugging Face id."
    )
    revision: str | None = Field(None, description="Branch, tag or commit of a Hugging Face model.")
    trust_remote_code: bool = Field(False, description="Run Python code from the model's repository.")
    labels: tuple[str, ...] = Field(
        LABELS, min_length=2, description="The labels, in lower case; others than those of NLI make another classifier."
    )
    files: tuple[PairFile, ...] = Field((), description="Files of labelled pairs.")
    corpora: tuple[ScoredPairs, ...] = Field((), description="Corpora whose scored pairs are learned.")
    talk: TalkPairs | None = Field(None, description="Neutral pairs of Synthetic-Persona-Chat.")
    held: float = Field(0.02, ge=0, lt=1, description="Share of the premises, by hash, kept for the accuracy.")
    max_tokens: int = Field(128, ge=16, description="Longest pair, in tokens; longer ones are cut.")
    head_learning_rate: float | None = Field(None, gt=0, description="Of a new head; as the rest without it.")
    frozen_words: bool = Field(
        False, description="Keep the word embeddings: a word that no pair holds stays among those that do."
    )
    weights: Literal["float32", "float16", "bfloat16"] | None = Field(
        None, description="Type the weights are saved in; the model's own without it."
    )
    seed: int = 0
    training: Steps

    @field_validator("model")
    @classmethod
    def _model_from_base(cls, model: str, info: ValidationInfo) -> str:
        return placed(model, info.data.get("base", "."))

    @field_validator("corpora")
    @classmethod
    def _corpora_from_base(cls, corpora: tuple[ScoredPairs, ...], info: ValidationInfo) -> tuple[ScoredPairs, ...]:
        base = info.data.get("base", ".")
        return tuple(one.model_copy(update={"corpus": absolute(one.corpus, base)}) for one in corpora)

    @field_validator("talk")
    @classmethod
    def _talk_from_base(cls, talk: TalkPairs | None, info: ValidationInfo) -> TalkPairs | None:
        return talk and talk.model_copy(update={"path": Path(absolute(str(talk.path), info.data.get("base", ".")))})

    @model_validator(mode="after")
    def _some_pairs(self) -> Self:
        if not (self.files or self.corpora or self.talk):
            raise ValueError("name pairs to train on: files, corpora or talk")
        return self


@dataclass(frozen=True, slots=True)
class NliResult:
    """What a training came to; `accuracy` is on the held-out pairs, none where there are none."""

    output: str
    steps: int
    pairs: int
    left_out: dict[str, int]
    accuracy: float | None


def train_nli(config: NliConfig, output: Path) -> NliResult:
    """Train to the configured steps and write the model folder. Beside it, `<output>.training` holds the checkpoints
    that a killed training resumes from, and the loss curve. Raises TrainingError, SourceError and CorpusError."""
    work = output.with_name(f"{output.name}.training")
    begin(work, config)
    versions = [
        pinned(one.corpus, one.version, work / f"corpus_version_{number}") for number, one in enumerate(config.corpora)
    ]
    corpora = [one.model_copy(update={"version": at}) for one, at in zip(config.corpora, versions, strict=True)]
    trained, held, left_out = gather(config.model_copy(update={"corpora": tuple(corpora)}))
    set_seed(config.seed)  # a new head is drawn
    tokenizer, model, dtype = _load(config)
    encode = partial(_encode, tokenizer, model.config.label2id, config.max_tokens)
    stream = partial(
        Stream[LabelledPair], partial(_shuffled, trained), encode, _size, seed=config.seed, batch=config.training.batch
    )
    collate = partial(tokenizer.pad, return_tensors="pt", pad_to_multiple_of=8)
    fit(model, stream, collate, config.training, seed=config.seed, work=work, groups=_groups(model, config))
    accuracy = _accuracy(model, collate, [encode(pair) for pair in held])
    with tempfile.TemporaryDirectory(dir=work) as folder:
        model.to(dtype).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        replace_folder(Path(folder), output)
    return NliResult(str(output), config.training.steps, len(trained), left_out, accuracy)


def gather(config: NliConfig) -> tuple[list[LabelledPair], list[LabelledPair], dict[str, int]]:
    """The pairs to train on, those held out, and how many rows of files were left out, by reason. Raises TrainingError
    if there is nothing to train on."""
    rng = random.Random(config.seed)
    found = read_pairs(config.files, config.base, config.labels)
    pairs = [*found.pairs, *(pair for source in config.corpora for pair in scored_pairs(source))]
    held = [is_held(pair, config.held) for pair in pairs]
    trained = [pair for pair, out in zip(pairs, held, strict=True) if not out]
    if config.talk is not None:
        trained += talk_pairs(config.talk, rng)
    if not trained:
        raise TrainingError(f"no pair to train on; rows left out: {dict(found.left_out) or 'none'}")
    return trained, [pair for pair, out in zip(pairs, held, strict=True) if out], dict(found.left_out)


def is_held(pair: LabelledPair, share: float) -> bool:
    """Whether a pair is held out: by its premise, which is none in training, whatever its hypothesis."""
    return int(blake("held", pair.premise)[:8], 16) < share * 2**32


def scored_pairs(source: ScoredPairs) -> Iterator[LabelledPair]:
    """Each pair that a corpus has scored with confidence, once."""
    seen: set[tuple[str, str]] = set()
    for row in Corpus(source.corpus).rows(version=source.version):
        for one in scores_of(row):
            probabilities = (one.found.entailment, one.found.neutral, one.found.contradiction)
            pair = LabelledPair(
                one.pair.premise, one.pair.hypothesis, LABELS[probabilities.index(max(probabilities))], source.corpus
            )
            if max(probabilities) >= source.confidence and (pair.premise, pair.hypothesis) not in seen:
                seen.add((pair.premise, pair.hypothesis))
                yield pair


def _shuffled(pairs: Sequence[LabelledPair], order: random.Random) -> Iterable[LabelledPair]:
    return order.sample(pairs, len(pairs))


def _size(pair: LabelledPair) -> int:
    return len(pair.premise) + len(pair.hypothesis)


def _encode(tokenizer: Any, label2id: dict[str, int], longest: int, pair: LabelledPair) -> dict[str, Any]:
    encoded: dict[str, Any] = dict(tokenizer(pair.premise, pair.hypothesis, truncation=True, max_length=longest))
    return {**encoded, "labels": {name.lower(): number for name, number in label2id.items()}[pair.label]}


def _load(config: NliConfig) -> tuple[Any, Any, torch.dtype]:
    """Tokenizer, model in float32 (mixed precision keeps full weights), and the type to save it in. A model that has
    the labels keeps their order; any other gets a new head."""
    path = resolve(config.model)
    options: dict[str, Any] = {"revision": config.revision, "trust_remote_code": config.trust_remote_code}
    try:
        known = AutoConfig.from_pretrained(path, **options)
        if {label.lower() for label in known.label2id} != set(config.labels):
            names = dict(enumerate(config.labels))
            options |= {
                "id2label": names,
                "label2id": {label: number for number, label in names.items()},
                "ignore_mismatched_sizes": True,
            }
        tokenizer = AutoTokenizer.from_pretrained(path, revision=config.revision)
        model = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32, **options)
    except (ImportError, OSError, ValueError) as error:
        raise TrainingError(f"model {config.model} cannot be loaded: {error}") from error
    if config.frozen_words:
        model.get_input_embeddings().requires_grad_(False)
    return tokenizer, model, getattr(torch, config.weights) if config.weights else known.dtype or torch.float32


def _groups(model: Any, config: NliConfig) -> list[dict[str, Any]]:
    """The optimizer's parameter groups, where the head has a learning rate of its own."""
    if config.head_learning_rate is None:
        return []
    body = {id(parameter) for parameter in model.base_model.parameters()}
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    head = [parameter for parameter in learned if id(parameter) not in body]
    return [
        {"params": [parameter for parameter in learned if id(parameter) in body]},
        {"params": head, "lr": config.head_learning_rate},
    ]


@torch.inference_mode()
def _accuracy(model: Any, collate: Any, rows: Sequence[dict[str, Any]]) -> float | None:
    model.eval()
    right = 0
    for first in range(0, len(rows), 64):
        batch = collate(list(rows[first : first + 64])).to(model.device)
        labels = batch.pop("labels")
        right += int((model(**batch).logits.argmax(-1) == labels).sum())
    return right / len(rows) if rows else None
