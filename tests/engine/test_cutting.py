from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from baft.engine.cutting import cut


def cost(lengths: list[int], parts: list[list[int]], overhead: int) -> int:
    return sum(len(part) * max(lengths[i] for i in part) + overhead for part in parts)


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=7), overhead=st.integers(0, 40))
def test_no_other_cut_is_cheaper(lengths: list[int], overhead: int) -> None:
    parts = cut(lengths, overhead)
    assert sorted(i for part in parts for i in part) == list(range(len(lengths)))
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    inner = range(1, len(order))
    every = [
        [order[a:b] for a, b in zip((0, *ends), (*ends, len(order)), strict=True)]
        for count in range(len(order))
        for ends in combinations(inner, count)
    ]
    assert cost(lengths, parts, overhead) == min(cost(lengths, other, overhead) for other in every)


def test_a_dear_pass_is_made_once_and_a_free_one_for_every_length() -> None:
    assert [sorted(part) for part in cut([5, 1, 5, 2], 10**6)] == [[0, 1, 2, 3]]
    assert [sorted(part) for part in cut([5, 1, 5, 2], 0)] == [[1], [3], [0, 2]]


def test_no_rows_need_no_pass() -> None:
    assert cut([], 32) == []
