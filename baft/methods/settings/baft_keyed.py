"""The settings of BaFT with keys."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field

from baft.methods.settings import Bases, Between, Depth, Layer, Times
from baft.methods.settings._subspace import SubspaceSettings


class Settings(SubspaceSettings):
    """What it shares with ReFT has ReFT's values, but for the rank; the rest was chosen on tune data (docs/baft.md)."""

    title = "BaFT, keyed"
    family = "representation"
    ranges: ClassVar = {
        "layer": Depth(0.4, 0.95),
        "lr": Times(10),
        "subject": Between(0.2, 0.8),
        "quantile": Between(0.2, 0.95),
        "behind": Between(0.2, 0.8),
    }

    rank: int = Field(4, ge=1, description="Bases of an edit.")
    lr: float = Field(4e-3, gt=0, description="Adam's learning rate.")
    tolerance: float = Field(
        0.005, ge=0, description="A stream ends once its cross-entropy is below this, in nats a token."
    )
    follow: bool = Field(True, description="Edit the tokens that follow the prompt too, as far as an answer goes.")
    gate: Literal["keys", "constant"] = Field(
        "keys",
        description="What opens an edit: its keys, or nothing has to; constant: a stream's nearest edit always acts.",
    )
    key_layer: Layer = Field(0, description="Block at whose output prompts are compared; none above `layer`.")
    tokens: int = Field(
        11, ge=1, description="Keys kept of the subject, of the prompt's other words and of the answer: the rarest."
    )
    width: int = Field(
        128, ge=1, description="Numbers of a key: a random projection of the state, unless that is smaller."
    )
    rarity: bool = Field(True, description="Weigh a key by how few texts have its token; false: all alike.")
    subject: float = Field(0.6, ge=0, lt=1, description="Share of the subject that a prompt must have more than.")
    threshold: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of the prompt's other words that a prompt with all of the subject must have more than; none: "
        "each edit's own, from irrelevant prompts.",
    )
    shortfall: float = Field(
        1.0, ge=0, description="How much that share rises with what the prompt lacks of the subject."
    )
    quantile: float = Field(
        0.5, ge=0, le=1, description="Share of the irrelevant prompts that an edit's threshold keeps out."
    )
    margin: float = Field(0.0, description="What is added to that quantile.")
    behind: float = Field(
        0.45,
        ge=0,
        le=1,
        description="A prompt that has this much more of a plain statement about something than of the prompt's other "
        "words asks for that; 1: none does.",
    )
    least: float = Field(
        0.35, ge=0, le=1, description="Least threshold of a prompt of many words; the fewer, the less."
    )
    most: float = Field(0.9, gt=0, lt=1, description="Largest threshold, so that an edit's own prompt opens it.")

    def bases(self) -> Bases:
        if self.gate == "constant":
            return Bases("1 for all bases of the nearest edit", varies=False)
        return Bases("1 or 0 for all bases of an edit alike, decided by its keys once for a prompt")

    @classmethod
    def tiny(cls) -> Self:
        return cls(layer=1, rank=2, steps=4, lr=5e-2)
