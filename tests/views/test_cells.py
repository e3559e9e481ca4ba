from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.views.cells import Column, count, rounded, share, table, text


def test_a_table_has_a_cell_for_each_column_and_item() -> None:
    columns = (
        text("reason", "why", lambda item: f"#{item['why']}"),
        count("rows", "rows"),
        share("share", "part"),
        Column("all", str, numeric=True),
    )
    items = [
        {"why": "turn_empty", "rows": 1234, "part": 0.1234},
        {"why": "x", "rows": None, "part": None, "below": True},
    ]
    made = table(columns, items, "Why")
    assert made["columns"] == [("reason", False), ("rows", True), ("share", True), ("all", True)]
    cells = [[cell["text"] for cell in row["cells"][:3]] for row in made["rows"]]
    assert cells == [["turn empty", "1,234", "12.3%"], ["x", "", "–"]]
    assert [cell["leads_to"] for cell in made["rows"][0]["cells"]] == ["#turn_empty", "", "", ""]
    assert [row["below"] for row in made["rows"]] == [False, True]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (3.0, "3"),
        (12345, "12,345"),
        (1234.5, "1,234"),
        (123.45, "123.5"),
        (0.125, "0.12"),
        (None, "–"),
        (-2.5, "-2.50"),
    ],
)
def test_numbers_are_written_to_be_read(value: float | None, written: str) -> None:
    assert rounded(value) == written


@given(st.floats(-1e9, 1e9))
def test_a_number_is_written_near_its_value(value: float) -> None:
    assert float(rounded(value).replace(",", "")) == pytest.approx(value, rel=5.1e-3, abs=5.1e-3)
