"""Deltas: what an edit adds at a site, for many streams at once.

Every tensor has the streams as its first dimension. ``apply`` sees x and y of a whole batch, in which each row belongs
to one stream. Deltas are float32 (or float64) whatever the model's dtype; the sum is rounded to the model's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import ClassVar, Self

import torch
from torch import Tensor

from baft.engine.rows import Batch, Grouping, Row, chosen


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

    With ``head`` 0 the tail may take the whole prompt. Tokens after the prompt are never touched.
    """

    head: int = 0
    tail: int = 1

    def _counts(self, prompt: Tensor) -> tuple[Tensor, Tensor]:
        half = prompt // 2 if self.head and self.tail else prompt
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
class AtMark:
    """The row's marked token; rows without one are left alone."""

    def mask(self, batch: Batch) -> Tensor:
        """(B, T) bool."""
        return (batch.positions == batch.mark[:, None]) & (batch.mark[:, None] >= 0)

    def first(self, row: Row) -> int:
        """The first position of ``row`` that the delta may change; its length if there is no mark."""
        return row.mark if row.mark >= 0 else len(row.ids) - 1


Where = Everywhere | PromptEnds | AtMark
_WHERE: Mapping[str, type[Where]] = {c.__name__: c for c in (Everywhere, PromptEnds, AtMark)}


def describe_where(where: Where) -> dict[str, object]:
    """JSON-able form of a position rule."""
    return {"rule": type(where).__name__, **where.__dict__}


def parse_where(data: Mapping[str, object]) -> Where:
    """The inverse of :func:`describe_where`."""
    return _WHERE[str(data["rule"])](**{k: v for k, v in data.items() if k != "rule"})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Delta(ABC):
    """Base of all deltas; a subclass adds one tensor field per parameter, streams first."""

    where: Where
    registry: ClassVar[dict[str, type[Delta]]] = {}

    def __init_subclass__(cls) -> None:
        Delta.registry[cls.__name__] = cls

    def tensors(self) -> dict[str, Tensor]:
        """The parameters by name, each (S, …)."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "where"}

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> Self:
        """The same kind of delta with other parameters."""
        return replace(self, **tensors)  # type: ignore[arg-type]

    def select(self, streams: Tensor) -> Self:
        """The deltas of some streams, in the order given."""
        return self.with_tensors({name: chosen(t, streams) for name, t in self.tensors().items()})

    def deal(self, groups: Sequence[Sequence[int]]) -> list[Self]:
        """The deltas of several groups of streams, all taken at once: backwards, that is one sum and not one a group."""
        order, sizes = list(chain.from_iterable(groups)), [len(group) for group in groups]
        tensors = self.tensors()
        first = next(iter(tensors.values()))
        if order != list(range(len(first))):
            index = torch.tensor(order, dtype=torch.int64, device=first.device)
            tensors = {name: t.index_select(0, index) for name, t in tensors.items()}
        split = {name: torch.split(t, sizes) for name, t in tensors.items()}
        return [self.with_tensors({name: parts[n] for name, parts in split.items()}) for n in range(len(sizes))]

    def blank(self) -> Tensor:
        """(S,) bool: the streams without an edit. Zeros throughout stand for that, and update nothing."""
        return torch.stack([(t == 0).flatten(1).all(1) for t in self.tensors().values()]).all(0)

    def filled(self, fresh: Mapping[str, Tensor]) -> Self:
        """With ``fresh`` parameters, by name and (S, …), for the blank streams."""
        blank = self.blank()
        now = self.tensors()
        return self.with_tensors(
            {n: torch.where(blank.reshape(-1, *[1] * (t.dim() - 1)), t, now[n]) for n, t in fresh.items()}
        )

    def size(self) -> int:
        """Numbers stored for one stream."""
        return sum(t[0].numel() for t in self.tensors().values())

    def apply(self, x: Tensor, y: Tensor, batch: Batch, grouping: Grouping) -> Tensor:
        """y (B, T, d_out) with each row's own delta added, given the site's input x (B, T, d_in)."""
        mask = self.where.mask(batch)
        if mask is not None and not bool(mask.any()):
            return y
        update = grouping.scatter(self.update(grouping.gather(x), grouping.present), x.shape[1])
        if mask is not None:
            update = torch.where(mask[..., None], update, 0.0)
        return (y + update).to(y.dtype)

    @abstractmethod
    def update(self, x: Tensor, present: Tensor) -> Tensor:
        """What is added for inputs x (S', N, d_in) of the streams ``present`` (S',): (S', N, d_out)."""

    def _of(self, tensor: Tensor, present: Tensor) -> Tensor:
        return tensor if len(present) == len(tensor) else tensor[present]


@dataclass(frozen=True)
class Subspace(Delta):
    """LoReFT: Rᵀ(W h + b − R h), R with orthonormal rows (Wu et al., 2024, eq. 2).

    ``rotation`` R (S, r, d), ``weight`` W (S, r, d), ``bias`` b (S, r). Rows that different steps of a stream added are
    orthonormal among themselves alone: the update is the sum of theirs. Where streams have different numbers of bases, rows
    of zeros in R are bases that are not there.
    """

    rotation: Tensor
    weight: Tensor
    bias: Tensor

    def moves(self, h: Tensor, present: Tensor) -> Tensor:
        """W h + b − R h at h (S', N, d), before any weighting: (S', N, r)."""
        rotation, weight = self._of(self.rotation, present), self._of(self.weight, present)
        h = h.to(weight.dtype)
        return torch.baddbmm(self._of(self.bias, present)[:, None], h, (weight - rotation).mT)

    def bases(self) -> Tensor:
        """(S, r) bool: the bases that are there."""
        return (self.rotation != 0).any(-1)

    def gates(self, h: Tensor, present: Tensor) -> Tensor:
        """Weight of each basis at h (S', N, d): (S', N, r), here 1 of each that is there."""
        there = self._of(self.bases(), present).to(self.weight.dtype)
        return there[:, None].expand(-1, h.shape[1], -1)

    def update(self, x: Tensor, present: Tensor) -> Tensor:
        return self.moves(x, present) @ self._of(self.rotation, present)


@dataclass(frozen=True)
class GatedSubspace(Subspace):
    """BaFT: Rᵀ diag(g(h)) (W h + b − R h) with g(h) = σ(U ĥ + c), ĥ = h / rms(h).

    ``gate_weight`` U (S, r, d), ``gate_bias`` c (S, r). The weight function is this project's choice; see docs/methods.md.
    """

    gate_weight: Tensor
    gate_bias: Tensor

    def scores(self, h: Tensor, present: Tensor) -> Tensor:
        """U ĥ + c at h (S', N, d): (S', N, r); of a basis that is not there the lowest number there is."""
        weight = self._of(self.gate_weight, present)
        scores = torch.baddbmm(self._of(self.gate_bias, present)[:, None], unit_rms(h.to(weight.dtype)), weight.mT)
        return scores.masked_fill(~self._of(self.bases(), present)[:, None], torch.finfo(scores.dtype).min)

    def gates(self, h: Tensor, present: Tensor) -> Tensor:
        """Weight of each basis at h (S', N, d): (S', N, r) in [0, 1]."""
        return torch.sigmoid(self.scores(h, present))

    def update(self, x: Tensor, present: Tensor) -> Tensor:
        return (self.gates(x, present) * self.moves(x, present)) @ self._of(self.rotation, present)


@dataclass(frozen=True)
class SoftmaxSubspace(GatedSubspace):
    """BaFT with weights that compete, g(h) = softmax(U ĥ + c): they add up to 1, so that no input is left alone."""

    def gates(self, h: Tensor, present: Tensor) -> Tensor:
        """Weight of each basis at h (S', N, d): (S', N, r) in [0, 1], 1 in sum."""
        return torch.softmax(self.scores(h, present), -1)


@dataclass(frozen=True)
class LowRank(Delta):
    """A low-rank change of a linear layer's weights: (x Vᵀ) U with ``down`` V (S, k, d_in) and ``up`` U (S, k, d_out)."""

    down: Tensor
    up: Tensor

    def update(self, x: Tensor, present: Tensor) -> Tensor:
        down = self._of(self.down, present)
        return (x.to(down.dtype) @ down.mT) @ self._of(self.up, present)


@dataclass(frozen=True)
class Dense(Delta):
    """A full change of a linear layer's weights: x Δᵀ with ``change`` Δ (S, d_out, d_in)."""

    change: Tensor

    def update(self, x: Tensor, present: Tensor) -> Tensor:
        change = self._of(self.change, present)
        return x.to(change.dtype) @ change.mT


@dataclass(frozen=True)
class Offset(Delta):
    """A constant vector: ``value`` (S, d)."""

    value: Tensor

    def update(self, x: Tensor, present: Tensor) -> Tensor:
        return self._of(self.value, present)[:, None].expand(-1, x.shape[1], -1)


def unit_rms(h: Tensor) -> Tensor:
    """h (…, d) scaled to a root mean square of 1 in its last dimension."""
    return h * torch.rsqrt(h.square().mean(-1, keepdim=True) + 1e-6)
