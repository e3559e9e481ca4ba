"""What methods have in common: results that are as declared, models by parameter, a row drawn alike."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.methods import Column, NliModelName, Params, Scored, draw, misfits, models_of, together
from factory.store.records import Detail
from tests.methods.parts import a_row


class Measure:
    columns = (
        Column("share", "double", "A share."),
        Column("count", "int", "A count."),
        Column("label", "string", "A label."),
        Column("sure", "bool", "Whether."),
    )
    details = {"pair": ("one", "other")}


SOUND = {"share": 0.5, "count": 3, "label": "a", "sure": True}


def said(values: dict[str, Any], *details: Detail) -> list[str]:
    measure: Any = Measure()
    return list(misfits(measure, Scored(values, list(details))))


@pytest.mark.parametrize("values", [SOUND, {}, dict.fromkeys(SOUND), {"share": 1}, {"count": -(2**31)}])
def test_what_is_declared_fits(values: dict[str, Any]) -> None:
    assert said(values, Detail("", "pair", [0.5, None])) == []


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"shares": 0.5}, "shares is none of its columns"),
        ({"share": "high"}, "share is 'high', which is no double"),
        ({"share": True}, "share is True, which is no double"),
        ({"count": 3.0}, "count is 3.0, which is no int"),
        ({"count": True}, "count is True, which is no int"),
        ({"count": 2**31}, "count is 2147483648, which is no int"),
        ({"label": 3}, "label is 3, which is no string"),
        ({"sure": 1}, "sure is 1, which is no bool"),
    ],
)
def test_a_value_that_is_not_as_declared_is_told(value: dict[str, Any], why: str) -> None:
    assert said(SOUND | value) == [why]


def test_details_of_an_unknown_kind_or_with_other_values_are_told() -> None:
    assert said({}, Detail("", "turn", [0.5])) == ["turn is no kind of its details"]
    assert said({}, Detail("", "pair", [0.5])) == ["pair has 1 values, not 2"]


def test_parameters_that_name_models_are_told_by_their_kind() -> None:
    class Own(Params):
        method: Literal["own"] = "own"
        least: float = 0.5
        judge: NliModelName = "nli"

    assert models_of(Own(judge="large")) == {"judge": ("nli", "large")}


@given(st.text(), st.text())
def test_a_row_is_drawn_by_its_slot_and_the_purpose(slot: str, purpose: str) -> None:
    row = a_row(["I ski."], row_id=slot)
    assert 0 <= draw(row, purpose) < 1
    assert draw(row, purpose) == draw(a_row(turns=["Hi."], row_id=slot), purpose)
    assert draw(row, purpose) != draw(row, f"{purpose} again")


def test_an_error_is_raised_when_all_that_run_together_have_ended() -> None:
    ended = []

    async def late(fails: bool) -> None:
        await asyncio.sleep(0 if fails else 0.01)
        ended.append(fails)
        if fails:
            raise ValueError("early")

    with pytest.raises(ValueError, match="early"):
        asyncio.run(together([late(True), late(False)]))  # type: ignore[func-returns-value]
    assert ended == [True, False]
