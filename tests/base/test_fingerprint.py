from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.base.fingerprint import blake, fingerprint, mix

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = SCALARS | st.lists(SCALARS | st.lists(SCALARS, max_size=2), max_size=3)


@settings(deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=5), st.randoms())
def test_the_order_of_keys_does_not_count(value: dict[str, object], random: object) -> None:
    keys = list(value)
    random.shuffle(keys)  # type: ignore[attr-defined]
    assert fingerprint("kind", {key: value[key] for key in keys}) == fingerprint("kind", value)


@settings(deadline=None)
@given(JSON, JSON)
def test_other_values_and_other_kinds_have_other_fingerprints(one: object, other: object) -> None:
    assert (fingerprint("a", one) == fingerprint("a", other)) == (repr(one) == repr(other))
    assert fingerprint("a", one) != fingerprint("b", one)


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), {"a": {1, 2}}])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        fingerprint("kind", value)


@settings(deadline=None)
@given(st.lists(st.text(alphabet=st.characters()), max_size=4), st.lists(st.text(alphabet=st.characters()), max_size=4))
def test_parts_are_kept_apart(one: list[str], other: list[str]) -> None:
    assert (blake(*one) == blake(*other)) == (one == other)


KEYS = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20)


@settings(deadline=None)
@given(KEYS, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_keys_that_differ_in_one_part_never_meet(keys: list[int], one: int, other: int) -> None:
    column = np.array(keys, np.uint64)
    mixed = mix(one, column, other)
    assert len(set(mixed.tolist())) == len(set(keys))
    assert mixed.tolist() == [int(mix(one, key, other)[0]) for key in keys]
    assert mix(one, other)[0] != mix(other, one)[0] or one == other


def test_keys_do_not_change_from_release_to_release() -> None:
    assert mix(1, 2).tolist() == [13608149317741381227]
