from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from baft.engine.budget import TokenBudget
from baft.errors import UserError


@given(st.lists(st.integers(1, 20), max_size=20), st.integers(1, 40))
def test_groups_keep_order_and_budget(costs: list[int], tokens: int) -> None:
    groups = list(TokenBudget(tokens).run(costs, lambda c: c, list))
    assert [c for group in groups for c in group] == costs
    assert all(len(group) == 1 or len(group) * max(group) <= tokens for group in groups)


def test_the_budget_halves_when_memory_runs_out() -> None:
    budget, sizes = TokenBudget(100), []

    def work(group: Sequence[int]) -> list[int]:
        sizes.append(len(group))
        if len(group) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return list(group)

    done = [i for part in budget.run(range(10), lambda i: 5, work) for i in part]
    assert done == list(range(10))
    assert sizes[:3] == [10, 5, 2]
    assert (budget.tokens, budget.halvings) == (12, 2)


def test_one_item_too_large_is_told() -> None:
    def work(group: Sequence[int]) -> None:
        raise MemoryError

    with pytest.raises(UserError, match="single item"):
        list(TokenBudget(4).run([1], lambda i: 1, work))


def test_other_errors_pass() -> None:
    def work(group: Sequence[int]) -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        list(TokenBudget(4).run([1], lambda i: 1, work))
