"""The settings of UltraEdit, and of RLEdit before any training."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from baft.methods.settings import AmongBlocks, Layer, MethodSettings, Times

# The authors' nine, nine earlier ones, and the later and the earlier half of theirs.
_BLOCKS = AmongBlocks(
    (
        (0.643, 0.679, 0.715, 0.75, 0.786, 0.822, 0.858, 0.893, 0.929),
        (0.393, 0.429, 0.465, 0.5, 0.536, 0.572, 0.608, 0.643, 0.679),
        (0.786, 0.822, 0.858, 0.893, 0.929),
        (0.643, 0.679, 0.715, 0.75, 0.786),
    )
)


class Settings(MethodSettings):
    """The authors' for GPT-J (layers 18 to 26 of 28), whose modules every architecture has."""

    title = "UltraEdit"
    family = "weights"
    ranges: ClassVar = {
        "down": _BLOCKS,
        "lr": Times(30),
        "ridge": Times(10),
    }

    down: tuple[Layer, ...] = Field(
        (0.643, 0.679, 0.715, 0.75, 0.786, 0.822, 0.858, 0.893, 0.929),
        description="Blocks whose MLP output layers are edited; floats are shares of the depth.",
    )
    gate: tuple[Layer, ...] = Field(
        (), description="Blocks whose layer mlp.gate_proj is edited, where a model has one."
    )
    up: tuple[Layer, ...] = Field((), description="Blocks whose layer mlp.up_proj is edited, where a model has one.")
    rule: Literal["ultraedit", "rledit"] = Field(
        "ultraedit",
        description="'rledit': as RLEdit's hypernetwork before its training, with k·k̂ in the place of ‖k̂‖².",
    )
    lr: float = Field(
        1e-6, gt=0, description="η: what a normalised gradient is multiplied with, for each of a key's ‖k̂‖²."
    )
    ridge: float = Field(1.0, gt=0, description="Weight of the size of a change; larger changes less.")
    mini_batch: int = Field(10, ge=1, description="Requests over whose answer tokens a gradient's loss is the mean.")
    warmup: int = Field(
        50, ge=0, description="Pieces of general text that the normalisation begins with; 0: none, as published."
    )

    @model_validator(mode="after")
    def _edits_something(self) -> Self:
        if not (self.down or self.gate or self.up):
            raise ValueError("down, gate and up are all empty, and no layer would be edited")
        return self

    @classmethod
    def tiny(cls) -> Self:
        return cls(down=(1, 2), lr=1e-2, warmup=3)
