"""The settings of AdaLoRA."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from baft.methods.settings import Between, Times
from baft.methods.settings._adapters import AdapterSettings


class Settings(AdapterSettings):
    """α, steps and rate are EasyEdit's for LLaMA-2-7B; ranks, smoothing and penalty PEFT's, which EasyEdit's are too."""

    title = "AdaLoRA"
    ranges: ClassVar = {
        "target_rank": Between(1, 12),
        "alpha": Times(4),
        "steps": Between(35, 120, log=True),
        "lr": Times(10),
        "orthogonality": Times(10),
    }

    rank: int = Field(12, ge=1, description="Triplets of each adapter at the start.")
    target_rank: int = Field(
        8, ge=1, description="Triplets an adapter that are left at last, on average over the layers."
    )
    tolerance: float = Field(
        1e-2, ge=0, description="A stream ends once it has its final ranks and its cross-entropy is below this."
    )
    warmup: int = Field(10, ge=0, description="Steps before the first triplet is pruned.")
    settled: int = Field(20, ge=0, description="Steps at the end in which no more are pruned.")
    orthogonality: float = Field(0.5, ge=0, description="Weight of the term that keeps P and Q orthonormal.")
    smoothing: float = Field(0.85, gt=0, lt=1, description="Weight of the past in sensitivity and in its uncertainty.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.target_rank > self.rank:
            raise ValueError(f"target_rank is {self.target_rank}, but must be at most rank, which is {self.rank}")
        if self.warmup + self.settled >= self.steps:
            raise ValueError(
                f"warmup and settled are {self.warmup} and {self.settled}, but must leave at least one of the {self.steps} "
                "steps to prune in"
            )
        return self

    @classmethod
    def tiny(cls) -> Self:
        return cls(rank=3, target_rank=2, steps=6, lr=5e-2, warmup=2, settled=2)
