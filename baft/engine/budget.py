"""Batches sized by a token budget that halves when memory runs out."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from baft.errors import UserError

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


class OutOfMemory(UserError):
    """A single item does not fit in memory: there is nothing left to halve."""


class TokenBudget:
    """At most ``tokens`` padded tokens in a batch; ``halvings`` counts how often memory ran out."""

    def __init__(self, tokens: int):
        if tokens < 1:
            raise UserError(f"token_budget must be at least 1, not {tokens}.")
        self.tokens = tokens
        self.halvings = 0

    def run(self, items: Sequence[T], cost: Callable[[T], int], work: Callable[[Sequence[T]], R]) -> Iterator[R]:
        """``work`` over consecutive groups of ``items``, in order.

        A group holds n items of at most c tokens with n·c within the budget, or a single item. When a group does not fit
        in memory the budget is halved and the group is cut again. Raises OutOfMemory if one item alone does not fit.
        """
        start = 0
        while start < len(items):
            group = self._group(items[start:], cost)
            failed = False
            try:
                result = work(group)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError, OutOfMemory) as error:
                if not out_of_memory(error):
                    raise
                if len(group) == 1:
                    raise OutOfMemory(
                        "Out of memory with a single item in the batch: use a smaller model, bfloat16, or a larger device."
                    ) from error
                failed = True
            if failed:
                # Outside the handler, so that the traceback no longer keeps the failed batch alive.
                self._halve(len(group), max(cost(item) for item in group))
                continue
            start += len(group)
            yield result

    def _group(self, items: Sequence[T], cost: Callable[[T], int]) -> Sequence[T]:
        widest = 0
        for n, item in enumerate(items):
            widest = max(widest, cost(item))
            if n and widest * (n + 1) > self.tokens:
                return items[:n]
        return items

    def _halve(self, count: int, widest: int) -> None:
        self.halvings += 1
        self.tokens = max(1, min(self.tokens, count * widest) // 2)
        log.warning("Out of memory: token budget halved to %d", self.tokens)
        release()


def release() -> None:
    """Gives back the memory of what nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that host or device memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError | OutOfMemory):
        return True
    # Only what torch raises is told by its text: a user's sentence may quote anything.
    text = str(error) if isinstance(error, RuntimeError) else ""
    return "can't allocate memory" in text or "out of memory" in text.lower()
