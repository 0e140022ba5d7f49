"""LoRA (Hu et al., 2022) on the attention projections of every block."""

from __future__ import annotations

from baft.methods.adapters import LowRankMethod
from baft.methods.registry import register
from baft.methods.settings.lora import Settings


@register
class Lora(LowRankMethod):
    """(x Vᵀ) U at the attention projections, V drawn as PEFT draws it and U = 0 at the start."""

    name = "lora"
    settings: Settings
