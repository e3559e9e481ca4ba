"""`factory train-extractor`: a language model, or an adapter of one, learns to read facts off single turns.

Thin over `train-lm`: the pairs become chats as `extract` with `trained: true` sends them, the utterance in and a fact a
line or `[None]` out, as PPDS (arXiv 2412.09034) casts extraction. Held-out pairs are then answered greedily; how well
is in the result and in a card beside the model. Limitations: causal models; held out is by utterance, so that a fact of
a held-out pair may stand in others.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo, field_validator
from pydantic.json_schema import SkipJsonSchema

from factory.base.fingerprint import fraction
from factory.base.places import absolute
from factory.engines import Completion, Message
from factory.engines.template import ChatTemplate
from factory.methods.makers.extract import Extract, ExtractParams
from factory.methods.makers.listed import facts_in
from factory.models import placed, resolve, short
from factory.seeds.archives import find_files
from factory.seeds.files import BadRow
from factory.seeds.formats import read_rows
from factory.training import TrainingError
from factory.training.chats import ChatFiles
from factory.training.extracted import Figures, answers, figures, opened
from factory.training.lm import LmConfig, Lora, train_lm
from factory.training.trainer import Steps

NOTHING = "[None]"
"""What is answered of a turn that tells nothing (PPDS)."""

_FIELDS = ("utterance", "facts", "triples")
_HELD_PAIRS = 300
"""Held-out pairs that are answered, at most."""


class ExtractorConfig(BaseModel):
    """What is trained, on which pairs, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: SkipJsonSchema[Path] = Field(Path("."), exclude=True, description="Folder of the file; set by its loader.")
    model: str = Field(
        min_length=1, description="A folder (relative ones start at this file), a bundled model or a Hugging Face id."
    )
    files: tuple[str, ...] = Field(
        min_length=1,
        description="JSON Lines or Parquet with the columns `utterance` and `facts`, a list of sentences, as `factory "
        "export CORPUS extraction` writes them; or `triples`, a list of [subject, relation, object]. An empty list is "
        "a turn that tells nothing. Paths, globs or URIs; relative paths start at this file.",
    )
    form: Literal["sentence", "triple"] = Field("sentence", description="What it is to write; `form` of `extract`.")
    held: float = Field(
        0.05, ge=0, lt=1, description="Share of the utterances, by hash, that are kept for the figures."
    )
    max_tokens: int = Field(128, ge=16, description="Longest turn with its facts, in tokens; longer ones are cut.")
    seed: int = 0
    weights: Literal["float32", "bfloat16"] = Field("float32", description="How weights are held in training.")
    lora: Lora | None = Field(None, description="Train an adapter instead of the model, and write only that.")
    training: Steps

    @field_validator("model")
    @classmethod
    def _model_from_base(cls, model: str, info: ValidationInfo) -> str:
        return placed(model, info.data.get("base", "."))

    @field_validator("files")
    @classmethod
    def _files_from_base(cls, files: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return tuple(absolute(path, info.data.get("base", ".")) for path in files)


@dataclass(frozen=True, slots=True)
class ExtractorResult:
    """What a training came to: pairs that it learned, and the figures of those that were held out, of the model and of
    an echo that answers with the utterance itself; none where nothing is held out."""

    output: str
    steps: int
    pairs: int
    held_out: Figures | None
    echo: Figures | None


Pair = tuple[str, tuple[str, ...]]
"""An utterance and the lines that it tells."""


def read_pairs(config: ExtractorConfig) -> list[Pair]:
    """The pairs of all files. Raises TrainingError for a row that is none, with its place."""
    found = []
    for path in config.files:
        for file in find_files(path, "auto", Path()):
            for line, row in read_rows(file, _FIELDS):
                place = f"{file.name}, line {line}"
                if isinstance(row, BadRow):
                    raise TrainingError(f"{place}: {row}")
                found.append(_pair(row, config.form, place))
    return found


_ROWS: dict[str, tuple[str, TypeAdapter[Any]]] = {
    "sentence": ("facts", TypeAdapter(list[str])),
    "triple": ("triples", TypeAdapter(list[tuple[str, str, str]])),
}


def _pair(row: Any, form: str, place: str) -> Pair:
    column, kind = _ROWS[form]
    try:
        utterance = TypeAdapter(str).validate_python(row.get("utterance"))
        told = kind.validate_python(row.get(column))
    except ValidationError as error:
        raise TrainingError(
            f"{place}: {error.errors()[0]['msg']}; a pair of form {form} has `utterance`, a text, and `{column}`, "
            "a list"
        ) from error
    lines = [one if isinstance(one, str) else " | ".join(part.strip() for part in one) for one in told]
    return utterance, tuple(" ".join(line.split()) for line in lines)


def train_extractor(config: ExtractorConfig, output: Path) -> ExtractorResult:
    """Train to the configured steps, measure, and write the model folder with its card; a killed training is resumed by
    the same call. Raises TrainingError."""
    pairs = read_pairs(config)
    held = [pair for pair in pairs if _is_held(pair, config)]
    learned = [pair for pair in pairs if not _is_held(pair, config)]
    if not learned:
        raise TrainingError(f"{', '.join(config.files)}: holds no pair to train on")
    maker = Extract(ExtractParams(form=config.form, trained=True))
    work = output.with_name(f"{output.name}.training")
    chats = _written(work, "".join(_chat(maker, pair) for pair in learned))
    shared = config.model_dump(include={"model", "max_tokens", "seed", "weights", "lora", "training"})
    train_lm(LmConfig(data=ChatFiles(files=(str(chats),), held=0), **shared), output)
    found = _measured(config, output, maker, held[:_HELD_PAIRS]) if held else (None, None)
    result = ExtractorResult(str(output), config.training.steps, len(learned), *found)
    (output / "README.md").write_text(_card(config, result), encoding="utf-8")
    return result


def _is_held(pair: Pair, config: ExtractorConfig) -> bool:
    return fraction("held", pair[0]) < config.held


def _chat(maker: Extract, pair: Pair) -> str:
    answer = Message(role="assistant", content="\n".join(pair[1]) or NOTHING)
    return json.dumps({"messages": [*maker.messages(pair[0]), answer]}, ensure_ascii=False) + "\n"


def _written(work: Path, chats: str) -> Path:
    """The file of the chats, which a resumed training reads again. Raises TrainingError if it has others."""
    work.mkdir(parents=True, exist_ok=True)
    file = work / "chats.jsonl"
    if file.exists() and file.read_text(encoding="utf-8") != chats:
        raise TrainingError(f"{work} holds a training on other pairs: name another output, or remove the folder")
    file.write_text(chats, encoding="utf-8")
    return file


def _measured(config: ExtractorConfig, output: Path, maker: Extract, held: list[Pair]) -> tuple[Figures, Figures]:
    """The figures of held-out pairs, of the trained model and of an echo."""
    model, tokenizer = opened(resolve(config.model), output, adapter=config.lora is not None)
    template = ChatTemplate(tokenizer)
    said = answers(model, tokenizer, [template(maker.messages(text), answered=False) for text, _ in held])
    wanted = [facts for _, facts in held]
    lines = [[line for line, _ in facts_in(Completion(text, 0, "stop"))] for text in said]
    return figures(wanted, lines), figures(wanted, [(text,) for text, _ in held])


def _card(config: ExtractorConfig, result: ExtractorResult) -> str:
    rows: list[tuple[str, ...]] = [("", "model", "echo of the whole turn")]
    if result.held_out and result.echo:
        for name, value in asdict(result.held_out).items():
            other = asdict(result.echo)[name]
            rows.append((name, *(f"{one:.3f}" if isinstance(one, float) else str(one) for one in (value, other))))
    rows.insert(1, ("---", "---:", "---:"))
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return (
        f"# {Path(result.output).name}\n\nReads the facts off one turn of a dialogue, for `extract` with "
        f"`trained: true` and `form: {config.form}`. Trained by `factory train-extractor` from {short(config.model)}, "
        f"{result.steps} steps, on {result.pairs:,} pairs.\n\n"
        + (f"Held-out pairs, answered greedily:\n\n{table}\n" if result.held_out else "No pair was held out.\n")
    )
