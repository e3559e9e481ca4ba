"""The training loop that both models share: steps, a schedule, checkpoints, progress lines and a loss curve.

A batch is a function of its step, so a run resumes to the step after a kill from the last checkpoint alone: no
sampler state, no data order to restore. Own code, since the steps are short and the batches made on the fly.
Limitations: one device.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field


class Schedule(BaseModel):
    """How long to train and how fast: linear warm-up, constant, linear decay to zero over the last part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(ge=1, description="Optimizer steps.")
    warmup: int = Field(50, ge=0, description="Steps over which the learning rate rises from zero.")
    decay: float = Field(
        0.5, gt=0, le=1, description="Last share of the steps, over which the learning rate falls to zero."
    )
    checkpoint_every: int = Field(100, ge=1, description="Steps between checkpoints; a kill costs at most these.")
    report_every: int = Field(20, ge=1, description="Steps between progress lines.")

    def factor(self, step: int) -> float:
        """The learning rate at a step, as a share of its peak."""
        rise = min(1.0, (step + 1) / max(1, self.warmup))
        return rise * min(1.0, (self.steps - step) / (self.decay * self.steps))


def train(
    model: torch.nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    loss_of: Callable[[int], torch.Tensor],
    schedule: Schedule,
    *,
    checkpoint: Path,
    save: Callable[[], None],
) -> int:
    """Train from the checkpoint, if there is one, to `schedule.steps`; the steps done in this call.

    `loss_of(step)` is the loss of that step's batch. `checkpoint` is a file; beside it the losses are kept (and drawn
    at the end, as `loss.png`). `save` writes the model for its users, after each checkpoint.
    """
    peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    start, losses = 0, list[float]()
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        start, losses = state["step"], state["losses"]
        print(f"resumed at step {start}")
    model.train()
    began = time.monotonic()
    for step in range(start, schedule.steps):
        for optimizer, rates in zip(optimizers, peaks, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * schedule.factor(step)
        loss = loss_of(step)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        done = step + 1
        if done % schedule.report_every == 0 or done == schedule.steps:
            recent = losses[-schedule.report_every :]
            pace = (done - start) / (time.monotonic() - began)
            left = (schedule.steps - done) / pace / 60
            mean = sum(recent) / len(recent)
            print(f"step {done}/{schedule.steps}  loss {mean:.3f}  {pace:.2f} steps/s  {left:.1f} min left", flush=True)
        if done % schedule.checkpoint_every == 0 or done == schedule.steps:
            _save(checkpoint, model, optimizers, done, losses)
            save()
    draw_losses(list(enumerate(losses, 1)), checkpoint.with_name("loss.png"))
    return schedule.steps - start


def _save(
    checkpoint: Path,
    model: torch.nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    step: int,
    losses: list[float],
) -> None:
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    fresh = checkpoint.with_suffix(".new")
    states = [optimizer.state_dict() for optimizer in optimizers]
    torch.save({"model": model.state_dict(), "optimizers": states, "step": step, "losses": losses}, fresh)
    fresh.replace(checkpoint)


def draw_losses(points: Sequence[tuple[int, float]], path: Path) -> None:
    """The loss curve as a picture, from (step, loss): each point, and the mean of the last twenty."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    steps, losses = [step for step, _ in points], [loss for _, loss in points]
    means = [sum(losses[max(0, i - 19) : i + 1]) / min(20, i + 1) for i in range(len(losses))]
    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot(steps, losses, linewidth=0.5, alpha=0.4, label="loss")
    axes.plot(steps, means, label="mean of 20 points")
    axes.set(xlabel="step", ylabel="loss")
    axes.legend()
    figure.savefig(path, dpi=100, bbox_inches="tight")
    plt.close(figure)


def replace_folder(files: Path, target: Path) -> None:
    """Move each file of a folder into the target, one rename a file, so that a reader never meets half a file."""
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(files.iterdir()):
        fresh = target / f".{file.name}.new"
        shutil.copyfile(file, fresh)
        fresh.replace(target / file.name)
