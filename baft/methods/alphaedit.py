"""AlphaEdit (Fang et al., 2025): MEMIT's edits, kept to the directions in which ordinary text has next to no keys.

Layer by layer Δ = R Kᵀ P (K_p K_pᵀ P + K Kᵀ P + L I)⁻¹ with the keys K and the residuals R of a batch's facts, the keys
K_p of a stream's earlier facts, and P the projection on the null space of the covariance, which its eigenvectors of small
eigenvalues span.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from baft.engine.engine import Engine
from baft.errors import UserError
from baft.methods.base import Context
from baft.methods.layerwise import LayerwiseMethod
from baft.methods.registry import register
from baft.methods.settings.alphaedit import Settings

log = logging.getLogger(__name__)


@register
class AlphaEdit(LayerwiseMethod):
    """Nothing of a change is outside the null space."""

    name = "alphaedit"
    settings: Settings

    @property
    def strength(self) -> float:
        return self.settings.l2

    def check(self, engine: Engine, context: Context) -> None:
        """Also finds the null spaces, and tells how large they are."""
        super().check(engine, context)
        if not self.settings.project:
            return
        for site in self.sites(engine):
            width = engine.model.widths(site)[0]
            rank = self.root_at(context, site, width, engine.model.device_at(site)).shape[1]
            log.info("AlphaEdit may change %d of the %d dimensions of a key at %s.", rank, width, site)
            if not rank:
                raise UserError(
                    f"AlphaEdit has nothing to change at {site}: no eigenvalue of the keys' covariance there is below "
                    f"null_threshold, {self.settings.null_threshold:g}; raise it, or give null_share instead."
                )

    def root(self, covariance: Tensor | None, width: int) -> Tensor:
        """The eigenvectors that span the null space, P = U Uᵀ; all directions where nothing is projected."""
        if covariance is None:
            return torch.eye(width, dtype=torch.float64)
        return null_space(covariance, self.settings.null_threshold, self.settings.null_share)


def null_space(covariance: Tensor, threshold: float, share: float | None) -> Tensor:
    """Orthonormal eigenvectors (d, r) of ``covariance`` (d, d) whose eigenvalues are below ``threshold``.

    With a ``share`` they are those of the round(share · d) smallest eigenvalues instead, but at least one.
    """
    values, vectors = torch.linalg.eigh(covariance)
    rank = int((values < threshold).sum()) if share is None else max(1, round(share * len(values)))
    small: Tensor = vectors[:, :rank]
    return small
