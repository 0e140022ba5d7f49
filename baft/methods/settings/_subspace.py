"""The settings that ReFT and BaFT share."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from baft.methods.settings import Between, Depth, Layer, MethodSettings, Times


class SubspaceSettings(MethodSettings):
    """Settings of an edit in a low-rank subspace of one block's output."""

    ranges: ClassVar = {
        "layer": Depth(0.4, 0.95),
        "rank": Between(1, 32, log=True),
        "steps": Between(10, 100, log=True),
        "lr": Times(10),
    }

    layer: Layer = Field(0.75, description="Block whose output is edited; a float is a share of the depth.")
    rank: int = Field(12, ge=1, description="Dimension r of the subspace.")
    head: int = Field(0, ge=0, description="Prompt tokens edited from the start.")
    tail: int = Field(1, ge=0, description="Prompt tokens edited at the end.")
    steps: int = Field(40, ge=1, description="Optimiser steps at most.")
    lr: float = Field(2e-3, gt=0, description="Adam's learning rate.")
    tolerance: float = Field(
        0.05, ge=0, description="A stream ends once its cross-entropy is below this, in nats a token."
    )
    contexts: tuple[str, ...] = Field(
        (), description="Texts put before the rewrite prompt as further training prompts."
    )

    @model_validator(mode="after")
    def _edits_something(self) -> Self:
        if not self.head and not self.tail:
            raise ValueError("head and tail are both 0, and no prompt token would be edited")
        return self

    @classmethod
    def tiny(cls) -> Self:
        return cls(layer=1, rank=4, steps=4, lr=5e-2)
