"""AdaLoRA (Zhang et al., 2023): adapters P Λ Q whose ranks are given to the layers that need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from baft.engine.adam import Adam
from baft.engine.deltas import Delta, WeightChange
from baft.engine.engine import Engine
from baft.engine.fitting import Losses, Params, Reading, Schedule, minimise
from baft.engine.positions import Everywhere
from baft.engine.rows import chosen
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.adapters import AdapterMethod, drawn, outcome
from baft.methods.base import Batches, Context, Outcome, deltas_of
from baft.methods.registry import register
from baft.methods.rows import edit_rows
from baft.methods.settings.adalora import Settings

_DRAWN = 0.02
"""Standard deviation of P and Q at the start, as in PEFT."""


@dataclass(frozen=True)
class Triplets(WeightChange):
    """``scale`` P Λ Q x with ``down`` Q (S, k, d_in), ``values`` Λ (S, k) and ``up`` Pᵀ (S, k, d_out)."""

    shapes: ClassVar[Mapping[str, str]] = {"down": "S k i", "values": "S k", "up": "S k o"}

    down: Tensor
    values: Tensor
    up: Tensor
    scale: float

    def update(self, x: Tensor, y: Tensor, present: Tensor) -> Tensor:
        down, values = self._of(self.down, present), self._of(self.values, present)
        return (x.to(down.dtype) @ down.mT * (self.scale * values[:, None])) @ self._of(self.up, present)

    def stored(self) -> list[Tensor]:
        """Triplets without a λ change nothing, and are there only to go on training."""
        left = self.values[..., None] != 0
        return [self.down * left, self.values, self.up * left]

    def matrix(self, stream: int) -> Tensor:
        return self.scale * (self.up[stream].mT * self.values[stream]) @ self.down[stream]


class Allocating(Adam):
    """Adam on the triplets of several layers (S, …) that gives fewer and fewer of them a λ: PEFT's ``RankAllocator``.

    An entry's sensitivity is |p ∂L/∂p|, with p after the step and its gradient before; its score is the smoothed sensitivity
    times the smoothed distance of the sensitivity from that. A triplet's score is that of its λ plus the means of those of
    its row of Q and of its column of P. The budget of triplets, over all layers of a stream, falls with a cube from the
    first number to the last; all but the best so many have λ = 0 after the step.
    """

    def __init__(
        self,
        params: Mapping[str, Tensor],
        lr: float | Mapping[str, float],
        settings: Settings,
        sites: Sequence[Site],
    ):
        super().__init__(params, lr)
        self.settings, self.sites = settings, sites
        self.sensitivity = {name: torch.zeros_like(p) for name, p in params.items()}
        self.uncertainty = {name: torch.zeros_like(p) for name, p in params.items()}
        self.kept: Tensor | None = None

    @torch.no_grad()
    def step(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> None:
        super().step(params, grads)
        own = self.settings
        if own.target_rank == own.rank:
            return
        if self.step_count < last_allocation(own):
            self._take_down(params, grads)
        if own.warmup < self.step_count <= last_allocation(own):
            self.kept = self._best(budget_after(self.step_count, own, len(self.sites)))
        if self.kept is not None:
            for site, kept in zip(self.sites, self.kept.unbind(1), strict=True):
                params[f"values {site}"].masked_fill_(~kept, 0.0)

    def keep(self, streams: Tensor) -> None:
        super().keep(streams)
        self.sensitivity = {name: chosen(t, streams) for name, t in self.sensitivity.items()}
        self.uncertainty = {name: chosen(t, streams) for name, t in self.uncertainty.items()}
        self.kept = None if self.kept is None else chosen(self.kept, streams)

    def _take_down(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> None:
        past = self.settings.smoothing
        for name, p in params.items():
            now, known, spread = (p * grads[name]).abs(), self.sensitivity[name], self.uncertainty[name]
            known.lerp_(now, 1 - past)
            spread.lerp_((now - known).abs(), 1 - past)

    def _best(self, budget: int) -> Tensor:
        """(S, layers, k) bool: each stream's triplets with the highest scores, ``budget`` of them unless there are ties."""
        scores = torch.stack([self._scores(site) for site in self.sites], 1)
        pruned = scores[0].numel() - budget
        if not pruned:
            return torch.ones_like(scores, dtype=torch.bool)
        return scores > torch.kthvalue(scores.flatten(1), pruned, dim=1).values[:, None, None]

    def _scores(self, site: Site) -> Tensor:
        """(S, k)."""
        down, values, up = (
            self.sensitivity[f"{part} {site}"] * self.uncertainty[f"{part} {site}"] for part in ("down", "values", "up")
        )
        return values + down.mean(-1) + up.mean(-1)


def last_allocation(settings: Settings) -> int:
    """The step, counted from 1, after which the final triplets are chosen."""
    return settings.steps - settings.settled


def budget_after(step: int, settings: Settings, layers: int) -> int:
    """Triplets of a stream, in all its layers together, that are to be left after a step, counted from 1."""
    left = max(1 - (step - settings.warmup) / (last_allocation(settings) - settings.warmup), 0.0)
    most, least = settings.rank * layers, settings.target_rank * layers
    return int((most - least) * left**3 + least)


@register
class AdaLora(AdapterMethod):
    """P Λ Q x at the attention projections, with as many triplets in each as the layer earns."""

    name = "adalora"
    settings: Settings

    @property
    def scale(self) -> float:
        """What P Λ Q is multiplied by."""
        return self.settings.alpha / (self.settings.rank + 1e-5)

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        own, sites = self.settings, self.sites(engine)
        fit = minimise(
            engine.model,
            edit_rows(engine, batches),
            self._start(engine, batches, sites, state, context),
            lambda params: self._deltas(params, sites),
            Schedule(own.steps, own.lr, own.tolerance, least=last_allocation(own)),
            engine.pad,
            self._objective,
            optimiser=lambda params, lr: Allocating(params, lr, own, sites),
        )
        return outcome(self._deltas(fit.params, sites), fit)

    def _deltas(self, params: Mapping[str, Tensor], sites: Sequence[Site]) -> dict[Site, Triplets]:
        def part(name: str, site: Site) -> Tensor:
            return params[f"{name} {site}"]

        return {s: Triplets(Everywhere(), part("down", s), part("values", s), part("up", s), self.scale) for s in sites}

    def _objective(self, reading: Reading, deltas: Mapping[Site, Delta]) -> Losses:
        """Cross-entropy, and the mean over all P and Q of ‖QQᵀ − I‖."""
        nll, weight = reading.nll(), self.settings.orthogonality
        if not weight:
            return Losses(nll, nll)
        skew = torch.zeros_like(nll)
        for delta in deltas.values():
            assert isinstance(delta, Triplets)
            for rows in (delta.down, delta.up):
                skew = skew + (rows @ rows.mT - torch.eye(rows.shape[1]).to(rows)).norm(dim=(1, 2)).to(skew)
        return Losses(nll + weight * skew / (2 * len(deltas)), nll)

    def _start(
        self, engine: Engine, batches: Batches, sites: Sequence[Site], state: EditState | None, context: Context
    ) -> Params:
        """P and Q drawn as PEFT draws them and Λ = 0; or the stream's own so far."""
        rank = self.settings.rank
        widths = [engine.model.widths(site) for site in sites]

        def draw(width: int, generator: torch.Generator) -> Tensor:
            return _DRAWN * torch.randn(rank, width, dtype=torch.float32, generator=generator)

        both = drawn(engine, batches, sites, [sum(pair) for pair in widths], context, draw)
        params: Params = {}
        for site, pair, part in zip(sites, widths, both, strict=True):
            down, up = (half.contiguous() for half in torch.split(part, list(pair), dim=2))
            known = Triplets(Everywhere(), down, down.new_zeros(len(batches), rank), up, self.scale)
            previous = deltas_of(state).get(site)
            if state is not None and isinstance(previous, Triplets):
                known = previous.filled(known.tensors(), ~state.edited)
            params |= {f"{name} {site}": tensor for name, tensor in known.tensors().items()}
        return params
