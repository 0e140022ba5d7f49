"""Plain gradient descent over parameters whose first dimension is the streams, and what any optimiser of them does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor


class Optimiser(Protocol):
    """What takes the steps of training, each stream's by itself."""

    def step(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> None:
        """One update of ``params`` (S, …), in place."""

    def keep(self, streams: Tensor) -> None:
        """Drops all streams but ``streams``."""


class Sgd:
    """p − lr (∇p + ``decay`` p), without momentum. ``lr`` may differ by parameter name.

    The gradients of one stream are scaled down together to a norm of ``longest`` at most, unless that is 0.
    """

    def __init__(
        self, params: Mapping[str, Tensor], lr: float | Mapping[str, float], decay: float = 0.0, longest: float = 0.0
    ):
        self.lr = dict(lr) if isinstance(lr, Mapping) else dict.fromkeys(params, lr)
        self.decay = decay
        self.longest = longest

    @torch.no_grad()
    def step(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> None:
        """One update of ``params`` (S, …), in place."""
        grads = _shortened(grads, self.longest) if self.longest else grads
        for name, p in params.items():
            slope = grads[name].add(p, alpha=self.decay) if self.decay else grads[name]
            p.add_(slope, alpha=-self.lr[name])

    def keep(self, streams: Tensor) -> None:
        """Nothing is carried from step to step."""


def _shortened(grads: Mapping[str, Tensor], longest: float) -> dict[str, Tensor]:
    norms = torch.stack([grad.flatten(1).norm(dim=1) for grad in grads.values()]).norm(dim=0)
    # PyTorch's clip_grad_norm_, which adds as much.
    factor = (longest / (norms + 1e-6)).clamp(max=1)
    return {name: grad * factor.reshape(-1, *[1] * (grad.dim() - 1)) for name, grad in grads.items()}
