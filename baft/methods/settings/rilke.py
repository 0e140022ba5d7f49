"""The settings of RILKE."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field

from baft.methods.settings import Between, Depth, Layer
from baft.methods.settings._subspace import SubspaceSettings


class Settings(SubspaceSettings):
    """A module is trained as ReFT trains one edit, with ReFT's values; those of the router are ours (docs/methods.md)."""

    title = "RILKE"
    family = "representation"
    ranges: ClassVar = {
        **SubspaceSettings.ranges,
        "layer": Depth(0.4, 0.95, also=("reads",)),
        "similarity": Between(0.3, 0.9),
    }

    similarity: float = Field(
        0.6, ge=-1, le=1, description="Least cosine between a prompt and a fact's for the fact's module to act."
    )
    reads: Layer = Field(0.75, description="Block whose output the cosine is taken of; at most `layer`.")
    pooling: Literal["last", "mean"] = Field(
        "last", description="What stands for a prompt: the hidden state at its last token, or the mean over its tokens."
    )
    centre: bool = Field(True, description="Whether the mean over unrelated prompts is taken off before the cosine.")

    @classmethod
    def tiny(cls) -> Self:
        return cls(layer=1, rank=4, steps=4, lr=5e-2, reads=0)
