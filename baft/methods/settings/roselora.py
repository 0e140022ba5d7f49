"""The settings of RoseLoRA."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from baft.methods.settings import Between, Times
from baft.methods.settings._adapters import AdapterSettings


class Settings(AdapterSettings):
    """The defaults are the authors' for LLaMA-2-7B."""

    title = "RoseLoRA"
    ranges: ClassVar = {
        "rank": Between(1, 32, log=True),
        "steps": Between(21, 60),
        "lr": Times(10),
        "density": Between(0.01, 0.3, log=True),
        "clamp": Times(10),
    }

    steps: int = Field(25, ge=1, description="Optimiser steps at most.")
    lr: float = Field(5e-4, gt=0, description="Adam's learning rate.")
    tolerance: float = Field(
        0.1, ge=0, description="A stream ends once it is sparse and its cross-entropy is below this, in nats a token."
    )
    density: float = Field(0.05, gt=0, le=1, description="Share of each row of A and column of B that is kept at last.")
    dense_steps: int = Field(3, ge=0, description="Steps before the pruning begins.")
    sparse_from: int = Field(20, ge=1, description="The step, counted from 0, at which the final density is reached.")
    smoothing: float = Field(0.8, ge=0, lt=1, description="Weight of the past in the importance of an entry.")
    clamp: float = Field(3e-3, ge=0, description="Largest entry of A and B once pruning has begun; 0: no bound.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.sparse_from <= self.dense_steps:
            raise ValueError(
                f"sparse_from is {self.sparse_from}, but must be more than dense_steps, which is {self.dense_steps}"
            )
        if self.steps <= self.sparse_from:
            raise ValueError(
                f"steps is {self.steps}, but must be more than sparse_from, which is {self.sparse_from}: the edit would end "
                "before it is sparse"
            )
        return self

    @classmethod
    def tiny(cls) -> Self:
        return cls(rank=2, steps=6, lr=5e-2, dense_steps=1, sparse_from=4, density=0.5, clamp=0)
