"""The settings that LoRA and its relatives share."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field

from baft.methods.settings import Between, Depth, Layer, MethodSettings, Times


class AdapterSettings(MethodSettings):
    """Settings of low-rank adapters at the attention projections of all blocks."""

    family = "adapters"
    ranges: ClassVar = {
        "rank": Between(1, 32, log=True),
        "alpha": Times(4),
        "first": Depth(0.0, 0.8),
        "steps": Between(10, 100, log=True),
        "lr": Times(10),
    }

    rank: int = Field(8, ge=1, description="Rank of each adapter.")
    alpha: float = Field(32.0, gt=0, description="Adapters are scaled by alpha / rank.")
    first: Layer = Field(0, description="First block with adapters; a float is a share of the depth.")
    steps: int = Field(70, ge=1, description="Optimiser steps at most.")
    lr: float = Field(5e-3, gt=0, description="Adam's learning rate.")
    tolerance: float = Field(
        1e-2,
        ge=0,
        description="A stream ends once its cross-entropy is below this, in nats a token; 0: after all steps.",
    )

    @classmethod
    def tiny(cls) -> Self:
        return cls(rank=2, steps=4, lr=1e-2)
