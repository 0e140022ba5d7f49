"""The settings of LoRA."""

from __future__ import annotations

from pydantic import Field

from baft.methods.settings._adapters import AdapterSettings


class Settings(AdapterSettings):
    """Rank, α and steps are EasyEdit's for LLaMA-2-7B, the rate is the LoRA authors' for GPT-3 (docs/methods.md)."""

    title = "LoRA"

    lr: float = Field(2e-4, gt=0, description="Adam's learning rate.")
