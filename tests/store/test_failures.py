"""What is counted and chosen of dead letters is what goes over them one by one would find."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.store.dead_letters import DeadLetter, dead_letters_to_table
from factory.store.failures import examples, failures
from factory.store.records import COUNTS

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


@st.composite
def letters(draw: st.DrawFn) -> list[DeadLetter]:
    """Dead letters of few reasons and details, at few moments; a seventh of them are of seeds."""
    drawn = draw(
        st.lists(st.tuples(st.integers(0, 6), st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 3)))
    )
    return [
        DeadLetter(
            id=f"letter{number}", row_id=f"row{number}" if kind else None, seed_ids=[], sample=0, source="a.jsonl",
            line=number, stage="converse" if kind else "seeds", reason=reason, detail=detail, attempts=1,
            fingerprint="", failed_at=BEGAN + timedelta(seconds=second), calls=number, prompt_tokens=kind,
            completion_tokens=second, text=detail,
        )
        for number, (kind, reason, detail, second) in enumerate(drawn)
    ]  # fmt: skip


def frame(of: list[DeadLetter]) -> pl.LazyFrame:
    return pl.LazyFrame(dead_letters_to_table(of))


def group(letter: DeadLetter) -> tuple[str, str]:
    return letter.stage, letter.reason


@settings(deadline=None, max_examples=50)
@given(letters())
def test_letters_are_counted_by_stage_and_reason(held: list[DeadLetter]) -> None:
    told = failures(frame(held))
    assert {(one["stage"], one["reason"]): one["count"] for one in told} == Counter(map(group, held))
    assert [one["count"] for one in told] == sorted((one["count"] for one in told), reverse=True)
    for one in told:
        own = [letter for letter in held if group(letter) == (one["stage"], one["reason"])]
        assert [one[name] for name in COUNTS] == [sum(getattr(letter, name) for letter in own) for name in COUNTS]
        newest = max(own, key=lambda letter: (letter.failed_at, letter.id))
        told_by = [
            letter.detail if letter.row_id else f"a.jsonl, line {letter.line}: {letter.detail}" for letter in own
        ]
        assert one["details"][0] == told_by[own.index(newest)]
        assert len(one["details"]) == min(3, len(set(told_by))) == len(set(one["details"]) & set(told_by))


@settings(deadline=None, max_examples=50)
@given(letters(), st.integers(1, 12))
def test_each_reason_has_its_turn_with_its_newest_letters(held: list[DeadLetter], limit: int) -> None:
    chosen = examples(frame(held), limit)
    assert all(letter in held for letter in chosen)
    assert len({letter.id for letter in chosen}) == len(chosen) == min(limit, len(held))
    shown, there = Counter(map(group, chosen)), Counter(map(group, held))
    least = min((shown[one] for one in there if shown[one] < there[one]), default=limit)
    assert max(shown.values(), default=0) <= least + 1
    for one in shown:
        own = [letter for letter in chosen if group(letter) == one]
        details = {letter.detail for letter in held if group(letter) == one}
        first = own[: len(details)]
        assert len({letter.detail for letter in first}) == len(first)
        for letter in first:
            alike = [other for other in held if (group(other), other.detail) == (one, letter.detail)]
            assert letter == max(alike, key=lambda other: (other.failed_at, other.id))
    order = [(one["stage"], one["reason"]) for one in failures(frame(held))]
    assert [order.index(group(letter)) for letter in chosen] == sorted(order.index(group(letter)) for letter in chosen)
