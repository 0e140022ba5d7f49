"""The settings that ROME and R-ROME share."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field

from baft.methods.settings import AmongBlocks, Between, Layer, MethodSettings, Needs, Times


class RankOneSettings(MethodSettings):
    """EasyEdit's for LLaMA-2-7B (layer 5 of 32), with the authors' second moment."""

    family = "weights"
    ranges: ClassVar = {
        "layer": AmongBlocks((0.06, 0.1, 0.157, 0.22, 0.3, 0.4, 0.5)),
        "steps": Between(10, 50, log=True),
        "lr": Times(5),
        "clamp": Between(0.5, 8.0, log=True),
        "decay": Between(1e-4, 0.5, log=True),
    }

    layer: Layer = Field(0.157, description="Block whose MLP output layer is edited; a float is a share.")
    steps: int = Field(25, ge=1, description="Optimiser steps for v* at most.")
    lr: float = Field(0.5, gt=0, description="Adam's learning rate for v*.")
    clamp: float = Field(4.0, gt=0, description="Largest norm of the change of v, in norms of v.")
    kl: float = Field(0.0625, ge=0, description="Weight of the KL term on what the subject is.")
    decay: float = Field(1e-3, ge=0, description="Weight of ‖change of v‖ / ‖v‖².")
    tolerance: float = Field(5e-2, ge=0, description="A stream ends once its loss is below this.")
    second_moment: bool = Field(
        True, description="Whether C is the collected key covariance; else the identity, as in EasyEdit."
    )
    prefixes: int = Field(20, ge=0, description="Sampled texts put before the prompt, besides none.")
    prefix_tokens: int = Field(10, ge=1, description="Tokens of every other sampled text; the rest have half as many.")

    def needs(self) -> Needs:
        return Needs(covariances=(self.layer,) if self.second_moment else ())

    @classmethod
    def tiny(cls) -> Self:
        return cls(layer=1, steps=4, lr=0.1, prefixes=2, prefix_tokens=3)
