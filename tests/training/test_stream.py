from __future__ import annotations

import random
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from factory.training.stream import Stream


def stream(size: int, batch: int, start: int = 0, seed: int = 1) -> Stream[int]:
    def epoch(order: random.Random) -> list[int]:
        return order.sample(range(size), size)

    return Stream(epoch, lambda item: {"n": item}, lambda item: item % 7, seed=seed, batch=batch, start=start)


def first(count: int, of: Stream[int]) -> list[int]:
    return [encoded["n"] for encoded in islice(of, count)]


@given(st.integers(1, 3000), st.integers(1, 40), st.integers(0, 200))
def test_a_stream_begun_later_goes_on_as_the_whole_one(size: int, batch: int, start: int) -> None:
    assert first(50, stream(size, batch, start)) == first(50 + start, stream(size, batch))[start:]


@given(st.integers(1, 300), st.integers(1, 40))
def test_every_example_comes_as_often_as_any_other(size: int, batch: int) -> None:
    seen = first(size * batch, stream(size, batch))
    assert sorted(seen) == sorted(list(range(size)) * batch)


def test_epochs_and_seeds_differ() -> None:
    once = first(200, stream(100, 10))
    assert once[:100] != once[100:]
    assert once != first(200, stream(100, 10, seed=2))


def test_a_batch_holds_like_lengths() -> None:
    seen = first(1000, stream(1000, 50))
    spreads = [max(n % 7 for n in part) - min(n % 7 for n in part) for part in zip(*[iter(seen)] * 50, strict=True)]
    assert max(spreads) <= 1
