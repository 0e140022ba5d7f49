"""MEMIT (Meng et al., 2023): many facts at once, in the MLP output layers of several blocks.

Layer by layer Δ = R Kᵀ (λ C + K Kᵀ)⁻¹ with the keys K and the residuals R of all facts of a batch: the keys of ordinary
text, of which C is the covariance, keep what they had as well as they can.
"""

from __future__ import annotations

import torch
from torch import Tensor

from baft.methods.layerwise import LayerwiseMethod
from baft.methods.registry import register
from baft.methods.settings.memit import Settings


@register
class Memit(LayerwiseMethod):
    """The keys of ordinary text weigh as λ keys of edits do."""

    name = "memit"
    settings: Settings

    @property
    def strength(self) -> float:
        return self.settings.covariance_weight

    def root(self, covariance: Tensor | None, width: int) -> Tensor:
        """L⁻ᵀ of the covariance C = L Lᵀ."""
        assert covariance is not None
        lower = torch.linalg.cholesky(covariance)
        root: Tensor = torch.linalg.solve_triangular(lower.mT, torch.eye(width).to(lower), upper=True)
        return root
