"""RoseLoRA (Wang et al., 2024): LoRA whose factors are pruned, each row of A and each column of B by itself."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from baft.engine.adam import Adam
from baft.engine.fitting import Params
from baft.engine.rows import chosen
from baft.methods.adapters import LowRankMethod
from baft.methods.registry import register
from baft.methods.settings.roselora import Settings


class Pruned(Adam):
    """Adam on A (S, r, d_in) and Bᵀ (S, r, d_out) that sets most of their entries to 0 as training goes on.

    The importance of an entry is |p ∂L/∂p|, smoothed over the steps. After a step the entries of a row whose importance is
    below that of the k-th least are set to 0, with k the share of the row that is to go, rounded down.
    """

    def __init__(self, params: Mapping[str, Tensor], lr: float | Mapping[str, float], settings: Settings):
        super().__init__(params, lr)
        self.settings = settings
        self.importance: Params = {}

    @torch.no_grad()
    def step(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> None:
        past, now = self.settings.smoothing, {name: (p * grads[name]).abs() for name, p in params.items()}
        known = self.importance or now
        self.importance = {name: past * known[name] + (1 - past) * own for name, own in now.items()}
        density = density_after(self.step_count, self.settings)
        super().step(params, grads)
        if density < 1:
            for name, p in params.items():
                self._prune(p, self.importance[name], density)

    def keep(self, streams: Tensor) -> None:
        super().keep(streams)
        self.importance = {name: chosen(t, streams) for name, t in self.importance.items()}

    def _prune(self, p: Tensor, importance: Tensor, density: float) -> None:
        gone, clamp = int(p.shape[-1] * (1 - density)), self.settings.clamp
        if gone:
            least = torch.kthvalue(importance, gone, dim=-1, keepdim=True).values
            p.masked_fill_(importance < least, 0.0)
        if clamp:
            p.clamp_(-clamp, clamp)


def density_after(step: int, settings: Settings) -> float:
    """The share of a row that is kept after a step, counted from 0: falling with a cube from 1 to the final one."""
    if step < settings.dense_steps:
        return 1.0
    if step >= settings.sparse_from:
        return settings.density
    left = 1 - (step - settings.dense_steps) / (settings.sparse_from - settings.dense_steps)
    return float(settings.density + (1 - settings.density) * left**3)


@register
class RoseLora(LowRankMethod):
    """(x Vᵀ) U at the attention projections, with few entries of U and V other than 0."""

    name = "roselora"
    settings: Settings

    def least_steps(self) -> int:
        return self.settings.sparse_from + 1

    def optimiser(self, params: Params, lr: float | Mapping[str, float]) -> Pruned:
        return Pruned(params, lr, self.settings)
