"""The settings of AlphaEdit."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field

from baft.methods.settings import Between, Needs, Times
from baft.methods.settings._layerwise import WINDOWS, LayerwiseSettings


class Settings(LayerwiseSettings):
    """The authors' for LLaMA-3-8B (layers 4 to 8 of 32)."""

    title = "AlphaEdit"
    ranges: ClassVar = {
        "layers": WINDOWS,
        "lr": Times(5),
        "clamp": Between(0.25, 4.0, log=True),
        "l2": Times(10),
        "null_threshold": Times(10),
    }

    lr: float = Field(0.1, gt=0, description="Adam's learning rate for it.")
    l2: float = Field(10.0, gt=0, description="Weight of the size of a change; larger changes less.")
    project: bool = Field(
        True, description="Whether changes are kept to the null space of the keys' covariance; off: an ablation."
    )
    null_threshold: float = Field(
        0.02, gt=0, description="The null space is that of the covariance's eigenvalues below this."
    )
    null_share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Instead: the share of a key's dimensions that are in it, those of the smallest eigenvalues.",
    )
    cache: bool = Field(
        True, description="Whether the keys of a stream's earlier edits are kept as they are, too; off: an ablation."
    )

    def needs(self) -> Needs:
        return Needs(covariances=self.layers if self.project else ())

    @classmethod
    def tiny(cls) -> Self:
        return cls(layers=(0, 1), steps=4, lr=0.1, l2=1.0, null_share=0.5, prefixes=2, prefix_tokens=3)
