"""What a training leaves behind: its loss curve as a picture, and a model folder that is never half written."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path


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
