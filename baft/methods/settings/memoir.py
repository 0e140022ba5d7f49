"""The settings of MEMOIR."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field

from baft.methods.settings import Between, Depth, Layer, MethodSettings, Times


class Settings(MethodSettings):
    """The authors' for LLaMA-3-8B: block 27 of 32, and 4096 of 14336 inputs."""

    title = "MEMOIR"
    family = "memory"
    ranges: ClassVar = {
        "layer": Depth(0.4, 0.95),
        "steps": Between(10, 60, log=True),
        "lr": Times(5),
        "share": Between(0.05, 0.6, log=True),
        "threshold": Between(0.3, 0.9),
    }

    layer: Layer = Field(
        0.85, description="Block whose MLP output layer has a memory beside it; a float is a share of the depth."
    )
    steps: int = Field(30, ge=1, description="Steps of plain gradient descent at most.")
    lr: float = Field(1.0, gt=0, description="Learning rate of gradient descent.")
    longest: float = Field(
        1.0, ge=0, description="Norm to which an edit's gradient is scaled down if it is larger; 0: never."
    )
    share: float = Field(
        0.286, gt=0, lt=1, description="Share of the layer's inputs that an edit reads, and that tell prompts apart."
    )
    threshold: float = Field(
        0.4, gt=0, le=1, description="Share of an edit's inputs that must be a prompt's too for the edit to act on it."
    )
    prefixes: int = Field(
        10, ge=0, description="Texts sampled from the model to put before the prompt, of 5 and 10 tokens."
    )
    decay: Literal["off", "published"] = Field(
        "published", description="Weight decay of the whole memory, earlier edits' part of it included: none, or 1e-5."
    )

    @classmethod
    def tiny(cls) -> Self:
        return cls(layer=1, steps=4, share=0.25, threshold=0.6, prefixes=2)
