"""The ranges in which settings are searched when methods are tuned: each method declares its own (docs/tuning.md).

Some are around the value that a search starts from, which differs from model to model; all are made to hold it, so that
a search can find nothing worse than its start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Number = Callable[[int | float], int]
"""The number of a block, from 0, of a setting that names it by its number or by a share of the depth."""


@dataclass(frozen=True, slots=True)
class Between:
    """Numbers from ``low`` to ``high``, both included: whole ones if both are.

    ``log``: searched by factors, as rates are. ``also`` are settings that get the same value. A declared range has no
    ``start``; that which is searched has the value that the search begins with.
    """

    low: int | float
    high: int | float
    log: bool = False
    also: tuple[str, ...] = ()
    start: Any = None

    def around(self, start: Any, number: Number) -> Between:
        """The range, wide enough to hold ``start``."""
        return Between(min(self.low, start), max(self.high, start), self.log, self.also, start)


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these values."""

    values: tuple[Any, ...]
    also: tuple[str, ...] = ()

    @property
    def start(self) -> Any:
        """Of what is searched, the value that the search begins with."""
        return self.values[0]

    def around(self, start: Any, number: Number) -> OneOf:
        """``start``, and the others."""
        return OneOf((start, *(value for value in self.values if value != start)), self.also)


@dataclass(frozen=True, slots=True)
class Times:
    """Numbers up to ``factor`` times more or less than the start, searched by factors."""

    factor: float

    def around(self, start: Any, number: Number) -> Between:
        """The range around ``start``, which is above 0: whole numbers if it is one."""
        low, high = start / self.factor, start * self.factor
        ends = (max(1, round(low)), round(high)) if isinstance(start, int) else (low, high)
        return Between(*ends, log=True, start=start)


@dataclass(frozen=True, slots=True)
class Depth:
    """A block between two shares of the depth; ``also`` are settings that get the same one."""

    low: float
    high: float
    also: tuple[str, ...] = ()

    def around(self, start: Any, number: Number) -> Between:
        """The blocks' numbers, and that of ``start``."""
        return Between(number(self.low), number(self.high), also=self.also).around(number(start), number)


@dataclass(frozen=True, slots=True)
class AmongBlocks:
    """One of some blocks, or of some lists of blocks, as numbers or shares of the depth.

    For settings whose blocks need something that is collected before (covariances), which must be known at planning.
    """

    values: tuple[Any, ...]
    also: tuple[str, ...] = ()

    def around(self, start: Any, number: Number) -> OneOf:
        """``start`` and the others, of those that are the same blocks in this model only the first."""
        found: dict[int | tuple[int, ...], Any] = {}
        for value in (start, *self.values):
            found.setdefault(_numbers(value, number), value)
        return OneOf(tuple(found.values()), self.also)


class Range(Protocol):
    """What a setting may be when it is searched."""

    def around(self, start: Any, number: Number) -> Between | OneOf:
        """What is searched for a model, from the setting that the search starts with."""


def _numbers(value: Any, number: Number) -> int | tuple[int, ...]:
    if isinstance(value, Sequence):
        return tuple(number(one) for one in value)
    return number(value)


def given_values(one: Range) -> tuple[Any, ...]:
    """The values that a range lists, whatever the model; none if it has ends instead."""
    return one.values if isinstance(one, OneOf | AmongBlocks) else ()
