from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.engines.trie import ChoiceTrie, Path

STOPS = (98, 99)
PATHS = st.lists(st.lists(st.integers(0, 3), max_size=4).map(tuple), min_size=2, max_size=12, unique=True)


def chance(path: Path, token: int) -> float:
    """A model: how probable a token is after others."""
    return (hash((path, token)) % 1000 + 1) / 1e6


def weight(path: Path, paths: list[Path]) -> float:
    """How probable one of the paths is, by its tokens one after the other, where nothing but the paths may be said."""
    product = 1.0
    for length in range(len(path) + 1):
        here = path[:length]
        going_on = {other[length] for other in paths if other[:length] == here and len(other) > length}
        ending = sum(chance(here, stop) for stop in STOPS) if here in paths else 0.0
        total = ending + sum(chance(here, token) for token in going_on)
        product *= (ending if length == len(path) else chance(here, path[length])) / total
    return product


@given(paths=PATHS)
def test_choices_are_as_probable_as_their_tokens_one_after_the_other(paths: list[Path]) -> None:
    trie = ChoiceTrie(paths, STOPS)
    told = {path: {token: math.log(chance(path, token)) for token in tokens} for path, tokens in trie.branches.items()}
    assert trie.probabilities(told) == pytest.approx([weight(path, paths) for path in paths])


@given(paths=PATHS)
def test_only_branches_are_asked_about(paths: list[Path]) -> None:
    ends = sorted(paths)
    shared = {
        next(length for length in range(5) if one[: length + 1] != two[: length + 1]) for one, two in pairwise(ends)
    }
    branches = ChoiceTrie(paths, STOPS).branches
    assert {len(path) for path in branches} == shared
    assert len(branches) < len(paths)


def test_choices_that_differ_in_their_first_token_take_one_prompt() -> None:
    assert ChoiceTrie([(1, 2, 3), (2, 2), (3,)], STOPS).branches == {(): [1, 2, 3]}
