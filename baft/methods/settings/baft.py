"""The settings of BaFT."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field

from baft.methods.settings import Bases, Between, Depth, Times
from baft.methods.settings._irrelevant import IrrelevantSettings
from baft.methods.settings._subspace import SubspaceSettings


class Settings(SubspaceSettings, IrrelevantSettings):
    """What BaFT shares with ReFT has ReFT's values; the rest was chosen on train splits (docs/methods.md)."""

    title = "BaFT"
    family = "representation"
    ranges: ClassVar = {
        "layer": Depth(0.4, 0.95),
        "steps": Between(10, 100, log=True),
        "lr": Times(10),
        "locality": Between(0.1, 100.0, log=True),
        "gate_bias": Between(-5.0, 0.0),
    }

    gate: Literal["sigmoid", "softmax", "constant"] = Field(
        "sigmoid", description="Weight function of the bases; constant: all 1, as in ReFT."
    )
    gate_bias: float = Field(-2.0, description="Initial c: the weight of every basis starts at σ(c).")
    gate_lr: float = Field(2e-2, gt=0, description="Adam's learning rate of U and c.")
    grow: int = Field(
        12, ge=0, description="Bases added by each later step of a stream; 0: the same ones are trained further."
    )
    grow_bias: float = Field(-4.0, description="Initial c of the bases that a later step adds.")
    locality: float = Field(1.0, ge=0, description="Weight of the locality term.")
    balance: float = Field(1e-2, ge=0, description="Weight of the load-balancing term.")
    retention: float = Field(
        100.0,
        ge=0,
        description="Weight of the term that keeps the earlier edits of a stream; 0: they are not remembered.",
    )

    def bases(self) -> Bases:
        return {
            "sigmoid": Bases("trained, a sigmoid of the state at the token, each basis its own"),
            "softmax": Bases("trained, a softmax over the bases, of the state at the token"),
            "constant": Bases("1 throughout", varies=False),
        }[self.gate]

    @classmethod
    def tiny(cls) -> Self:
        return cls(layer=1, rank=4, steps=4, lr=5e-2, grow=2, retention=10.0, general=3, relations=2, subjects=1)
