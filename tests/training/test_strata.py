from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from factory.base.intervals import wilson
from factory.training.calibrate import CalibrationError, calibrate
from factory.training.labelled import LabelledPair, Stratum
from factory.training.strata import Strata
from tests.training.test_calibrate import MODEL, PAIRS

MADE_BY = "org/model@main"
SIZES = {"low": 900, "high": 100}


def stratum(name: str, draw: str = "d", sizes: dict[str, int] = SIZES) -> Stratum:
    told = {"stratum_pairs": sizes[name], "all_pairs": sum(sizes.values())}
    return Stratum(draw=draw, stratum=name, scored_by=MADE_BY, **told)


def drawn(*names: str, draw: str = "d") -> list[LabelledPair]:
    return [LabelledPair("a", "b", "neutral", "t", stratum=stratum(name, draw)) for name in names]


def test_a_stratum_with_pairs_that_two_models_scored_is_one() -> None:
    pairs = drawn("low", "low", "high")
    another = stratum("low").model_copy(update={"scored_by": "another"})
    other = [replace(pairs[0], stratum=another), *pairs[1:]]
    one, both = Strata(pairs, MADE_BY), Strata(other, MADE_BY)
    assert both.weights.tolist() == one.weights.tolist()
    assert (both.stands_for, both.unlabelled) == (one.stands_for, one.unlabelled)


def test_a_pair_stands_for_its_share_of_the_stratum() -> None:
    def weights(pairs: list[LabelledPair]) -> list[float]:
        return list(Strata(pairs, MADE_BY).weights)

    assert weights(drawn("low", "high", "low", "low")) == [300, 100, 300, 300]
    assert weights([*drawn("low"), *drawn("low", draw="other")]) == [900, 900]
    assert weights(PAIRS) == [1] * len(PAIRS)


def test_what_stratum_has_no_label_is_counted() -> None:
    def stood_for(pairs: list[LabelledPair]) -> tuple[int, int]:
        strata = Strata(pairs, MADE_BY)
        return strata.stands_for, strata.unlabelled

    assert stood_for(drawn("low", "high", "high")) == (1000, 0)
    assert stood_for([*drawn("high"), *drawn("low", "high", draw="other")]) == (1100, 900)
    assert stood_for(PAIRS) == (0, 0)


def test_pairs_with_and_without_a_stratum_are_not_mixed() -> None:
    with pytest.raises(CalibrationError, match="2 of 17 pairs were drawn by factory pairs"):
        calibrate([*PAIRS, *drawn("low", "high")], MODEL, max_rejected=0.01, max_flagged=0.05)


def test_rates_are_those_of_what_the_pairs_stand_for() -> None:
    """A pair of weight three counts as three that were each drawn."""
    sizes = {"high": 5, "low": 30}
    some = [stratum("high" if pair.label == "contradiction" else "low", sizes=sizes) for pair in PAIRS]
    pairs = [LabelledPair(p.premise, p.hypothesis, p.label, "t", None, s) for p, s in zip(PAIRS, some, strict=True)]
    bounds: dict[str, Any] = {"max_rejected": 0.1, "max_flagged": 0.2}
    weighted = calibrate(pairs, MODEL, **bounds)
    thrice = calibrate(
        [pair for pair in PAIRS for _ in range(1 if pair.label == "contradiction" else 3)], MODEL, **bounds
    )
    for one, other in zip(weighted.points, thrice.points, strict=True):
        assert (one.recall, one.false_rejection) == pytest.approx((other.recall, other.false_rejection))
        assert one.precision == pytest.approx(other.precision)
    assert weighted.accuracy == pytest.approx(thrice.accuracy)
    assert weighted.flag is not None
    assert thrice.flag is not None
    assert weighted.flag.threshold == thrice.flag.threshold
    assert weighted.contradicted == pytest.approx(5 / 35)
    assert (weighted.pairs, weighted.contradictions, weighted.stands_for, weighted.unlabelled) == (15, 5, 35, 0)
    alone = calibrate(PAIRS, MODEL, **bounds)  # three times the weight is no three times the evidence
    assert weighted.points[0].false_rejection_most == pytest.approx(alone.points[0].false_rejection_most)


def test_what_was_drawn_with_equal_chances_tells_as_much_as_it_is() -> None:
    found = np.array([pair.label == "contradiction" for pair in PAIRS])
    assert Strata(PAIRS, MADE_BY).effective_size(found, np.full(15, True)) == pytest.approx(15)
    one = Strata([replace(pair, stratum=stratum("low")) for pair in PAIRS], MADE_BY)
    assert one.effective_size(found, np.full(15, True)) == pytest.approx(14, rel=0.01)  # the variance is by n - 1


def test_a_corpus_of_which_all_is_labelled_is_a_sample_too() -> None:
    pairs = [replace(pair, stratum=stratum("low", sizes={"low": 15})) for pair in PAIRS]
    found = np.array([pair.label == "contradiction" for pair in PAIRS])
    assert Strata(pairs, MADE_BY).effective_size(found, np.full(15, True)) == pytest.approx(15)


@pytest.mark.parametrize(("model", "noise"), [(MADE_BY, 0.0), ("org/other@main", 0.15)])
def test_intervals_hold_the_true_rate_about_as_often_as_they_say(model: str, noise: float) -> None:
    """Samples of a population whose pairs contradict each other more often the higher their score is, by strata of
    these scores; flagged by the model that gave them, and by one that judges otherwise."""
    random = np.random.default_rng(5)
    score = random.beta(0.3, 3, 40_000)
    consistent, flagged = random.random(40_000) > score**1.5, score + noise * random.normal(size=40_000) >= 0.64
    true = (flagged & consistent).sum() / consistent.sum()
    place = np.searchsorted([0.32, 0.64, 0.82], score, side="right")
    sizes = np.bincount(place)
    parts = [
        Stratum(draw="d", stratum=str(h), stratum_pairs=sizes[h], all_pairs=40_000, scored_by=MADE_BY) for h in range(4)
    ]
    held, estimates, highest = 0, [], []
    for _ in range(300):
        chosen = np.concatenate([random.permutation(np.flatnonzero(place == h))[:40] for h in range(4)])
        strata = Strata([replace(PAIRS[0], stratum=parts[place[one]]) for one in chosen], model)
        kept, by_model = consistent[chosen], flagged[chosen]
        size = strata.effective_size(by_model, kept)
        estimates.append(strata.weights[by_model & kept].sum() / strata.weights[kept].sum())
        low, high = wilson(estimates[-1] * size, size)
        held += low <= true <= high
        highest.append(high)
    assert np.mean(estimates) == pytest.approx(true, rel=0.1)
    assert held >= 0.93 * 300
    if model == MADE_BY:
        assert np.mean(highest) < 2 * true
