from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from factory.methods.scores.select import Select, SelectParams
from factory.store.records import Consistency, PairScore
from tests.methods.parts import a_row, run

SHARE = st.floats(0, 1)
ORDER = ("accept", "flag", "reject")
CHECKS = ("turn_persona", "turn_turn", "extracted_persona")


def scored_row(scores=(), turns=4, coverage=1.0, contradicted=0.0):
    row = a_row(turns=["Hi."] * turns)
    row.scores = [PairScore(check, 0, 0, "p", "h", 0.5, 1 - value, 0.0, value) for check, value in scores]
    row.consistency = Consistency(0, 3, 1, 0, contradicted, coverage, len(row.scores))
    return row


def decided(params, row):
    decided = run(Select(params), row, None)
    return decided.decision, decided.reasons


@pytest.mark.parametrize(
    ("row", "decision", "reasons"),
    [
        (scored_row(), "accept", []),
        (scored_row([("turn_persona", 0.49), ("turn_turn", 0.79)]), "accept", []),
        (scored_row([("turn_persona", 0.5), ("turn_persona", 0.89)]), "flag", ["persona_contradiction:2"]),
        (scored_row([("turn_persona", 0.9), ("turn_persona", 0.6)]), "reject", ["persona_contradiction:1"]),
        (scored_row([("turn_turn", 0.9)]), "flag", ["self_contradiction:1"]),
        (scored_row([("turn_turn", 0.96), ("turn_persona", 0.6)]), "reject", ["self_contradiction:1"]),
        (scored_row([("extracted_persona", 1.0)]), "accept", []),
        (scored_row(turns=1), "reject", ["short"]),
    ],
)
def test_three_bands(row, decision, reasons):
    assert decided(SelectParams(), row) == (decision, reasons)


def test_the_other_bounds_are_off_until_a_job_sets_them():
    row = scored_row([("extracted_persona", 0.7)], coverage=0.2, contradicted=0.4)
    assert decided(SelectParams(), row) == ("accept", [])
    assert decided(SelectParams(min_coverage=0.3, max_contradicted_share=0.3), row) == (
        "reject",
        ["contradicted_share", "low_coverage"],
    )
    assert decided(SelectParams(flag_extracted_contradiction=0.6), row) == ("flag", ["extracted_contradiction:1"])


def test_a_row_that_was_not_verified_is_judged_by_its_length():
    row = a_row(turns=["Hi.", "Hello."])
    assert decided(SelectParams(min_coverage=0.5), row) == ("accept", [])
    assert decided(SelectParams(min_turns=3), row) == ("reject", ["short"])


@st.composite
def bands(draw):
    low, high = sorted((draw(SHARE), draw(SHARE)))
    own_low, own_high = sorted((draw(SHARE), draw(SHARE)))
    return {
        "flag_contradiction": low,
        "reject_contradiction": high,
        "flag_self_contradiction": own_low,
        "reject_self_contradiction": own_high,
        "flag_extracted_contradiction": draw(SHARE),
        "max_contradicted_share": draw(SHARE),
        "min_coverage": 1 - draw(SHARE),
    }


@given(
    one=bands(),
    other=bands(),
    scores=st.lists(st.tuples(st.sampled_from(CHECKS), SHARE), max_size=6),
    coverage=SHARE,
    contradicted=SHARE,
)
def test_stricter_thresholds_never_make_a_better_decision(one, other, scores, coverage, contradicted):
    strict = {name: min(one[name], other[name]) for name in one} | {
        "min_coverage": max(one["min_coverage"], other["min_coverage"])
    }
    row = scored_row(scores, coverage=coverage, contradicted=contradicted)
    loose, tight = (ORDER.index(decided(SelectParams(**params), deepcopy(row))[0]) for params in (one, strict))
    assert tight >= loose


@given(params=bands(), scores=st.lists(st.tuples(st.sampled_from(CHECKS), SHARE), max_size=6))
def test_a_decision_has_reasons_unless_it_accepts_and_is_made_anew(params, scores):
    row = scored_row(scores)
    first = decided(SelectParams(**params), row)
    assert (first[0] == "accept") == (first[1] == [])
    row.reasons = ["stale"]
    assert decided(SelectParams(**params), row) == first


@pytest.mark.parametrize("check", ["contradiction", "self_contradiction"])
def test_a_flag_above_its_reject_is_refused(check):
    with pytest.raises(ValidationError, match=f"flag_{check} .* is above reject_{check}"):
        SelectParams(**{f"flag_{check}": 0.9, f"reject_{check}": 0.6})
