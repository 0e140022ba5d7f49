"""Memories of which each prompt gets one, as the methods that keep a store of edits choose it."""

from __future__ import annotations

from dataclasses import dataclass

from baft.engine.deltas import Choosing
from baft.methods.settings import Routing


@dataclass(frozen=True)
class Routed(Choosing):
    """One whose ``routing`` says whether the prompt alone decides, or every pass anew as published."""

    routing: Routing

    @property
    def anew(self) -> bool:
        return self.routing == "published"
