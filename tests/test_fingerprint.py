from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.fingerprint import add_digests, blake, fingerprint

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = SCALARS | st.lists(SCALARS | st.lists(SCALARS, max_size=2), max_size=3)
DIGESTS = st.lists(st.integers(0, 2**128 - 1).map("{:032x}".format), max_size=6)


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


@settings(deadline=None)
@given(DIGESTS, DIGESTS, st.randoms())
def test_digests_of_a_multiset_add_up_in_any_order(one: list[str], other: list[str], random: object) -> None:
    shuffled = [*one, *other]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert add_digests([add_digests(one), add_digests(other)]) == add_digests(shuffled)


@settings(deadline=None)
@given(DIGESTS.filter(any))
def test_a_member_that_is_there_twice_counts_twice(digests: list[str]) -> None:
    first = blake("member")
    assert add_digests([*digests, first, first]) != add_digests(digests)
    assert add_digests([]) == "0" * 32
