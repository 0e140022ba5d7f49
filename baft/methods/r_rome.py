"""R-ROME (Gupta et al., 2024): ROME with the mean key k* wherever a key stands, as ROME's paper has it and its code has not.

Where the bare prompt's key is nearly at right angles to C⁻¹k*, ROME's code divides by next to nothing, and such an edit
destroys the model. (C⁻¹k*)ᵀk* is never near 0.
"""

from __future__ import annotations

from torch import Tensor

from baft.methods.rank_one import RankOneMethod
from baft.methods.registry import register


@register
class RRome(RankOneMethod):
    """Ŵ k* = v* for the mean key k*."""

    name = "r_rome"

    def solved_for(self, seen: Tensor) -> Tensor:
        return seen.mean(1)
