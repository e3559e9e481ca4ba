from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from factory.models import called, resolve, revision_of
from factory.scorers.classifier import ScorerStartError
from factory.scorers.nli import Nli, NliModel
from factory.training.calibrate import Calibration, CalibrationError, calibrate, draw
from factory.training.labelled import PERSON, LabelledPair

FACTS = ["I have a dog.", "I work as a nurse.", "I live in Berlin.", "I am married.", "I love coffee."]
SAID = {
    "entailment": ["I own a dog.", "I'm a nurse.", "My home is in Berlin.", "I have a wife.", "Coffee is my favorite."],
    "contradiction": ["I have no pets.", "I work as a cook.", "I live in Rome.", "I'm single.", "I hate coffee."],
    "neutral": ["It is late.", "Do you like jazz?", "My car is red.", "I ran home.", "I play chess."],
}
PAIRS = [LabelledPair(fact, said, label, "t") for label in SAID for fact, said in zip(FACTS, SAID[label], strict=True)]  # type: ignore[arg-type]
MODEL = NliModel(name="nli-small")


@pytest.fixture(scope="module")
def result() -> Calibration:
    return calibrate(PAIRS, MODEL, max_rejected=0.0, max_flagged=0.2)


def test_the_rates_follow_from_the_scores(result: Calibration, nli: Nli) -> None:
    scores = asyncio.run(nli.score([(pair.premise, pair.hypothesis) for pair in PAIRS]))
    for point in result.points[::7]:
        flagged = {pair for pair, score in zip(PAIRS, scores, strict=True) if score.contradiction >= point.threshold}
        found = {pair for pair in flagged if pair.label == "contradiction"}
        assert point.recall == len(found) / 5
        assert point.false_rejection == len(flagged - found) / 10
        assert point.precision == (len(found) / len(flagged) if flagged else None)
    assert result.pairs == 15
    assert result.contradictions == 5
    assert result.accuracy > 0.6


def test_the_proposed_thresholds_are_the_lowest_that_keep_the_bounds(result: Calibration) -> None:
    for chosen, bound in ((result.reject, 0.0), (result.flag, 0.2)):
        assert chosen is not None
        assert chosen.false_rejection <= bound
        below = [point for point in result.points if point.threshold < chosen.threshold]
        assert all(point.false_rejection > bound for point in below)
    assert result.flag.threshold <= result.reject.threshold


def test_a_bound_that_cannot_be_kept_proposes_nothing() -> None:
    swapped = [
        LabelledPair(p.premise, p.hypothesis, "neutral" if p.label == "contradiction" else "contradiction", "t")
        for p in PAIRS
    ]
    assert calibrate(swapped, MODEL, max_rejected=0.0, max_flagged=1.0).reject is None


def test_pairs_of_one_kind_tell_nothing() -> None:
    with pytest.raises(CalibrationError, match="0 of 5 pairs are contradictions"):
        calibrate(PAIRS[:5], MODEL, max_rejected=0.01, max_flagged=0.05)


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(ScorerStartError, match="/nowhere"):
        calibrate(PAIRS, NliModel(name="/nowhere"), max_rejected=0.01, max_flagged=0.05)


def test_the_picture_is_drawn(result: Calibration, tmp_path: Path) -> None:
    draw(result, tmp_path / "new" / "curves.png")
    assert (tmp_path / "new" / "curves.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(CalibrationError, match=r"curves.pgn: the picture cannot be drawn: .*not supported"):
        draw(result, tmp_path / "curves.pgn")


def labelled_by(who: str | None) -> list[LabelledPair]:
    return [replace(pair, labelled_by=who) for pair in PAIRS]


def test_what_the_model_itself_labelled_is_refused(tmp_path: Path) -> None:
    own = called("nli-small", revision_of("nli-small", None))
    with pytest.raises(CalibrationError, match=rf"15 of 15 pairs were labelled by the model itself \({own}\)"):
        calibrate(labelled_by(own), MODEL, max_rejected=0.01, max_flagged=0.05)
    moved = shutil.copytree(resolve("nli-small"), tmp_path / "moved")
    with pytest.raises(CalibrationError, match="1 of 15 pairs were labelled by the model itself .* factory pairs"):
        calibrate([*PAIRS[1:], *labelled_by(own)[:1]], NliModel(name=str(moved)), max_rejected=0.01, max_flagged=0.05)


@pytest.mark.parametrize("who", [PERSON, "org/stronger@main"])
def test_what_others_labelled_is_read_as_if_nobody_were_named(result: Calibration, who: str) -> None:
    told = calibrate(labelled_by(who), MODEL, max_rejected=0.0, max_flagged=0.2)
    assert (told.labelled_by, result.labelled_by) == ({who: 15}, {})
    assert replace(told, labelled_by={}) == result
