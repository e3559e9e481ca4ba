from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from factory.spec.budget import Budget, Price, added
from factory.spec.yamlfile import YamlError
from tests.jobs import scripted_job, write_personas

USED = {
    "writer": Counter(prompt_tokens=3_000_000, cached_tokens=1_000_000, completion_tokens=500_000),
    "judge": Counter(prompt_tokens=1_000_000, completion_tokens=100_000),
}


@pytest.mark.parametrize(
    ("budget", "reached"),
    [
        (Budget(), []),
        (Budget(tokens=3_600_001, hours=2.01), []),
        (Budget(tokens=3_600_000), ["3,600,000 of 3,600,000 tokens (run.budget.tokens)"]),
        (Budget(hours=2), ["2.00 of 2 hours (run.budget.hours)"]),
        (
            Budget(money=10, prices={"writer": Price(prompt=2, completion=8)}),
            ["10 of 10 in money (run.budget.money)"],
        ),
        (Budget(money=10, prices={"writer": Price(prompt=2, completion=8, cached=0.5)}), []),
        (
            Budget(money=8.5, prices={"writer": Price(prompt=2, completion=8, cached=0.5)}),
            ["8.5 of 8.5 in money (run.budget.money)"],
        ),
        (
            Budget(tokens=1, money=1, prices={"judge": Price(prompt=1)}),
            ["3,600,000 of 1 tokens (run.budget.tokens)", "1 of 1 in money (run.budget.money)"],
        ),
    ],
)
def test_a_limit_is_reached_by_what_was_computed_and_what_it_costs(budget: Budget, reached: list[str]) -> None:
    assert budget.beyond(USED, 7200) == reached


def test_time_that_is_not_known_does_not_count() -> None:
    assert Budget(hours=1).beyond(USED, None) == []


def test_what_is_added_up_leaves_its_parts_alone() -> None:
    part = {"writer": Counter(prompt_tokens=1)}
    assert added([part, {"writer": Counter(prompt_tokens=2)}, {"judge": Counter(cached_tokens=1)}]) == {
        "writer": Counter(prompt_tokens=3),
        "judge": Counter(cached_tokens=1),
    }
    assert part == {"writer": Counter(prompt_tokens=1)}


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"money": 5}, "no model has a price; add run.budget.prices"),
        ({"prices": {"nli": {"prompt": 1}}}, "no language model has this name; there are writer"),
        ({"token": 5}, "tokens"),
    ],
)
def test_a_mistake_in_a_budget_is_told(tmp_path: Path, budget: dict[str, object], said: str) -> None:
    write_personas(tmp_path, 2)
    with pytest.raises(YamlError, match=said):
        scripted_job(tmp_path, run={"budget": budget})
