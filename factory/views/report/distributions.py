"""How a quantity is distributed over rows, turns or scored pairs, by decision.

Counted by polars, streaming, in steps that are fine enough to draw and to read quantiles from; so memory holds one
number a step and decision, whatever the corpus holds. Limitations: quantiles finer than the step.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from factory.views.measures import DECISIONS
from factory.views.report.frames import DECISION
from factory.views.report.quantities import QUANTITIES

BINS = 25
"""Bars at most."""
_TAIL = 0.995
"""What lies above this quantile shares the last bar, if it would stretch the axis by half."""


def distributions(rows: pl.LazyFrame) -> dict[str, dict[str, Any]]:
    """Per quantity that the corpus has: what one value is `of` (dialogue, turn, pair), `count`, `mean`, `min`, `max`,
    the quantiles `p5`, `median` and `p95` (rounded down to `step`), and a histogram: `edges` (one more than bars) and
    `counts` by decision; `open` says that the last bar also holds what lies above. Without values: left out."""
    found = {}
    for quantity in QUANTITIES:
        frame = rows.select(decision=DECISION, value=quantity.values)
        if frame.collect_schema()["value"].is_nested():
            frame = frame.explode("value")
        told = distribution(frame, quantity.step, quantity.share)
        if told:
            found[quantity.name] = {"of": quantity.of, "step": quantity.step} | told
    return found


def distribution(frame: pl.LazyFrame, step: float, share: bool) -> dict[str, Any]:
    """One of them, of a frame with `decision` and `value`, in steps; a `share` is drawn from 0 to 1."""
    value = pl.col("value").cast(pl.Float64)
    # A value that stands on a step must not fall below it by its last bit.
    number = (value / step + 1e-6).floor().cast(pl.Int64)
    counted = (
        frame.drop_nulls("value")
        .group_by("decision", number.alias("step"))
        .agg(pl.len(), value.sum().alias("sum"), value.min().alias("min"), value.max().alias("max"))
        .sort("step")
        .collect(engine="streaming")
    )
    if counted.is_empty():
        return {}
    steps, lens = counted["step"].to_numpy(), counted["len"].to_numpy()
    below, total = np.cumsum(lens), int(lens.sum())

    def quantile(part: float) -> int:
        return int(steps[np.searchsorted(below, part * total)])

    first, last = (0, round(1 / step) - 1) if share else (int(steps[0]), int(steps[-1]))
    tail = quantile(_TAIL)
    stretched = not share and last - first > 1.5 * (tail - first + 1)
    width = _width((tail if stretched else last) - first + 1)
    first = first // width * width
    bars = ((tail if stretched else last) - first) // width + 1
    place = np.clip((steps - first) // width, 0, bars - 1)
    counts = {
        decision: np.bincount(place[mask], lens[mask], bars).astype(int).tolist()
        for decision in DECISIONS
        if (mask := (counted["decision"] == decision).to_numpy()).any()
    }
    return {
        "count": total,
        "mean": float(counted["sum"].sum()) / total,
        "min": counted["min"].min(),
        "p5": quantile(0.05) * step,
        "median": quantile(0.5) * step,
        "p95": quantile(0.95) * step,
        "max": counted["max"].max(),
        "edges": [round((first + width * bar) * step, 10) for bar in range(bars + 1)],
        "counts": counts,
        "open": stretched,
    }


def _width(steps: int) -> int:
    """Steps to a bar: 1, 2 or 5 times a power of ten, and few enough bars."""
    power: int = 10 ** max(0, math.floor(math.log10(steps / BINS)))
    return next(width for width in (power, 2 * power, 5 * power, 10 * power) if steps <= BINS * width)
