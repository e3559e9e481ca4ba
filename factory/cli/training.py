"""The commands that train models, and that find the thresholds of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic_core import to_jsonable_python

from factory.cli.options import AsJson, print_json
from factory.export.view import parse_origins
from factory.models import placed
from factory.scorers.nli import NliModel
from factory.spec.yamlfile import load_yaml
from factory.training.calibrate import CalibrationError, draw
from factory.training.calibrate import calibrate as calibrate_model
from factory.training.labelled import PairFile, read_pairs
from factory.views import display
from factory.views.evaluation import show_evaluation
from factory.views.progress import CountView, counting

_Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="What to train, on what, and how: a short YAML.")]
_Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Override a field: --set training.steps=200")
]
_To = Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the model goes.")]


def train_lm(config: _Config, to: _To, overrides: _Overrides = None, as_json: AsJson = False) -> None:
    """Train a causal language model on a corpus. The same command resumes a training that was killed."""
    from factory.training.lm import LmConfig, train_lm

    result = train_lm(load_yaml(config, LmConfig, overrides or (), base=config.resolve().parent)[0], to)
    if as_json:
        print_json(to_jsonable_python(result))
    else:
        display.show_training(result)


def train_extractor(config: _Config, to: _To, overrides: _Overrides = None, as_json: AsJson = False) -> None:
    """Train a language model to read facts off turns. The same command resumes a training that was killed."""
    from factory.training.extractor import ExtractorConfig, train_extractor

    result = train_extractor(load_yaml(config, ExtractorConfig, overrides or (), base=config.resolve().parent)[0], to)
    if as_json:
        print_json(to_jsonable_python(result))
    else:
        display.show_training(result)


def eval_lm(  # noqa: PLR0917 -- typer reads the options off the signature
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Bundled, a folder or a Hugging Face id.")],
    dialogues: Annotated[
        str,
        typer.Argument(metavar="DIALOGUES", help="A corpus, of which what train-lm holds out; or a file, all of it."),
    ],
    adapter: Annotated[str | None, typer.Option(help="Adapter of the model, as a job names it.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hugging Face model.")] = None,
    version: Annotated[int | None, typer.Option(min=0, help="Version of the corpus; the newest by default.")] = None,
    held: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the corpus's seeds that are held out, as in train-lm; 1: all.")
    ] = 0.02,
    facts: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Facts of a corpus in prompts (repeatable); else as in train-lm."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The first N dialogues, at most.")] = 200,
    nli: Annotated[str, typer.Option(help="NLI model: bundled, a folder or a Hugging Face id.")] = "nli-small",
    as_json: AsJson = False,
) -> None:
    """Measure a dialogue model on held-out dialogues, with the speaker's persona, a stranger's, and none."""
    from factory.training.chats import ChatSource
    from factory.training.eval_lm import evaluation
    from factory.training.held_out import held_out

    source = ChatSource(corpus=dialogues, version=version)
    told = {"held": held} | ({"facts": tuple(parse_origins(facts))} if facts else {})
    data = held_out(dialogues, source.model_copy(update=told), limit)
    found = evaluation(
        _named_model(model, "MODEL"), adapter and _named_model(adapter, "--adapter"), revision, dialogues, data,
        NliModel(name=_named_model(nli, "--nli")), CountView(),
    )  # fmt: skip
    if as_json:
        print_json(to_jsonable_python(found))
    else:
        show_evaluation(found)


def train_nli(config: _Config, to: _To, overrides: _Overrides = None, as_json: AsJson = False) -> None:
    """Train an NLI classifier on labelled pairs. The same command resumes a training that was killed."""
    from factory.training.nli import NliConfig, train_nli

    result = train_nli(load_yaml(config, NliConfig, overrides or (), base=config.resolve().parent)[0], to)
    if as_json:
        print_json(to_jsonable_python(result))
    else:
        display.show_training(result)


def calibrate(  # noqa: PLR0917 -- typer reads the options off the signature
    pairs: Annotated[list[str], typer.Argument(metavar="PAIRS...", help="Files of labelled pairs: paths or URIs.")],
    model: Annotated[str, typer.Option(help="NLI model: bundled, a folder or a Hugging Face id.")] = "nli-small",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hugging Face model.")] = None,
    premise: Annotated[str, typer.Option(help="Column of the premise.")] = "premise",
    hypothesis: Annotated[str, typer.Option(help="Column of the hypothesis.")] = "hypothesis",
    label: Annotated[str, typer.Option(help="Column of the label: entailment, neutral, contradiction.")] = "label",
    max_rejected: Annotated[
        float, typer.Option(min=0, max=1, help="Share of consistent pairs that may be rejected.")
    ] = 0.01,
    max_flagged: Annotated[
        float, typer.Option(min=0, max=1, help="Share of consistent pairs that may be flagged.")
    ] = 0.025,
    picture: Annotated[Path, typer.Option(help="File for the plot.")] = Path("calibration.png"),
    as_json: AsJson = False,
) -> None:
    """Find an NLI model's contradiction thresholds on labelled pairs, and what they cost and catch."""
    files = [PairFile(path=path, premise=premise, hypothesis=hypothesis, label=label) for path in pairs]
    found = read_pairs(files)
    if not found.pairs:
        why = ", ".join(f"{count:,} {reason}" for reason, count in found.left_out.items())
        raise CalibrationError(f"no labelled pair in {', '.join(pairs)}; left out: {why or 'nothing'}")
    with counting("pairs", len(found.pairs)) as report:
        result = calibrate_model(
            found.pairs, NliModel(name=_named_model(model, "--model"), revision=revision),
            max_rejected=max_rejected, max_flagged=max_flagged, report=report,
        )  # fmt: skip
    if as_json:
        print_json({**to_jsonable_python(result), "left_out": found.left_out, "picture": str(picture)})
    else:
        display.show_calibration(result, found.left_out, picture)
    draw(result, picture)  # last: what was scored is told, whatever becomes of the picture


def _named_model(name: str, what: str) -> str:
    try:
        return placed(name, Path())
    except ValueError as error:
        raise CalibrationError(f"{what} {name}: {error}") from error
