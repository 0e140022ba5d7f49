"""The settings of FT-L."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field

from baft.methods.settings import Times
from baft.methods.settings._tuning import TuningSettings


class Settings(TuningSettings):
    """EasyEdit's for LLaMA-2-7B (layer 21 of 32), with the bound of the ROME authors' constrained FT of GPT-2 XL."""

    title = "FT-L"
    ranges: ClassVar = {**TuningSettings.ranges, "bound": Times(10)}

    bound: float = Field(5e-4, ge=0, description="Largest change of a weight by one edit; 0: no bound.")

    @classmethod
    def tiny(cls) -> Self:
        return cls(layer=1, steps=4, lr=1e-2, bound=5e-2)
