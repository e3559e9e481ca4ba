"""Personas of one kind form a group, and a group that is refused more often than the rest is named."""

from __future__ import annotations

from collections import Counter

import pytest

from factory.calibrate import wilson_most
from factory.records import Row
from tests.report.conftest import Made


def works(made: Made) -> dict[str, list[dict[str, object]]]:
    """The groups of each work, by their typical facts."""
    groups = made.figures["groups"]["groups"]
    found: dict[str, list[dict[str, object]]] = {"cook": [], "sailor": []}
    for one in groups:
        said = " ".join([one["name"], *one["typical"]])
        found["sailor" if "sailor" in said or "boat" in said else "cook"].append(one)
    return found


def rows_of(made: Made, work: str) -> list[Row]:
    return [row for row in made.rows if row.seeds[0].id.startswith(work)]


def test_a_group_that_a_filter_removes_is_seen(made: Made) -> None:
    found = works(made)
    assert any(one["below"] for one in found["sailor"])
    assert found["cook"]
    assert not any(one["below"] for one in found["cook"])
    text = made.page.read_text()
    assert "Accepted less than the rest, beyond chance" in text
    assert text.count('<tr class="below">') == sum(one["below"] for one in found["sailor"])


def test_groups_tell_what_became_of_their_rows(made: Made) -> None:
    told, found = made.figures["groups"], works(made)
    accepted = sum(row.decision == "accept" for row in made.rows) / 80
    assert (told["personas"], told["rows"]) == (82, 80)
    assert told["accepted"] == pytest.approx(accepted)
    assert sum(one["personas"] for one in told["groups"]) == 82 == len(told["map"])
    assert Counter(point["group"] for point in told["map"]) == {one["group"]: one["personas"] for one in told["groups"]}
    if len(found["sailor"]) == 1:
        one, rows = found["sailor"][0], rows_of(made, "sailor")
        assert one["rows"] == 40
        assert one["decisions"] == {name: n / 40 for name, n in Counter(row.decision for row in rows).items()}
        assert one["contradicted"] == pytest.approx(sum(row.scores[1].contradiction >= 0.6 for row in rows) / 40)
        assert one["coverage"] == pytest.approx(sum(row.consistency.coverage for row in rows if row.consistency) / 40)


def test_failed_rows_count_for_the_group_of_a_known_seed(made: Made) -> None:
    assert sum(one["failed"] for one in made.figures["groups"]["groups"]) == 2
    assert sum(one["failed"] for one in works(made)["cook"]) == 2


def test_the_interval_widens_with_the_quantile() -> None:
    assert wilson_most(5, 10) == pytest.approx(0.7634, abs=1e-4)
    assert wilson_most(5, 10, 2.576) > wilson_most(5, 10)
