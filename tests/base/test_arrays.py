from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.base.arrays import arrow, lists, mapped, offsets_of, text_keys, texts

WORDS = st.lists(st.text("ab\0é日", max_size=20), max_size=30)


@given(st.lists(st.none() | st.text("ab\0é日", max_size=4), max_size=20))
@settings(deadline=None)
def test_texts_come_back(values: list[str | None]) -> None:
    array = texts(values)
    array.validate(full=True)
    assert array.to_pylist() == values


@given(WORDS, st.integers(0, 30), st.integers(0, 30))
@settings(deadline=None)
def test_a_text_has_one_key_wherever_it_stands_and_others_have_another(
    values: list[str], start: int, stop: int
) -> None:
    keys = text_keys("kind", texts(values))
    assert [text_keys("kind", texts([value]))[0] for value in values] == keys.tolist()
    assert len(set(keys.tolist())) == len(set(values))
    assert (text_keys("kind", texts(values)[start:stop]) == keys[start:stop]).all()
    assert not set(text_keys("other kind", texts(values)).tolist()) & set(keys.tolist())


def test_keys_are_the_same_in_every_version() -> None:
    kept = [16648680758684009891, 8774774426978085392, 16158773043414062584]
    assert text_keys("fact", texts(["", "I ski.", "I have lived in 7 towns."])).tolist() == kept


def test_keys_of_many_texts_are_spread_evenly() -> None:
    keys = text_keys("fact", texts([f"I keep {number} pets." for number in range(100_000)]))
    assert len(np.unique(keys)) == len(keys)
    counts = np.bincount((keys >> np.uint64(56)).astype(np.int64), minlength=256)
    assert counts.min() > 300
    assert counts.max() < 500


def test_lists_are_cut_where_they_begin() -> None:
    values = arrow(np.arange(5))
    assert lists(offsets_of([2, 0, 3]), values).to_pylist() == [[0, 1], [], [2, 3, 4]]
    assert mapped(values).tolist() == [0, 1, 2, 3, 4]


def test_none_of_it_imports_pandas() -> None:
    code = "import sys; from factory.base.arrays import *; texts(['a', None]); text_keys('kind', texts(['a']))"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'pandas' not in sys.modules"], check=True)
