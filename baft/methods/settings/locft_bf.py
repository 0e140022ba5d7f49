"""The settings of LocFT-BF."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field

from baft.methods.settings import Between, Depth, Layer, MethodSettings, Times


class Settings(MethodSettings):
    """The authors' for LLaMA-3-8B (layer 22 of 32)."""

    title = "LocFT-BF"
    family = "weights"
    ranges: ClassVar = {
        "layer": Depth(0.1, 0.95),
        "epochs": Between(5, 50, log=True),
        "lr": Times(10),
    }

    layer: Layer = Field(0.69, description="Block whose MLP output layer is tuned; a float is a share of the depth.")
    epochs: int = Field(25, ge=1, description="Passes over a step's records at most.")
    batch: int = Field(100, ge=1, description="Records of one optimiser step.")
    lr: float = Field(5e-4, gt=0, description="Adam's learning rate.")
    tolerance: float = Field(
        1e-2,
        ge=0,
        description="A batch whose loss is below this is skipped, and a stream ends after an epoch whose mean is, in nats.",
    )

    @classmethod
    def tiny(cls) -> Self:
        return cls(layer=1, epochs=4, lr=1e-2, batch=2)
