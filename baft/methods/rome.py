"""ROME (Meng et al., 2022) as its authors wrote it: the bare prompt's key is sent to v*, along C⁻¹k* of the mean key k*.

The paper has k* in both places; :mod:`baft.methods.r_rome` is that.
"""

from __future__ import annotations

from torch import Tensor

from baft.methods.rank_one import RankOneMethod
from baft.methods.registry import register


@register
class Rome(RankOneMethod):
    """Ŵ k = v* for the key k of the bare prompt."""

    name = "rome"

    def solved_for(self, seen: Tensor) -> Tensor:
        return seen[:, 0]
