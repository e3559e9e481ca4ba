"""Personas of one kind form a group, and a group that is refused more often than the rest is named."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from factory.store.records import Row
from factory.views.report.groups import _failed
from tests.views.report.conftest import Made
from tests.views.report.corpora import commit, dialogue, letter


def group_of(made: Made, work: str) -> dict[str, Any]:
    """The group of those who work so."""
    (found,) = (one for one in made.figures["groups"]["groups"] if any(work in fact for fact in one["typical"]))
    return dict(found)


def rows_of(made: Made, work: str) -> list[Row]:
    return [row for row in made.rows if row.seeds[0].id.startswith(work)]


def test_a_group_that_a_filter_removes_is_seen(made: Made) -> None:
    sailors, cooks = group_of(made, "sail"), group_of(made, "cook")
    assert (sailors["below"], cooks["below"]) == (True, False)
    assert sailors["decisions"]["accept"] < sailors["accepted_most"] < made.figures["groups"]["accepted"]
    text = made.page.read_text()
    assert f"persona group {sailors['group']} ({sailors['name']})." in text
    assert text.count('<tr class="below">') == 1


def test_groups_tell_what_became_of_their_rows(made: Made) -> None:
    told = made.figures["groups"]
    assert (told["personas"], told["rows"]) == (82, 80)
    assert told["accepted"] == pytest.approx(sum(row.decision == "accept" for row in made.rows) / 80)
    assert Counter(point["group"] for point in told["map"]) == {1: 41, 2: 41}
    for work in ("cook", "sail"):
        one, rows = group_of(made, work), rows_of(made, work)
        assert (one["personas"], one["rows"]) == (41, 40)
        assert one["decisions"] == {name: count / 40 for name, count in Counter(row.decision for row in rows).items()}
        contradicted = sum(row.details[1].values[3] >= 0.6 for row in rows)
        assert one["contradicted"] == {"consistency": pytest.approx(contradicted / 40)}
        assert len(one["means"]) == 11
        for name, mean in one["means"].items():
            column = name.removeprefix("consistency.")
            assert mean == pytest.approx(sum(row.scores["consistency"][column] for row in rows) / 40), name


def test_failed_rows_count_for_the_group_of_a_known_seed(made: Made) -> None:
    assert (group_of(made, "cook")["failed"], group_of(made, "sail")["failed"]) == (2, 0)


def test_a_failed_imported_dialogue_counts_for_the_groups_of_both_sides(tmp_path: Path) -> None:
    failed = replace(letter(1, row=True), seed_ids=["d1"])
    corpus = commit(tmp_path / "corpus", [[dialogue(0)]], [failed])
    assert _failed(corpus, {"d1/A": 2, "d1/B": 3, "d2/A": 4}) == {2: 1, 3: 1}
    assert _failed(corpus, {"d1/A": 2, "d1/B": 2}) == {2: 1}
