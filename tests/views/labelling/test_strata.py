from __future__ import annotations

from factory.views.labelling.strata import allotted, edges_near


def test_half_is_spread_equally_and_half_by_size() -> None:
    assert allotted([10_000, 500, 500, 500, 500], 200) == [104, 24, 24, 24, 24]
    assert allotted([10_000, 2, 0, 500], 100) == [76, 2, 0, 22]
    assert allotted([3, 2], 100) == [3, 2]
    assert edges_near([0.64, 0.98]) == [0, 0.32, 0.64, 0.81, 0.98, 0.99, 1]
