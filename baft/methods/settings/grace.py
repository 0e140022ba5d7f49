"""The settings of GRACE."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field

from baft.methods.settings import ROUTING, Between, Depth, Layer, MethodSettings, Routing, Times


class Settings(MethodSettings):
    """Layer, steps and replacement are EasyEdit's for LLaMA-2-7B (layer 27 of 32), the rest the authors'."""

    title = "GRACE"
    family = "memory"
    ranges: ClassVar = {
        "layer": Depth(0.4, 0.95),
        "radius": Times(10),
        "steps": Between(20, 100, log=True),
        "lr": Times(5),
    }

    layer: Layer = Field(0.85, description="Block whose MLP output is replaced; a float is a share of the depth.")
    radius: float = Field(1.0, gt=0, description="Radius ε that a new key begins with, in the units of the keys.")
    steps: int = Field(50, ge=1, description="Optimiser steps for a value.")
    lr: float = Field(1.0, gt=0, description="Adam's learning rate for a value.")
    tolerance: float = Field(0.0, ge=0, description="Training ends once the loss is below this; 0: never early.")
    start: Literal["cold", "warm"] = Field(
        "cold", description="A new value begins with random numbers in [0, 1), or with the module's own output."
    )
    expand: Literal["coverage", "moving_average"] = Field(
        "coverage", description="What an edit that a key covers already does: widen its radius, or move the key too."
    )
    replace: Literal["last", "before", "all"] = Field(
        "last",
        description="Tokens whose output is replaced: the prompt's last, those before it (the authors' default), or all.",
    )
    routing: Routing = Field("prompt", description=ROUTING)
    label_match: Literal["tokens", "mean"] = Field(
        "tokens", description="When two edits say the same: equal target tokens, or equal means of them, as published."
    )

    @classmethod
    def tiny(cls) -> Self:
        return cls(layer=1, steps=4, lr=0.3)
