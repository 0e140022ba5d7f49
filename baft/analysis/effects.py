"""What one trained subspace edit does to hidden states: the terms of docs/analysis.md, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from baft.engine.deltas import Subspace


@dataclass(frozen=True)
class Effects:
    """Of an edit Φ of rank r at N hidden states h (d numbers each), one of which is the origin h₀; all float64.

    ``moves`` (N, r) are W h + b − R h and ``weights`` (N, r) g, 1 for LoReFT. ``slope`` is ‖W‖₂. All (N,):
    ``size`` ‖h‖, ``displacement`` ‖Φ(h) − h‖, ``distance`` ‖h − h₀‖, ``spread`` ‖R(Φ(h) − t)‖ with t = Φ(h₀),
    ``gap`` ‖R(h − t)‖ and ``tilt`` ‖W(h − h₀)‖.
    """

    moves: Tensor
    weights: Tensor
    slope: float
    size: Tensor
    displacement: Tensor
    distance: Tensor
    spread: Tensor
    gap: Tensor
    tilt: Tensor


@torch.no_grad()
def effects_of(bases: Subspace, weights: Tensor, hidden: Tensor, origin: int) -> Effects:
    """The effects of ``bases`` of a single stream with ``weights`` (N, r) at ``hidden`` (N, d); row ``origin`` is h₀."""
    exact = bases.with_tensors({name: tensor.double() for name, tensor in bases.tensors().items()})
    h, weights = hidden.double(), weights.double()
    stream = torch.zeros(1, dtype=torch.int64, device=h.device)
    moves = exact.moves(h[None], stream)[0]
    rotation, weight = exact.rotation[0], exact.weight[0]
    update = (weights * moves) @ rotation
    away, after = h - h[origin], h + update
    target = after[origin]
    return Effects(
        moves=moves,
        weights=weights,
        slope=float(torch.linalg.matrix_norm(weight, 2)),
        size=h.norm(dim=-1),
        displacement=update.norm(dim=-1),
        distance=away.norm(dim=-1),
        spread=((after - target) @ rotation.mT).norm(dim=-1),
        gap=((h - target) @ rotation.mT).norm(dim=-1),
        tilt=(away @ weight.mT).norm(dim=-1),
    )
