"""Sites: the named places in a model where a delta can act."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True, slots=True)
class Site:
    """The output of block ``layer`` (the residual stream), or of one linear layer in it.

    ``module`` is the linear layer's dotted name from the block, or empty for the block's own output. At a block's output
    a delta sees x = y = the residual stream; at a linear layer x is the layer's input and y its output.
    """

    layer: int
    module: str = ""

    def __str__(self) -> str:
        return f"{self.layer}:{self.module}" if self.module else str(self.layer)

    @staticmethod
    def parse(text: str) -> Site:
        """The inverse of ``str``."""
        layer, _, module = text.partition(":")
        return Site(int(layer), module)

    @property
    def entry(self) -> int:
        """The last block whose output never depends on a delta here, before this delta is added; -1 if there is none."""
        return self.layer - 1 if self.module else self.layer
