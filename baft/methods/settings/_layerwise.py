"""The settings that MEMIT and AlphaEdit share."""

from __future__ import annotations

from pydantic import Field

from baft.methods.settings import AmongBlocks, Layer, MethodSettings

WINDOWS = AmongBlocks(
    (
        (0.063, 0.094, 0.125, 0.157, 0.188),
        (0.125, 0.157, 0.188, 0.219, 0.25),
        (0.188, 0.219, 0.25, 0.282, 0.313),
        (0.25, 0.282, 0.313, 0.344, 0.375),
    )
)
"""Five blocks in a row of 32, from the third, fifth, seventh or ninth on."""


class LayerwiseSettings(MethodSettings):
    """MEMIT's authors' for GPT-J, at the layers that later work takes for models of 32 blocks (4 to 8)."""

    family = "weights"

    layers: tuple[Layer, ...] = Field(
        (0.125, 0.157, 0.188, 0.219, 0.25),
        min_length=1,
        description="Blocks whose MLP output layers are edited; floats are shares, and a block named twice counts once.",
    )
    steps: int = Field(
        25, ge=1, description="Optimiser steps for the wanted output of the last of these blocks at most."
    )
    lr: float = Field(0.5, gt=0, description="Adam's learning rate for it.")
    clamp: float = Field(0.75, gt=0, description="Largest norm of its change, in norms of what it was.")
    kl: float = Field(0.0625, ge=0, description="Weight of the KL term on what the subject is.")
    decay: float = Field(0.5, ge=0, description="Weight of ‖its change‖ / ‖what it was‖².")
    tolerance: float = Field(
        5e-2, ge=0, description="The search for a request's output ends once its loss is below this."
    )
    prefixes: int = Field(5, ge=0, description="Sampled texts put before the prompt, besides none.")
    prefix_tokens: int = Field(10, ge=1, description="Tokens of each sampled text.")
    cache: bool = Field(False, description="Whether the keys of a stream's earlier edits are kept as they are, too.")
