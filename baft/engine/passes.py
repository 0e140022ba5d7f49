"""Rows made ready in passes of similar lengths, all of which one step of training runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor

from baft.engine.cutting import cut, pass_tokens
from baft.engine.deltas import Delta
from baft.engine.frozen import FrozenModel
from baft.engine.positions import Where
from baft.engine.prepared import Prepared, first_needed, prepare
from baft.engine.rows import Row
from baft.engine.sites import Site


@dataclass(frozen=True)
class Passes:
    """Rows that are run in several passes; their order here is by pass, not as they were given.

    Each pass has numbers of its own for the streams in it: ``streams`` are those streams, ascending.
    """

    parts: tuple[Prepared, ...]
    streams: tuple[tuple[int, ...], ...]

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """All rows, with the streams' numbers in their passes."""
        return tuple(row for part in self.parts for row in part.rows)

    @cached_property
    def stream(self) -> Tensor:
        """(B,) int64: the stream of each row."""
        device = self.parts[0].batch.stream.device
        numbers = (
            streams[row.stream] for part, streams in zip(self.parts, self.streams, strict=True) for row in part.rows
        )
        return torch.tensor([*numbers], dtype=torch.int64, device=device)

    @cached_property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Row and position of all that is read, each once: P of them."""
        starts = accumulate((len(part.rows) for part in self.parts), initial=0)
        return tuple((start + i, at) for part, start in zip(self.parts, starts, strict=False) for i, at in part.places)

    @cached_property
    def row(self) -> Tensor:
        """(P,) int64: the row of every place."""
        return self._tensor([row for row, _ in self.places])

    @cached_property
    def forced(self) -> tuple[Tensor, Tensor]:
        """(N,) int64 each: the place of every read of a token, and the token."""
        found = [(place, token) for place, token in self._tokens if token >= 0]
        return self._tensor([place for place, _ in found]), self._tensor([token for _, token in found])

    @cached_property
    def counts(self) -> Tensor:
        """(P,) int64: how many tokens are forced at every place."""
        return torch.bincount(self.forced[0], minlength=len(self.places))

    @cached_property
    def free(self) -> Tensor:
        """(M,) int64: the places where only the logits are wanted, by their rows' streams."""
        found, stream = [place for place, token in self._tokens if token < 0], self.stream.tolist()
        return self._tensor(sorted(found, key=lambda place: int(stream[self.places[place][0]])))

    def states(self, deltas: Mapping[Site, Delta]) -> Tensor:
        """What enters the output head (P, d) at :attr:`places` with ``deltas`` in place, in the model's dtype."""
        dealt = _dealt(deltas, self.streams)
        return torch.cat([part.states(own) for part, own in zip(self.parts, dealt, strict=True)])

    @cached_property
    def _tokens(self) -> list[tuple[int, int]]:
        number = {place: n for n, place in enumerate(self.places)}
        return [(number[b, at], token) for b, row in enumerate(self.rows) for at, token in row.reads]

    def _tensor(self, values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self.stream.device)

    def select(self, streams: Mapping[int, int]) -> Passes:
        """The rows of some streams, renumbered."""
        parts, numbers = [], []
        for part, own in zip(self.parts, self.streams, strict=True):
            now = tuple(sorted(streams[stream] for stream in own if stream in streams))
            local = {n: now.index(streams[stream]) for n, stream in enumerate(own) if stream in streams}
            kept = [i for i, row in enumerate(part.rows) if row.stream in local]
            if kept:
                parts.append(part.select(kept, local))
                numbers.append(now)
        return Passes(tuple(parts), tuple(numbers))


@torch.no_grad()
def prepare_passes(
    model: FrozenModel,
    rows: Sequence[Row],
    where: Mapping[Site, Where],
    pad: int,
    standing: Mapping[Site, Delta] | None = None,
) -> Passes:
    """Cuts ``rows`` by how many of their tokens must be run again and again; the arguments are those of ``prepare``."""
    groups = _groups(model, rows, where)
    streams = tuple(tuple(sorted({row.stream for row in group})) for group in groups)
    parts = [
        prepare(model, [replace(row, stream=own.index(row.stream)) for row in group], where, pad, constant)
        for group, own, constant in zip(groups, streams, _dealt(standing or {}, streams), strict=True)
    ]
    return Passes(tuple(parts), streams)


def by_pass(model: FrozenModel, rows: Sequence[Row], where: Mapping[Site, Where]) -> list[int]:
    """The streams of ``rows`` in the order of their passes, each where it is first in one.

    If they are numbered in this order, and each is in one pass alone, the parameters of a pass lie side by side.
    """
    return list(dict.fromkeys(row.stream for group in _groups(model, rows, where) for row in group))


def _groups(model: FrozenModel, rows: Sequence[Row], where: Mapping[Site, Where]) -> list[list[Row]]:
    lengths = [len(row.ids) - first_needed(row, where) for row in rows]
    # By stream, as a delta's batched product wants them.
    return [
        sorted((rows[i] for i in part), key=lambda row: row.stream) for part in cut(lengths, pass_tokens(model.device))
    ]


def _dealt(deltas: Mapping[Site, Delta], groups: Sequence[Sequence[int]]) -> list[dict[Site, Delta]]:
    """The deltas of each group of streams."""
    dealt = {site: delta.deal(groups) for site, delta in deltas.items()}
    return [{site: own[n] for site, own in dealt.items()} for n in range(len(groups))]
