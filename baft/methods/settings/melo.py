"""The settings of MELO."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator

from baft.methods.settings import ROUTING, Between, Layer, MethodSettings, Routing, Times


class Settings(MethodSettings):
    """The authors' for GPT-2-XL (48 blocks), their only ones for a decoder; the layers in relative depth."""

    title = "MELO"
    family = "memory"
    ranges: ClassVar = {
        "rank": Between(1, 8, log=True),
        "scale": Times(4),
        "radius": Times(4),
        "steps": Between(20, 100, log=True),
        "lr": Times(10),
    }

    layers: tuple[Layer, ...] = Field(
        (0.75, 0.79), min_length=1, description="Blocks whose MLP output layers get LoRA blocks; shares of the depth."
    )
    reads: Layer = Field(
        0.73, description="Block by whose MLP output a prompt is found in the index; before those of `layers`."
    )
    rank: int = Field(2, ge=1, description="Rank of a LoRA block.")
    scale: float = Field(
        350.0, gt=0, description="Factor of a LoRA block's output; the authors' is their number of blocks."
    )
    together: int = Field(4, ge=1, description="Edits of one step that share a LoRA block.")
    radius: float = Field(0.5, gt=0, description="Radius that a new cluster begins with, in the units of the keys.")
    steps: int = Field(50, ge=1, description="Optimiser steps for a block.")
    lr: float = Field(1e-3, gt=0, description="Adam's learning rate at the start.")
    halve: int = Field(20, ge=0, description="Steps after which the rate is halved, again and again; 0: never.")
    tolerance: float = Field(0.0, ge=0, description="Training ends once the loss is below this; 0: never early.")
    routing: Routing = Field("prompt", description=ROUTING)
    label_match: Literal["tokens", "sum"] = Field(
        "tokens", description="When two edits say the same: equal target tokens, or equal sums of them, as published."
    )

    @field_validator("layers", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @classmethod
    def tiny(cls) -> Self:
        return cls(layers=(1, 2), reads=0, steps=4, scale=20.0, radius=1e-2, together=2)
