from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.base.arrays import arrow, lists, offsets_of, texts
from factory.seeds.digests import DIGITS, digests_of, facts_digests
from factory.store.records import SeedSpeaker

FACTS = st.lists(st.text("ab\0é日", max_size=3), max_size=4)


@given(st.lists(FACTS, max_size=8), st.lists(st.integers(0, 7), max_size=4))
@settings(deadline=None)
def test_digests_of_many_are_those_of_each(seeds: list[list[str]], chosen: list[int]) -> None:
    many = lists(offsets_of([len(facts) for facts in seeds]), texts([fact for facts in seeds for fact in facts]))
    expected = [digests_of((tuple(facts),))[0] for facts in seeds]
    made = facts_digests(many)
    assert [made[start : start + DIGITS] for start in range(0, len(made), DIGITS)] == expected
    chosen = [place for place in chosen if place < len(seeds)]
    assert facts_digests(many.take(arrow(np.array(chosen, np.int64)))) == "".join(expected[one] for one in chosen)
    assert facts_digests(many.slice(1)) == "".join(expected[1:])


@given(*[st.lists(FACTS, max_size=2)] * 2)
@settings(deadline=None)
def test_personas_that_differ_have_different_digests(one: list[list[str]], other: list[list[str]]) -> None:
    first, second = (tuple(map(tuple, personas)) for personas in (one, other))
    assert (digests_of(first)[0] == digests_of(second)[0]) == (first == second)


def test_each_part_has_a_digest_of_its_own() -> None:
    plain = digests_of((("I ski.",),))
    assert digests_of((("I", "ski."),))[1:] == plain[1:]
    assert digests_of((("I ski.",),), ((0, "Hi."),))[::2] == plain[::2]
    assert digests_of((("I ski.",),), (), (SeedSpeaker("u7"),))[:2] == plain[:2]
    assert len({*plain, digests_of((), ((0, "Hi."),))[1], digests_of((), (), (SeedSpeaker("u7"),))[2]}) == 5
