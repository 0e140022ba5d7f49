"""Deltas: what an edit adds at a site, for many streams at once.

Every tensor has the streams as its first dimension. ``apply`` sees x and y of a whole batch, in which each row belongs
to one stream. Deltas are float32 (or float64) whatever the model's dtype; the sum is rounded to the model's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Self

import torch
from torch import Tensor

from baft.engine.parts import Part
from baft.engine.positions import Where
from baft.engine.rows import Batch, Grouping
from baft.engine.sites import Site


@dataclass(frozen=True)
class Delta(Part, ABC):
    """Base of all deltas; a subclass adds one tensor field per parameter, streams first."""

    where: Where

    def deal(self, groups: Sequence[Sequence[int]]) -> list[Self]:
        """The deltas of several groups of streams, all taken at once: backwards, that is one sum and not one a group."""
        order, sizes = list(chain.from_iterable(groups)), [len(group) for group in groups]
        tensors = self.tensors()
        first = next(iter(tensors.values()))
        if order != list(range(len(first))):
            index = torch.tensor(order, dtype=torch.int64, device=first.device)
            tensors = {name: t.index_select(0, index) for name, t in tensors.items()}
        if len(groups) == 1:
            return [self.with_tensors(tensors)]
        split = {name: torch.split(t, sizes) for name, t in tensors.items()}
        return [self.with_tensors({name: parts[n] for name, parts in split.items()}) for n in range(len(sizes))]

    def filled(self, fresh: Mapping[str, Tensor], blank: Tensor) -> Self:
        """With ``fresh`` parameters, by name and (S, …), for the streams ``blank`` (S,) bool, which have no edit yet."""
        now = self.tensors()
        return self.with_tensors(
            {n: torch.where(blank.to(t.device).reshape(-1, *[1] * (t.dim() - 1)), t, now[n]) for n, t in fresh.items()}
        )

    def apply(self, x: Tensor, y: Tensor, batch: Batch, grouping: Grouping, decision: Tensor | None = None) -> Tensor:
        """y (B, T, d_out) with each row's own delta added, given the site's input x (B, T, d_in).

        ``decision`` (B, …) is what a :class:`Deciding` delta decided for each row; None for any other.
        """
        mask = self.where.mask(batch)
        if mask is not None and not bool(mask.any()):
            return y
        inputs = grouping.gather(x)
        outputs = inputs if y is x else grouping.gather(y)
        update = grouping.scatter(self.update(inputs, outputs, grouping.present), x.shape[1])
        edited = (y + update).to(y.dtype)
        return edited if mask is None else torch.where(mask[..., None], edited, y)

    @abstractmethod
    def update(self, x: Tensor, y: Tensor, present: Tensor) -> Tensor:
        """What is added to outputs y (S', N, d_out) at inputs x (S', N, d_in) of the streams ``present`` (S',).

        (S', N, d_out). At a block's output x and y are the same.
        """

    def _of(self, tensor: Tensor, present: Tensor) -> Tensor:
        return tensor if len(present) == len(tensor) else tensor[present]


@dataclass(frozen=True)
class Seen:
    """What a deciding delta reads at a site: its module's input ``x`` (B, T, d_in) and output ``y`` (B, T, d_out)."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Deciding(Delta):
    """A delta that takes one decision a row, at the prompt, and keeps it for all that continues the prompt.

    ``decide`` may read all of the prompt's tokens, at the delta's own site and at earlier ones. It must depend on nothing
    else: not on the answer that is forced, nor on the other rows. The engine asks it once a prompt and hands the decision
    to forced answers, decoding and sampled text. Rows on which nothing acts come out bit-equal.

    One that is :attr:`anew` does as published routers do instead.
    """

    @property
    def anew(self) -> bool:
        """Whether it decides in every pass, from that pass's tokens.

        Those are the prompt's where decoding begins, then one decoded token each time, and where an answer is forced
        prompt and answer together, so that the answer has a say in what is scored.
        """
        return False

    def looks(self, site: Site) -> tuple[Site, ...]:
        """The sites that ``decide`` reads, given the delta's own: none that the model computes after it."""
        return (site,)

    @abstractmethod
    def decide(self, seen: Mapping[Site, Seen], batch: Batch) -> Tensor:
        """One decision a row (B, …), given what is at :meth:`looks`; ``batch.prompts`` tells the prompt's tokens.

        ``batch.real`` are those of the whole pass, which matter to one that decides :attr:`anew`.
        """

    def places(self, batch: Batch) -> Tensor | None:
        """(B, T) bool: the tokens at which something acts, or None for all."""
        return self.where.mask(batch)

    @abstractmethod
    def acts(self, decision: Tensor) -> Tensor:
        """(B,) bool: the rows on which something acts."""

    @abstractmethod
    def edited(self, x: Tensor, y: Tensor, batch: Batch, decision: Tensor) -> Tensor:
        """New outputs (B, T, d_out) of rows on which something acts, given each one's decision."""

    def apply(self, x: Tensor, y: Tensor, batch: Batch, grouping: Grouping, decision: Tensor | None = None) -> Tensor:
        assert decision is not None
        rows = torch.nonzero(self.acts(decision))[:, 0]
        if not len(rows):
            return y
        own, before = batch.select(rows), y[rows]
        new = self.edited(x[rows], before, own, decision[rows]).to(y.dtype)
        mask = self.places(own)
        return y.index_copy(0, rows, new if mask is None else torch.where(mask[..., None], new, before))

    def update(self, x: Tensor, y: Tensor, present: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} decides row by row; what it adds to a stream as a whole is not defined")


@dataclass(frozen=True)
class Choosing(Deciding):
    """One whose decision is the number of what acts on a row, of those that the row's stream has, or -1 for nothing."""

    def decide(self, seen: Mapping[Site, Seen], batch: Batch) -> Tensor:
        """(B,) int64."""
        found = torch.full_like(batch.stream, -1)
        for stream in torch.unique(batch.stream).tolist():
            rows = torch.nonzero(batch.stream == stream)[:, 0]
            found[rows] = self.choose(seen, batch, stream, rows)
        return found

    @abstractmethod
    def choose(self, seen: Mapping[Site, Seen], batch: Batch, stream: int, rows: Tensor) -> Tensor:
        """The decisions for the ``rows`` (n,) of one stream, int64; ``seen`` and ``batch`` are those of all rows."""

    def acts(self, decision: Tensor) -> Tensor:
        return decision >= 0


class Weighing(ABC):
    """A delta that adds up bases, each with a weight: what an analysis can look into (docs/analysis.md).

    It adds Rᵀ diag(g) (W h + b − R h) to a block's output h, with weights g that depend on the input in any way.
    """

    @abstractmethod
    def looks(self, site: Site) -> tuple[Site, ...]:
        """The sites that the weights are read from, given the delta's own: none that the model computes after it."""

    @abstractmethod
    def unweighted(self) -> Subspace:
        """The bases of each stream, those of all its edits, as LoReFT adds them: with a weight of 1."""

    @abstractmethod
    def basis_weights(self, seen: Mapping[Site, Seen], batch: Batch) -> Tensor:
        """The weight of each basis of its stream at each token of a row, (B, T, r), given what is at :meth:`looks`.

        Whether the delta acts at a token at all is the business of its ``where``. r and its order are those of
        :meth:`unweighted`.
        """


@dataclass(frozen=True)
class Subspace(Delta, Weighing):
    """LoReFT: Rᵀ(W h + b − R h), R with orthonormal rows (Wu et al., 2024, eq. 2).

    ``rotation`` R (S, r, d), ``weight`` W (S, r, d), ``bias`` b (S, r). Rows that different steps of a stream added are
    orthonormal among themselves alone: the update is the sum of theirs. Where streams have different numbers of bases, rows
    of zeros in R are bases that are not there.
    """

    shapes: ClassVar[Mapping[str, str]] = {"rotation": "S r o", "weight": "S r o", "bias": "S r"}

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

    def looks(self, site: Site) -> tuple[Site, ...]:
        return (site,)

    def unweighted(self) -> Subspace:
        return Subspace(self.where, self.rotation, self.weight, self.bias)

    def basis_weights(self, seen: Mapping[Site, Seen], batch: Batch) -> Tensor:
        (here,) = seen.values()
        grouping = Grouping(batch.stream)
        return grouping.scatter(self.gates(grouping.gather(here.x), grouping.present), here.x.shape[1])

    def update(self, x: Tensor, y: Tensor, present: Tensor) -> Tensor:
        return self.moves(x, present) @ self._of(self.rotation, present)


@dataclass(frozen=True)
class GatedSubspace(Subspace):
    """BaFT: Rᵀ diag(g(h)) (W h + b − R h) with g(h) = σ(U ĥ + c), ĥ = h / rms(h).

    ``gate_weight`` U (S, r, d), ``gate_bias`` c (S, r). The weight function is this project's choice; see docs/methods.md.
    """

    shapes: ClassVar[Mapping[str, str]] = {**Subspace.shapes, "gate_weight": "S r o", "gate_bias": "S r"}

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

    def update(self, x: Tensor, y: Tensor, present: Tensor) -> Tensor:
        return (self.gates(x, present) * self.moves(x, present)) @ self._of(self.rotation, present)


@dataclass(frozen=True)
class SoftmaxSubspace(GatedSubspace):
    """BaFT with weights that compete, g(h) = softmax(U ĥ + c): they add up to 1, so that no input is left alone."""

    def gates(self, h: Tensor, present: Tensor) -> Tensor:
        """Weight of each basis at h (S', N, d): (S', N, r) in [0, 1], 1 in sum."""
        return torch.softmax(self.scores(h, present), -1)


@dataclass(frozen=True)
class WeightChange(Delta):
    """A change of a linear layer's weights. What it adds depends on the layer's input alone, in proportion."""

    @abstractmethod
    def matrix(self, stream: int) -> Tensor:
        """What is added to the weights (d_out, d_in) for one stream."""


@dataclass(frozen=True)
class LowRank(WeightChange):
    """A low-rank change of a linear layer's weights: (x Vᵀ) U with ``down`` V (S, k, d_in) and ``up`` U (S, k, d_out)."""

    shapes: ClassVar[Mapping[str, str]] = {"down": "S k i", "up": "S k o"}

    down: Tensor
    up: Tensor

    def update(self, x: Tensor, y: Tensor, present: Tensor) -> Tensor:
        down = self._of(self.down, present)
        return (x.to(down.dtype) @ down.mT) @ self._of(self.up, present)

    def matrix(self, stream: int) -> Tensor:
        return self.up[stream].mT @ self.down[stream]


@dataclass(frozen=True)
class Dense(WeightChange):
    """A full change of a linear layer's weights: x Δᵀ with ``change`` Δ (S, d_out, d_in)."""

    shapes: ClassVar[Mapping[str, str]] = {"change": "S o i"}

    change: Tensor

    def update(self, x: Tensor, y: Tensor, present: Tensor) -> Tensor:
        change = self._of(self.change, present)
        return x.to(change.dtype) @ change.mT

    def matrix(self, stream: int) -> Tensor:
        return self.change[stream]


@dataclass(frozen=True)
class Offset(Delta):
    """A constant vector: ``value`` (S, d)."""

    shapes: ClassVar[Mapping[str, str]] = {"value": "S o"}

    value: Tensor

    def update(self, x: Tensor, y: Tensor, present: Tensor) -> Tensor:
        return self._of(self.value, present)[:, None].expand(-1, x.shape[1], -1)


def unit_rms(h: Tensor) -> Tensor:
    """h (…, d) scaled to a root mean square of 1 in its last dimension."""
    return h * torch.rsqrt(h.square().mean(-1, keepdim=True) + 1e-6)
