"""Cutting a benchmark's records into shards, one job each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from baft.errors import UserError

T = TypeVar("T")


def shard(records: Sequence[T], index: int, count: int) -> tuple[T, ...]:
    """Shard ``index`` (from 0) of ``count``: a contiguous run of ``records`` in their order.

    Depends on nothing but the arguments. Sizes differ by at most one, longer shards first; the shards of all indices,
    one after another, are ``records``. With more shards than records the last ones are empty.

    Raises:
        UserError: ``count`` is below 1, or ``index`` is not in 0 … count - 1.
    """
    if count < 1:
        raise UserError(f"The number of shards is {count}; give 1 or more.")
    if not 0 <= index < count:
        raise UserError(f"There is no shard {index} of {count}; shards are counted from 0 to {count - 1}.")
    size, longer = divmod(len(records), count)
    start = index * size + min(index, longer)
    return tuple(records[start : start + size + (index < longer)])
