from __future__ import annotations

import pytest
from pydantic import ValidationError

from factory.spec.pairing import Pairing

POOLS = {"doctor": "attributes.role = 'doctor'", "patient": "attributes.role = 'patient' AND attributes.age > 3"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pools": {"doctor": "attributes.a = 1"}}, "two roles are wanted, the one who opens first; there is doctor"),
        (
            {"pools": POOLS | {"doctor": "role = 'doctor'"}},
            r"doctor: .*reads role; a pool reads attributes\.NAME and seed",
        ),
        ({"pools": POOLS | {"doctor": "seed.line = 1"}}, r"doctor: .*reads seed\.line; a pool reads"),
        (
            {"pools": POOLS | {"doctor": "attributes.role"}, "cross": {"openings": 2}},
            "pools: leave it out: with pairing.cross",
        ),
        ({"pools": POOLS | {"doctor": "avg(attributes.age) > 3"}}, "doctor: .*holds what no condition may"),
        ({"match": {"by": "age"}}, "should match pattern"),
        ({"match": {"by": "attributes.age", "want": "far", "at_least": 2}}, "at_least: is for partners who are alike"),
        ({"match": {"by": "attributes.age"}, "cross": {"openings": 2}}, "match: leave it out: with pairing.cross"),
        ({"partners": "file", "pools": POOLS}, "pools: leave it out: with pairing.partners: file"),
        ({"partners": "file", "cross": {"openings": "all"}}, "cross: leave it out"),
        ({"cross": {"openings": 0}}, "greater than or equal to 1"),
    ],
)
def test_pairings_that_are_none(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Pairing.model_validate(given)


def test_pairings_that_are() -> None:
    assert Pairing.model_validate({"pools": POOLS, "match": {"by": "attributes.favourite colour"}}).pools == POOLS
    match = Pairing.model_validate({"match": {"by": "attributes.big.five", "at_least": 3}}).match
    assert match is not None
    assert match.attribute == "big.five"
