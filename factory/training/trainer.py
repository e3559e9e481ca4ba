"""Fine-tuning with transformers' Trainer: what `train-lm` and `train-nli` share.

The Trainer does the work (optimizer, bf16, several devices, checkpoints). Around it: a run resumes from the last whole
checkpoint, and only with the configuration that it began with; progress is a bar on a terminal and plain lines
elsewhere; the losses end as a picture. Limitations: a kill costs the steps since the last checkpoint.
"""

# ruff: noqa: ARG002 -- callbacks take what the Trainer passes
from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from factory.base.hardware import has_bfloat16
from factory.store.corpus import Corpus
from factory.training import TrainingError
from factory.training.output import draw_losses
from factory.training.stream import Stream


class Steps(BaseModel):
    """How long to train, how fast, and on how much at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(ge=1, description="Optimizer steps.")
    batch: int = Field(8, ge=1, description="Examples a device reads at once.")
    accumulate: int = Field(1, ge=1, description="Batches whose gradients make one step.")
    learning_rate: float = Field(5e-5, gt=0, description="Peak; it falls linearly to zero.")
    warmup: int = Field(0, ge=0, description="Steps over which the learning rate rises from zero.")
    checkpoint_every: int = Field(200, ge=1, description="Steps between checkpoints; a kill costs at most these.")
    report_every: int = Field(20, ge=1, description="Steps between progress lines, and points of the loss curve.")
    gradient_checkpointing: bool = Field(False, description="Compute activations twice instead of keeping them.")
    report_to: tuple[Literal["wandb", "mlflow", "tensorboard"], ...] = Field(
        (), description="Trackers that are told the losses, as transformers does; their packages must be installed."
    )


def begin(work: Path, config: BaseModel) -> None:
    """Make the folder ready for a training with this configuration, begun there or new.

    Raises TrainingError if it holds one with another."""
    disable_progress_bar()  # type: ignore[no-untyped-call]
    set_verbosity_error()  # type: ignore[no-untyped-call]  # a new head is reported as missing weights
    kept, wanted = work / "config.json", config.model_dump_json(indent=1)
    if kept.exists() and kept.read_text(encoding="utf-8") != wanted:
        raise TrainingError(
            f"{work} holds a training with another configuration: use that one, "
            "name another output, or remove the folder"
        )
    work.mkdir(parents=True, exist_ok=True)
    kept.write_text(wanted, encoding="utf-8")
    # The Trainer writes its state last: a checkpoint without it was cut off.
    for folder in work.glob("checkpoint-*"):
        if not (folder / "trainer_state.json").is_file():
            shutil.rmtree(folder)


def pinned(corpus: str, version: int | None, kept: Path) -> int:
    """The version of a corpus that a training reads: the one it names, or the newest at its first start. The file
    `kept` holds it for a resumed training, since the corpus may have grown. Raises TrainingError if there is none."""
    if version is None and kept.exists():
        return int(kept.read_text())
    table = Corpus(corpus).table
    newest = table.version() if table.shards() else None
    if newest is None:
        raise TrainingError(f"{corpus}: there is no corpus here; make one with: factory run JOB")
    kept.write_text(str(newest if version is None else version))
    return newest if version is None else version


class _Report(TrainerCallback):
    """Shows steps, loss and pace; on standard error, as a run does."""

    def __init__(self) -> None:
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}")
        self._bar = Progress(*columns, TimeRemainingColumn(), console=self._err, transient=True)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Begin to show."""
        if state.global_step:
            self._err.print(f"resumes from step {state.global_step}")
        self._task = self._bar.add_task("steps", total=state.max_steps, completed=state.global_step, note="")
        if self._err.is_terminal:
            self._bar.start()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Count a step."""
        self._bar.update(self._task, completed=state.global_step)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        """Show the mean loss of the last steps."""
        if "loss" not in more["logs"]:
            return
        note = f"loss {float(more['logs']['loss']):.3f}"
        self._bar.update(self._task, note=note)
        if not self._err.is_terminal:
            left = self._bar.tasks[self._task].time_remaining
            self._err.print(
                f"step {state.global_step}/{state.max_steps}  {note}" + ("" if left is None else f"  {left:.0f} s left")
            )

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Take the bar away."""
        if self._err.is_terminal:
            self._bar.stop()


def fit(
    model: PreTrainedModel,
    stream: Callable[..., Stream[Any]],
    collate: Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]],
    steps: Steps,
    *,
    seed: int,
    work: Path,
    groups: Sequence[dict[str, Any]] = (),
) -> None:
    """Train the model to `steps.steps`, from the last checkpoint in `work` if there is one.

    `stream(start=n)` is the data behind its first n examples. `groups` are the optimizer's parameter groups; all
    parameters alike without."""
    arguments = TrainingArguments(
        output_dir=str(work), max_steps=steps.steps, per_device_train_batch_size=steps.batch,
        gradient_accumulation_steps=steps.accumulate, learning_rate=steps.learning_rate, warmup_steps=steps.warmup,
        bf16=has_bfloat16(), use_cpu=not torch.accelerator.is_available(), seed=seed, logging_steps=steps.report_every,
        save_steps=steps.checkpoint_every, save_total_limit=2, report_to=list(steps.report_to) or "none",
        disable_tqdm=True,
        remove_unused_columns=False, ignore_data_skip=True, gradient_checkpointing=steps.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},  # which needs no input that is trained
        dataloader_pin_memory=torch.cuda.is_available(),
    )  # fmt: skip
    checkpoint = get_last_checkpoint(str(work))  # type: ignore[no-untyped-call]
    done = int(checkpoint.rpartition("-")[2]) if checkpoint else 0
    data = stream(start=done * steps.accumulate * arguments.train_batch_size * arguments.world_size)
    optimizer = torch.optim.AdamW(groups, lr=steps.learning_rate, weight_decay=0.01) if groups else None
    trainer = Trainer(model, arguments, collate, data, callbacks=[_Report()], optimizers=(optimizer, None))
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=checkpoint)
    points = [(int(entry["step"]), entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    draw_losses(points, work / "loss.png")
