"""Calibrate: what an NLI model's contradiction thresholds cost and catch, on labelled pairs.

A threshold is an operating point only with its error rates: of the contradictions, how many does it find (recall); of
what it flags, how much is one (precision); of the consistent pairs, how many does it flag all the same (false
rejection). The last one decides what a filter throws away, since most pairs are consistent, so the thresholds proposed
are the lowest that keep it within a bound. Pairs that `factory pairs` drew are weighted, so that the rates are those of
the corpus. Limitations: the rates hold for pairs like those given, and no others; of weighted pairs recall rests on the
few contradictions that were found far below the thresholds, each of which stands for many.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from factory.base.intervals import wilson
from factory.models import called, revision_of, same
from factory.scorers.nli import Nli, NliModel, Probabilities
from factory.training.labelled import LabelledPair
from factory.training.strata import Floats, Mask, Strata

THRESHOLDS: tuple[float, ...] = tuple(percent / 100 for percent in range(1, 100))
_CHUNK = 2048


class CalibrationError(Exception):
    """Pairs that tell nothing about a threshold: why, and what to do."""


@dataclass(frozen=True, slots=True)
class Point:
    """One threshold. Shares of 1; precision is none where nothing is flagged. `false_rejection_most` is the upper end
    of the rate's 95 % interval (Wilson, 1927), of weighted pairs with their effective size (`Strata`)."""

    threshold: float
    precision: float | None
    recall: float
    false_rejection: float
    false_rejection_most: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a model does on the pairs: at each threshold, and at the two proposed ones (none if no threshold keeps the
    bound). `score` and `check` say which pairs of a corpus these were, if files tell. `pairs` and `contradictions` are
    counted; all shares are weighted where the pairs were drawn by strata: then `stands_for` is how many pairs they
    stand for, and `unlabelled` how many are in strata without a label. `accuracy` is of the likeliest label.
    `labelled_by` counts the pairs by who labelled them, where files tell."""

    model: str
    score: str | None
    check: str | None
    pairs: int
    contradictions: int
    contradicted: float
    stands_for: int
    unlabelled: int
    labelled_by: dict[str, int]
    accuracy: float
    points: tuple[Point, ...]
    reject: Point | None
    flag: Point | None


def calibrate(
    pairs: Sequence[LabelledPair],
    model: NliModel,
    *,
    max_rejected: float,
    max_flagged: float,
    report: Callable[[int], None] = lambda _: None,
) -> Calibration:
    """Score the pairs and find the lowest thresholds that reject at most `max_rejected`, and flag at most
    `max_flagged`, of the pairs that are no contradiction. `report` is told how many are scored.

    Raises CalibrationError without pairs of both kinds, with pairs that this model labelled, or where only
    some were drawn by strata, ScorerStartError."""
    name = called(model.name, revision_of(model.name, model.revision))
    _refuse_its_own(pairs, name)
    if len({(pair.score, pair.check) for pair in pairs}) > 1:
        raise CalibrationError("these are pairs of several scores or checks: calibrate on each alone")
    wrong = np.array([pair.label == "contradiction" for pair in pairs], dtype=np.bool_)
    if not 0 < wrong.sum() < len(pairs):
        raise CalibrationError(
            f"{wrong.sum()} of {len(pairs)} pairs are contradictions; give pairs of both kinds, some hundred of each"
        )
    try:
        strata = Strata(pairs, name)
    except ValueError as error:
        raise CalibrationError(str(error)) from error
    scores = asyncio.run(_score(pairs, model, report))
    contradiction = np.array([score.contradiction for score in scores])
    points = tuple(_points(contradiction, wrong, strata))
    right = np.array([_likeliest(score) == pair.label for score, pair in zip(scores, pairs, strict=True)])
    return Calibration(
        model.name, pairs[0].score, pairs[0].check, len(pairs), int(wrong.sum()),
        float(np.average(wrong, weights=strata.weights)),
        strata.stands_for, strata.unlabelled, dict(Counter(pair.labelled_by for pair in pairs if pair.labelled_by)),
        float(np.average(right, weights=strata.weights)), points,
        _lowest(points, max_rejected), _lowest(points, max_flagged),
    )  # fmt: skip


def _refuse_its_own(pairs: Sequence[LabelledPair], model: str) -> None:
    own = [pair for pair in pairs if pair.labelled_by and same(pair.labelled_by, model)]
    if own:
        raise CalibrationError(
            f"{len(own)} of {len(pairs)} pairs were labelled by the model itself ({own[0].labelled_by}), so they would "
            "only show that it agrees with itself; label pairs of the corpus by hand: factory pairs CORPUS --to "
            "pairs.html"
        )


async def _score(pairs: Sequence[LabelledPair], model: NliModel, report: Callable[[int], None]) -> list[Probabilities]:
    nli, scores = Nli(model), list[Probabilities]()
    try:
        for first in range(0, len(pairs), _CHUNK):
            chunk = pairs[first : first + _CHUNK]
            scores += await nli.score([(pair.premise, pair.hypothesis) for pair in chunk])
            report(len(scores))
    finally:
        nli.close()
    return scores


def _likeliest(score: Probabilities) -> str:
    return max(("entailment", "neutral", "contradiction"), key=lambda label: float(getattr(score, label)))


def _points(contradiction: Floats, wrong: Mask, strata: Strata) -> Iterator[Point]:
    from sklearn.metrics import confusion_matrix  # slow to import, and every command imports this module

    most = 1.0
    for threshold in THRESHOLDS:
        flagged = contradiction >= threshold
        counted = confusion_matrix(wrong, flagged, sample_weight=strata.weights).ravel()
        kept, false, missed, found = map(float, counted)
        size, rejected = strata.effective_size(flagged, ~wrong), false / (false + kept)
        most = min(most, wilson(rejected * size, size)[1])  # a higher threshold rejects no more
        precision = found / (found + false) if found + false else None
        yield Point(threshold, precision, found / (found + missed), rejected, most)


def _lowest(points: Sequence[Point], bound: float) -> Point | None:
    """The lowest threshold within the bound, if it finds any contradiction."""
    found = next((point for point in points if point.false_rejection <= bound), None)
    return found if found is not None and found.recall > 0 else None


def draw(calibration: Calibration, path: Path) -> None:
    """The three rates over the threshold as a picture, with the proposed thresholds. Raises CalibrationError if it
    cannot be written."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2))
    points = calibration.points
    at = [point.threshold for point in points]
    false = [point.false_rejection for point in points]
    axes.plot(at, [math.nan if point.precision is None else point.precision for point in points], label="precision")
    axes.plot(at, [point.recall for point in points], label="recall")
    axes.plot(at, false, label="false rejection")
    axes.fill_between(at, false, [point.false_rejection_most for point in points], alpha=0.2, color="C2")
    for name, chosen, style in (("flag", calibration.flag, ":"), ("reject", calibration.reject, "--")):
        if chosen is not None:
            axes.axvline(chosen.threshold, color="gray", linestyle=style, label=f"{name} {chosen.threshold:.2f}")
    axes.set(xlabel="P(contradiction) threshold", ylim=(0, 1.02), xlim=(0, 1))
    counts = f"{calibration.contradictions} contradictions of {calibration.pairs} pairs"
    axes.set_title(f"{calibration.model}: {counts}", fontsize=10)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, bbox_inches="tight")
    except (OSError, ValueError) as error:
        raise CalibrationError(f"{path}: the picture cannot be drawn: {error}") from error
    finally:
        plt.close(figure)
