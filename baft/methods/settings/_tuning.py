"""The settings that the methods which tune one weight matrix share."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field

from baft.methods.settings import Between, Depth, Layer, MethodSettings, Times


class TuningSettings(MethodSettings):
    """Settings of fine-tuning one MLP output layer. Layer, steps, rate and tolerance are EasyEdit's for LLaMA-2-7B."""

    family = "weights"
    ranges: ClassVar = {
        "layer": Depth(0.1, 0.95),
        "steps": Between(5, 50, log=True),
        "lr": Times(10),
    }

    layer: Layer = Field(0.66, description="Block whose MLP output layer is tuned; a float is a share of the depth.")
    steps: int = Field(25, ge=1, description="Optimiser steps at most.")
    lr: float = Field(5e-4, gt=0, description="Adam's learning rate.")
    tolerance: float = Field(1e-2, ge=0, description="A stream ends once its loss is below this, in nats a token.")
    bound: float = Field(0.0, ge=0, description="Largest change of a weight by one edit; 0: no bound.")

    @classmethod
    def tiny(cls) -> Self:
        return cls(layer=1, steps=4, lr=1e-2)
