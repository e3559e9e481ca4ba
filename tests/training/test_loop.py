"""A training that is killed goes on from its checkpoint and ends as if it had not been."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from factory.training.loop import Schedule, replace_folder, train

SCHEDULE = Schedule(steps=20, warmup=2, checkpoint_every=5, report_every=10)


def _run(folder: Path, killed_at: int = -1) -> tuple[int, torch.Tensor]:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)

    def loss_of(step: int) -> torch.Tensor:
        if step == killed_at:
            raise KeyboardInterrupt
        inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        return (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()

    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    steps = train(model, [optimizer], loss_of, SCHEDULE, checkpoint=folder / "model.pt", save=lambda: None)
    return steps, model.weight.detach().clone()


def test_a_killed_training_resumes_to_the_step_and_ends_the_same(tmp_path: Path) -> None:
    whole, expected = _run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path / "killed", killed_at=13)
    rest, weights = _run(tmp_path / "killed")
    assert (whole, rest) == (20, 10)
    assert torch.equal(weights, expected)
    assert (tmp_path / "killed" / "loss.png").stat().st_size > 0


def test_a_finished_training_does_nothing_more(tmp_path: Path) -> None:
    _run(tmp_path)
    assert _run(tmp_path)[0] == 0


@pytest.mark.parametrize("steps", [1, 7, 400])
def test_the_learning_rate_rises_to_its_peak_and_falls(steps: int) -> None:
    schedule = Schedule(steps=steps, warmup=3, decay=0.5)
    factors = [schedule.factor(step) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    peak = factors.index(max(factors))
    assert factors[:peak] == sorted(factors[:peak])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)


def test_files_are_replaced_and_none_is_left_half_written(tmp_path: Path) -> None:
    fresh, target = tmp_path / "fresh", tmp_path / "target"
    fresh.mkdir()
    target.mkdir()
    (fresh / "weights").write_text("new")
    (target / "weights").write_text("old")
    (target / "README.md").write_text("card")
    replace_folder(fresh, target)
    assert {file.name: file.read_text() for file in target.iterdir()} == {"weights": "new", "README.md": "card"}
