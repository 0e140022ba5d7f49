"""The settings of WISE."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from baft.methods.settings import ROUTING, Between, Depth, Layer, MethodSettings, Routing, Times


class Settings(MethodSettings):
    """EasyEdit's for LLaMA-2-7B (layer 27 of 32), which are the authors', but for the unit of the margins and the decay."""

    title = "WISE"
    family = "memory"
    ranges: ClassVar = {
        "layer": Depth(0.4, 0.95),
        "steps": Between(20, 100, log=True),
        "lr": Times(5),
        "mask": Between(0.05, 1.0, log=True),
        "ratio": Between(0.3, 1.0),
    }

    layer: Layer = Field(
        0.85, description="Block whose MLP output layer has side memories; a float is a share of the depth."
    )
    steps: int = Field(70, ge=1, description="Steps of plain gradient descent at most.")
    lr: float = Field(1.0, gt=0, description="Learning rate of gradient descent.")
    bound: float = Field(1.0, ge=0, description="Largest change of any weight by a side memory; 0: none.")
    mask: float = Field(
        0.2, gt=0, le=1, description="Share of the weights that the edits of one side memory may change."
    )
    decay: Literal["off", "published"] = Field(
        "off", description="Weight decay of the whole side memory, weights that may not change included: none, or 1e-5."
    )
    margins: Literal["relative", "absolute"] = Field(
        "relative",
        description="Unit of the margins: the mean length of the activation on unrelated prompts, or 1, as published.",
    )
    alpha: float = Field(
        0.1, ge=0, description="An irrelevant prompt's distance should be at most this, in the margins' unit."
    )
    beta: float = Field(0.4, ge=0, description="An edit's own distance should be at least this.")
    gamma: float = Field(
        0.2, ge=0, description="An edit's own distance should be larger than an irrelevant prompt's by this."
    )
    ratio: float = Field(
        0.88, gt=0, description="A prompt gets a side memory if its distance is this share of the least of its edits'."
    )
    routing: Routing = Field("prompt", description=ROUTING)
    prefixes: int = Field(
        10, ge=0, description="Texts sampled from the model to put before the prompt, of 5 and 10 tokens."
    )
    irrelevant: int = Field(1, ge=1, description="Irrelevant prompts of an edit.")
    retrieve: bool = Field(
        True, description="Merged side memories stay beside later ones (WISE-Retrieve), or become one (WISE-Merge)."
    )
    save_every: int = Field(500, ge=1, description="Edits after which a side memory is full, and a new one is begun.")
    merge_every: int = Field(1000, ge=1, description="Edits after which the full side memories are merged.")
    density: float = Field(
        0.53, gt=0, le=1, description="Share of the largest changes of a side memory that are merged."
    )

    @model_validator(mode="after")
    def _merges_whole_memories(self) -> Self:
        if self.merge_every % self.save_every:
            raise ValueError(f"merge_every is {self.merge_every}, which must be a multiple of save_every")
        return self

    @classmethod
    def tiny(cls) -> Self:
        return cls(layer=1, steps=4, mask=0.5, ratio=0.5, prefixes=2, save_every=2, merge_every=4)
