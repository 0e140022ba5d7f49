"""Adam over parameters whose first dimension is the streams, which may leave one by one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from baft.engine.rows import chosen


class Adam:
    """Kingma & Ba (2015), algorithm 1, elementwise: a stream's updates never depend on the others.

    ``lr`` may differ by parameter name.
    """

    def __init__(
        self,
        params: Mapping[str, Tensor],
        lr: float | Mapping[str, float],
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ):
        self.lr = dict(lr) if isinstance(lr, Mapping) else dict.fromkeys(params, lr)
        self.betas, self.eps = betas, eps
        self.step_count = 0
        self.mean = {name: torch.zeros_like(p) for name, p in params.items()}
        self.square = {name: torch.zeros_like(p) for name, p in params.items()}

    @torch.no_grad()
    def step(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> None:
        """One update of ``params`` (S, …), in place."""
        self.step_count += 1
        first, second = self.betas
        correction = (1 - second**self.step_count) ** 0.5
        for name, p in params.items():
            grad = grads[name]
            self.mean[name].lerp_(grad, 1 - first)
            self.square[name].mul_(second).addcmul_(grad, grad, value=1 - second)
            denominator = (self.square[name].sqrt() / correction).add_(self.eps)
            p.addcdiv_(self.mean[name], denominator, value=-self.lr[name] / (1 - first**self.step_count))

    def keep(self, streams: Tensor) -> None:
        """Drops all streams but ``streams``."""
        self.mean = {name: chosen(t, streams) for name, t in self.mean.items()}
        self.square = {name: chosen(t, streams) for name, t in self.square.items()}
