from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.base.arrays import texts
from factory.base.fingerprint import mix
from factory.planning.pairing import Ring
from factory.seeds.columns import seed_keys

IDS = st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=30, unique=True)


def ring_of(ids: list[str]) -> Ring:
    return Ring(seed_keys(texts(list(ids))), np.arange(len(ids)))


def pairs(ids: list[str], partners: int) -> set[tuple[str, str]]:
    drawn = ring_of(ids).partners(np.arange(len(ids)), partners)
    return {(seed, ids[other]) for seed, others in zip(ids, drawn, strict=True) for other in others}


def donors(ids: list[str], keys: int, count: int) -> list[list[str]]:
    nobody = np.empty((keys, 0), np.int64)
    drawn = ring_of(ids).donors(mix(np.arange(keys, dtype=np.uint64)), nobody, count)
    return [[ids[index] for index in row if index >= 0] for row in drawn]


@settings(deadline=None)
@given(IDS, st.integers(1, 5))
def test_every_seed_gets_distinct_partners_and_never_itself(ids: list[str], count: int) -> None:
    for index, drawn in enumerate(ring_of(ids).partners(np.arange(len(ids)), count)):
        assert len(set(drawn)) == len(drawn) == min(count, len(ids) - 1)
        assert index not in drawn


@settings(deadline=None)
@given(IDS, st.integers(0, 6), st.sets(st.integers(0, 29), max_size=2))
def test_donors_are_others_than_those_excluded(ids: list[str], count: int, excluded: set[int]) -> None:
    barred = np.array([sorted(excluded)], np.int64).reshape(1, len(excluded))
    (row,) = ring_of(ids).donors(mix(7), barred, count)
    drawn = [index for index in row if index >= 0]
    free = set(range(len(ids))) - excluded
    assert len(drawn) == len(set(drawn)) == min(count, len(free))
    assert set(drawn) <= free


@settings(deadline=None)
@given(IDS, st.randoms(), st.integers(1, 4))
def test_draws_do_not_depend_on_the_order_of_seeds(ids: list[str], random: object, count: int) -> None:
    shuffled = list(ids)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert pairs(shuffled, count) == pairs(ids, count)
    assert donors(shuffled, 5, count) == donors(ids, 5, count)


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 3), st.sampled_from([60, 240]), st.integers(0, 10**6))
def test_a_seed_that_comes_or_goes_moves_few_draws_however_many_there_are(partners: int, size: int, salt: int) -> None:
    """Of its own draws and of the others', `partners` each are expected to move with a seed, and a draw that moves may
    push the next one of its seed aside."""
    ids = [f"{salt}/{number}" for number in range(size)]
    whole = pairs(ids, partners)
    without = [pairs([*ids[:gone], *ids[gone + 1 :]], partners) for gone in range(0, size, size // 30)]
    moved = [len(whole ^ rest) for rest in without]
    assert sum(moved) / len(moved) < 4 * partners

    drawn = donors(ids, size, partners)
    redrawn = donors(ids[1:], size, partners)
    assert sum(one != other for one, other in zip(drawn, redrawn, strict=True)) <= sum(ids[0] in one for one in drawn)
