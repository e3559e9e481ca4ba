"""How a quantity is distributed over rows, turns or scored pairs, by decision.

polars counts the values in a stream, in steps that are fine enough for a histogram and for quantiles. So memory holds
one number per step and decision, however large the corpus is. Limitations: quantiles are rounded down to a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

from factory.views.measures import DECISIONS
from factory.views.report.frames import DECISION
from factory.views.report.quantities import Quantity

BINS = 25
"""The most bars of a histogram."""
_TAIL = 0.995
"""Values above this quantile share the last bar if the axis would be half as long again with them."""
STRAY = 1e-6
"""How much of a step is added to a value, so that rounding errors move none that lies on a step to the one below."""
FAR = 2.0**53
"""Values that lie further off than so many steps count as lying there, since whole numbers end somewhere."""


def distributions(rows: pl.LazyFrame, quantities: Iterable[Quantity]) -> dict[str, dict[str, Any]]:
    """Per quantity that the corpus has: its fields, `count`, `mean`, `min`, `max`, the quantiles `p5`, `median` and
    `p95` (rounded down to `step`), and a histogram: `edges` (one more than bars) and `counts` by decision; `open` says
    that the last bar also holds all larger values. Quantities without values are left out."""
    found = {}
    for quantity in quantities:
        frame = rows.select(decision=DECISION, value=quantity.values)
        if frame.collect_schema()["value"].is_nested():
            frame = frame.explode("value")
        told = distribution(frame, quantity.step, quantity.kind == "share")
        if told:
            names = ("title", "axis", "of", "kind", "step", "about", "column")
            found[quantity.name] = {name: getattr(quantity, name) for name in names} | told
    return found


def distribution(frame: pl.LazyFrame, step: float, share: bool) -> dict[str, Any]:
    """The distribution of a frame's `value`, by its `decision`; the axis of a `share` runs from 0 to 1."""
    value = pl.col("value").cast(pl.Float64)
    number = (value / step + STRAY).floor().clip(-FAR, FAR).cast(pl.Int64)
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
    """How many steps make a bar: 1, 2 or 5 times a power of ten, so that there are at most BINS bars."""
    power: int = 10 ** max(0, math.floor(math.log10(steps / BINS)))
    return next(width for width in (power, 2 * power, 5 * power, 10 * power) if steps <= BINS * width)
