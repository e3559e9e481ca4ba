"""Corpora over the same slots held against each other by a model: which is better, and by how much of chance.

A slot is the seeds of a row, in speaking order, and its sample; rows of other slots are left out. Limitations: the
model's taste, so test it first; a position that it prefers makes ties, and hides differences.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from factory.base.bradley_terry import chances
from factory.engines import RequestError
from factory.methods import Kit
from factory.methods.judging.fitness.running import Opinion
from factory.running.asked import opened, opinion_of
from factory.spec.identity import Entry
from factory.spec.job import Job
from factory.store.records import Decision, Row
from factory.store.table import CorpusError
from factory.views.sides import FEWEST
from factory.views.slots import Held, sample

Points = tuple[float | None, float | None]
"""Those of the first of two sides in both orders."""


def tournament(
    job: Job,
    places: Sequence[str],
    *,
    versions: Sequence[int | None] = (),
    decisions: Sequence[Decision] = ("accept",),
    slots: int = 1000,
    score: str | None = None,
) -> dict[str, Any]:
    """The `score` and `model` that are asked; `sides`, each with `place`, `version`, and its `rows`;
    how many slots are in all (`matched`) and were `asked`; and `pairs` of sides, each with the `chance` that `one`
    is better than `other`, its 95 % interval from `least` to `most`, whether it `differs` from a half, and, of two
    answers a slot, how many were given (`answers`), are `ties` and are `abstained`, and in how many slots the two go
    `by_order`. Raises CorpusError for fewer than ten slots, and RunError."""
    entry = opinion_of(job, score)
    given = [*versions, *[None] * len(places)][: len(places)]
    held = [Held(place, decisions, version) for place, version in zip(places, given, strict=True)]
    matched = frozenset.intersection(*(one.slots for one in held))
    if len(matched) < FEWEST:
        counts = ", ".join(f"{one.place} has {len(one.slots):,} rows" for one in held)
        raise CorpusError(
            f"{len(matched)} slots are in all of the corpora, of which {FEWEST} are needed: {counts}. A slot is the "
            "same seeds in the same order and the same sample; make the corpora of the same seeds"
        )
    rows = [one.rows(chosen) for chosen in [sample(matched, slots, 0)] for one in held]
    points = asyncio.run(_asked(job, entry, rows))
    return {
        "score": entry.name,
        "model": next(iter(entry.models.values())),
        "sides": [{"place": one.place, "version": one.version, "rows": len(one.slots)} for one in held],
        "matched": len(matched),
        "asked": len(rows[0]),
        "pairs": held_against(len(places), points),
    }


def held_against(sides: int, points: Mapping[tuple[int, int], Sequence[Points]]) -> list[dict[str, Any]]:
    """The pairs of sides, from the points of the first of each pair in each slot."""
    slots = len(next(iter(points.values())))
    table: NDArray[np.float64] = np.full((slots, sides, sides), np.nan)
    for (one, other), found in points.items():
        for slot, both in enumerate(found):
            if known := [point for point in both if point is not None]:
                table[slot, one, other] = sum(known) / len(known)
                table[slot, other, one] = 1 - table[slot, one, other]
    told = chances(table)
    return [
        {
            "one": one,
            "other": other,
            "chance": _number(told.chance[one, other]),
            "least": _number(told.least[one, other]),
            "most": _number(told.most[one, other]),
            "differs": bool(told.least[one, other] > 1 / 2 or told.most[one, other] < 1 / 2),
            "answers": sum(point is not None for both in found for point in both),
            "ties": sum(point == 1 / 2 for both in found for point in both),
            "abstained": sum(point is None for both in found for point in both),
            "by_order": sum(set(both) == {0.0, 1.0} for both in found),
        }
        for (one, other), found in points.items()
    ]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


async def _asked(job: Job, entry: Entry, rows: Sequence[Sequence[Row]]) -> dict[tuple[int, int], list[Points]]:
    async with opened(job, entry) as kit:
        return {
            (one, other): await _between(entry, rows[one], rows[other], kit)
            for one, other in combinations(range(len(rows)), 2)
        }


async def _between(entry: Entry, ones: Sequence[Row], others: Sequence[Row], kit: Kit) -> list[Points]:
    """The points of each slot; of one that the engine refuses, none."""
    opinion = cast(Opinion, entry.method)
    free = asyncio.Semaphore(max(kit.engine.capacity // 2, 1))

    async def ask(one: Row, other: Row) -> Points:
        async with free:
            try:
                return await opinion.better(one, other, kit)
            except RequestError:
                return None, None

    return list(await asyncio.gather(*map(ask, ones, others)))


def show_tournament(told: Mapping[str, Any], out: Console) -> None:
    """Print it: a line a pair of sides."""
    for place, side in enumerate(told["sides"]):
        out.print(f"{_letter(place)}: {side['place']}, version {side['version']}: {side['rows']:,} rows", markup=False)
    out.print(f"{told['asked']:,} of {told['matched']:,} slots that are in all, by {told['score']}, in both orders")
    table = Table("", "chance", "95 %", "", "ties", "by order", "abstained", box=None, pad_edge=False)
    for one in told["pairs"]:
        known = one["chance"] is not None
        table.add_row(
            f"{_letter(one['one'])} better than {_letter(one['other'])}",
            f"{one['chance']:.3f}" if known else "",
            f"{one['least']:.3f} to {one['most']:.3f}" if known else "",
            "*" if one["differs"] else "",
            f"{one['ties']:,} of {one['answers']:,}",
            f"{one['by_order']:,} slots",
            f"{one['abstained']:,} answers",
        )
    out.print(table)
    out.print("* differs from a half; ties count as a half, and so do answers that go by the order")


def _letter(place: int) -> str:
    return chr(ord("A") + place)
