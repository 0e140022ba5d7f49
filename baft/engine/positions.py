"""Positions: at which tokens of a row a delta acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from baft.engine.rows import Batch, Row


@dataclass(frozen=True)
class Everywhere:
    """At every token: how a change of the weights acts."""

    def mask(self, batch: Batch) -> Tensor | None:
        """(B, T) bool, or None for all of them."""
        return None

    def first(self, row: Row) -> int:
        """The first position of ``row`` that the delta may change."""
        return 0


@dataclass(frozen=True)
class PromptEnds:
    """The first ``head`` and the last ``tail`` tokens of the prompt, each clipped to half of it (pyreft's f+l).

    With ``head`` 0 the tail may take the whole prompt. The only token of a prompt of one is both of its ends, where pyreft
    leaves it out. Tokens after the prompt are never touched.
    """

    head: int = 0
    tail: int = 1

    def __post_init__(self) -> None:
        if not all(type(count) is int and count >= 0 for count in (self.head, self.tail)):
            raise ValueError(f"head and tail are numbers of tokens, not {self.head!r} and {self.tail!r}")

    def _counts(self, prompt: Tensor) -> tuple[Tensor, Tensor]:
        half = torch.maximum(prompt // 2, prompt.clamp(max=1)) if self.head and self.tail else prompt
        return half.clamp(max=self.head), half.clamp(max=self.tail)

    def mask(self, batch: Batch) -> Tensor:
        """(B, T) bool."""
        head, tail = self._counts(batch.prompt)
        positions = batch.positions
        prompt = batch.prompt[:, None]
        at_head = (positions >= 0) & (positions < head[:, None])
        return at_head | ((positions >= prompt - tail[:, None]) & (positions < prompt))

    def first(self, row: Row) -> int:
        """The first position of ``row`` that the delta may change."""
        if self.head:
            return 0
        return row.prompt - int(self._counts(torch.tensor(row.prompt))[1])


@dataclass(frozen=True)
class Onwards(PromptEnds):
    """The same tokens of the prompt, and all that follow it."""

    def mask(self, batch: Batch) -> Tensor:
        """(B, T) bool."""
        return super().mask(batch) | (batch.real & ~batch.prompts)


@dataclass(frozen=True)
class BeforePromptEnd:
    """Every token of the prompt but its last."""

    def mask(self, batch: Batch) -> Tensor:
        """(B, T) bool."""
        positions = batch.positions
        return (positions >= 0) & (positions < batch.prompt[:, None] - 1)

    def first(self, row: Row) -> int:
        """The first position of ``row`` that the delta may change."""
        return 0


@dataclass(frozen=True)
class AtMark:
    """The row's marked token; rows without one are left alone."""

    def mask(self, batch: Batch) -> Tensor:
        """(B, T) bool."""
        return (batch.positions == batch.mark[:, None]) & (batch.mark[:, None] >= 0)

    def first(self, row: Row) -> int:
        """The first position of ``row`` that the delta may change; its length if there is no mark."""
        return row.mark if row.mark >= 0 else len(row.ids) - 1


Where = Everywhere | PromptEnds | Onwards | BeforePromptEnd | AtMark
_WHERE: Mapping[str, type[Where]] = {c.__name__: c for c in (Everywhere, PromptEnds, Onwards, BeforePromptEnd, AtMark)}


def describe_where(where: Where) -> dict[str, object]:
    """JSON-able form of a position rule."""
    return {"rule": type(where).__name__, **where.__dict__}


def parse_where(data: Mapping[str, object]) -> Where:
    """The inverse of :func:`describe_where`."""
    return _WHERE[str(data["rule"])](**{k: v for k, v in data.items() if k != "rule"})  # type: ignore[arg-type]
