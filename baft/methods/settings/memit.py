"""The settings of MEMIT."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field

from baft.methods.settings import Between, Needs, Times
from baft.methods.settings._layerwise import WINDOWS, LayerwiseSettings


class Settings(LayerwiseSettings):
    """The authors' for GPT-J, at the layers that later work takes for models of 32 blocks (4 to 8)."""

    title = "MEMIT"
    ranges: ClassVar = {
        "layers": WINDOWS,
        "lr": Times(5),
        "clamp": Between(0.25, 4.0, log=True),
        "decay": Between(0.01, 1.0, log=True),
        "covariance_weight": Times(10),
    }

    covariance_weight: float = Field(
        15000, gt=0, description="λ: the covariance of the keys weighs as this many keys do; larger changes less."
    )
    cache: bool = Field(
        False, description="Whether the keys of a stream's earlier edits weigh beside the covariance; published: no."
    )

    def needs(self) -> Needs:
        return Needs(covariances=self.layers)

    @classmethod
    def tiny(cls) -> Self:
        return cls(layers=(0, 1), steps=4, lr=0.1, covariance_weight=1.0, prefixes=2, prefix_tokens=3)
