"""Two corpora compared, or a corpus and files of dialogues: the means of all that both are scored by, and how far apart
their turns lie.

What asks no model is measured now, on both sides alike; of what does, values that are stored on both sides are
compared. Limitations: of many dialogues a sample, the same each time; a difference does not say which side is better;
scores that were made with other models or parameters are left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from factory.base.bootstrap import differences
from factory.base.frechet import unbiased_frechet
from factory.base.packages import explain_missing
from factory.methods import Score
from factory.methods.example import kit
from factory.methods.registry import found
from factory.scorers.embeddings import EmbeddingModel, Embeddings
from factory.store.records import Decision, Row, RowError
from factory.views.sides import Side, side_at

DIALOGUES, TURNS = 1000, 1000
"""Dialogues of each side that are compared at most, and turns of these that are embedded."""
LEAST_TURNS = 400
"""Turns of each side that the distance of embeddings needs (benchmarks/README.md, two sources compared)."""
Values = dict[str, float]


def compare(
    one: str,
    other: str,
    versions: tuple[int | None, int | None] = (None, None),
    decisions: Sequence[Decision] = ("accept",),
    dialogues: int = DIALOGUES,
) -> dict[str, Any]:
    """`sides`; `columns`, each with `means` and numbers of `known` values of both sides, the `difference` (other less
    one) and its interval from `least` to `most`, 95 % for all columns together, the difference in standard `deviations`
    of a dialogue, and whether it `differs`, the largest first; `left_out`, reasons by score; and `frechet`, the
    distance of the turns' embeddings. Raises CorpusError, SourceError or ScorerStartError."""
    sides = [
        side_at(place, version, decisions, dialogues) for place, version in zip((one, other), versions, strict=True)
    ]
    left_out = _left_out(sides)
    measured = [asyncio.run(_measured(side.rows, left_out)) for side in sides]
    names = [name for name in _names(measured[0]) if name in _names(measured[1])]
    tables = [np.array([[values.get(name, np.nan) for name in names] for values in some]) for some in measured]
    return {
        "sides": [
            {"place": side.place, "version": side.version, "dialogues": side.total, "compared": len(side.rows)}
            | {"unread": side.unread}
            for side in sides
        ],
        "columns": _columns(names, *tables),
        "left_out": left_out,
        "frechet": _distance(*sides),
    }


def _free() -> Iterator[Score]:
    """The scores that ask no model and need no parameters."""
    for cls in found("scores").values():
        try:
            score = cls(cls.Params())
        except ValidationError:
            continue
        if not score.needs:
            yield score


def _left_out(sides: Sequence[Side]) -> dict[str, str]:
    """The scores whose values are stored and cannot be compared, each with the reason."""
    one, other = ({name for row in side.rows for name in row.scores} for side in sides)
    free = {score.name for score in _free()}
    told = {}
    for name in sorted((one | other) - free):
        if name not in one & other:
            told[name] = f"{sides[name in one].place} does not have it"
        elif sides[0].made.get(name) != sides[1].made.get(name):
            told[name] = "it was made with other models, parameters or versions"
    return told


async def _measured(rows: Sequence[Row], left_out: dict[str, str]) -> list[Values]:
    """Each row's numbers by name: what its turns are like, what asks no model, and what is stored besides. A score that
    needs a package that is not there is left out, too."""
    scores, models = list(_free()), kit()
    measured = []
    for row in rows:
        known: dict[str, Mapping[str, Any]] = {
            name: values for name, values in row.scores.items() if name not in left_out
        }
        for score in [one for one in scores if one.name not in left_out]:
            try:
                known[score.name] = (await score.score(row, models)).values
            except RowError:
                known.pop(score.name, None)
            except ImportError as error:
                known.pop(score.name, None)
                left_out[score.name] = explain_missing(error, f"scores.{score.name}")
        words = sum(len(turn.text.split()) for turn in row.turns)
        told = {"turns": float(len(row.turns)), "words a turn": words / max(len(row.turns), 1)}
        told |= {
            f"{name}.{column}": float(value)
            for name, values in known.items()
            for column, value in values.items()
            if isinstance(value, bool | int | float)
        }
        measured.append(told)
    return measured


def _names(measured: Sequence[Values]) -> list[str]:
    return list(dict.fromkeys(name for values in measured for name in values))


def _columns(names: Sequence[str], one: NDArray[np.float64], other: NDArray[np.float64]) -> list[dict[str, Any]]:
    apart = differences(one, other)
    told = []
    for place, name in enumerate(names):
        known = [some[:, place][np.isfinite(some[:, place])] for some in (one, other)]
        difference = float(apart.difference[place])
        if not np.isfinite(difference):  # too few dialogues have a value
            continue
        least, most = float(apart.least[place]), float(apart.most[place])
        spread = float(np.sqrt((known[0].var(ddof=1) + known[1].var(ddof=1)) / 2))
        told.append(
            {
                "column": name,
                "means": [float(some.mean()) for some in known],
                "known": [len(some) for some in known],
                "difference": difference,
                "least": least,
                "most": most,
                "deviations": difference / spread if spread else None,
                "differs": difference != 0 and not least <= 0 <= most,
            }
        )
    return sorted(told, key=lambda line: (not line["differs"], -abs(line["deviations"] or 0)))


def _distance(one: Side, other: Side) -> dict[str, Any]:
    """`distance` of the turns' embeddings, `halves` the same between two halves of each side's dialogues, the number of
    `turns` of each side, and the `model`; or why it is `left_out`."""
    turns = [_turns(side.rows, TURNS) for side in (one, other)]
    if (few := min(map(len, turns))) < LEAST_TURNS:
        return {"left_out": f"{few:,} turns on one side are too few; {LEAST_TURNS} are needed"}
    model = EmbeddingModel()
    try:
        embeddings = Embeddings(model)
    except ImportError as error:
        return {"left_out": explain_missing(error, "the distance of embeddings")}
    try:
        vectors = [asyncio.run(embeddings.encode([text for _, text in some])) for some in turns]
    finally:
        embeddings.close()
    halves = [np.array([half for half, _ in some]) for some in turns]
    return {
        "distance": unbiased_frechet(vectors[0], vectors[1]),
        "halves": [
            unbiased_frechet(some[half == 0], some[half == 1]) for some, half in zip(vectors, halves, strict=True)
        ],
        "turns": [len(some) for some in turns],
        "model": model.name,
    }


def _turns(rows: Sequence[Row], most: int) -> list[tuple[int, str]]:
    """The turns of the first dialogues, each with the half that its dialogue falls to."""
    return [(number % 2, turn.text) for number, row in enumerate(rows) for turn in row.turns][:most]


def show_compared(told: Mapping[str, Any], out: Console) -> None:
    """Print it: a line a column, the largest differences first."""
    for mark, side in zip("AB", told["sides"], strict=True):
        version = "" if side["version"] is None else f", version {side['version']}"
        unread = f"; {side['unread']:,} rows could not be read" if side["unread"] else ""
        out.print(
            f"{mark}: {escape(side['place'])}{version}: {side['compared']:,} of {side['dialogues']:,} dialogues{unread}"
        )
    table = Table(
        "", "A", "B", "B - A", "95 % for all lines", "in sd", "", box=None, pad_edge=False, header_style="bold"
    )
    for one in told["columns"]:
        sd = one["deviations"]
        table.add_row(
            escape(one["column"]),
            *(f"{mean:.3f}" for mean in one["means"]),
            f"{one['difference']:+.3f}",
            f"{one['least']:+.3f} to {one['most']:+.3f}",
            "" if sd is None else f"{sd:+.2f}",
            "*" if one["differs"] else "",
        )
    out.print(table)
    out.print("* differs; the intervals are of 95 % for all lines together")
    for name, why in told["left_out"].items():
        out.print(f"left out: {name}: {why}", markup=False)
    apart = told["frechet"]
    if "left_out" in apart:
        out.print(f"Fréchet distance: left out: {apart['left_out']}", markup=False)
    else:
        within = " and ".join(f"{one:.3f}" for one in apart["halves"])
        out.print(
            f"Fréchet distance of turns ({apart['model']}): {apart['distance']:.3f}; halves of A and of B: {within}"
        )
