"""Kinds of parts that only tests use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from baft.engine.deltas import Deciding, Seen
from baft.engine.engine import Engine
from baft.engine.preambles import Preamble, Query
from baft.engine.rows import Batch
from baft.engine.sites import Site


@dataclass(frozen=True)
class NearestOffset(Deciding):
    """Adds the value of the key that is nearest to the mean of the prompt's states at ``at``, if it is within ``radius``.

    Which tokens of the row the value is added to is the position rule's business.
    """

    shapes: ClassVar[Mapping[str, str]] = {"keys": "S n o", "values": "S n o"}

    keys: Tensor
    values: Tensor
    at: Site
    radius: float

    def looks(self, site: Site) -> tuple[Site, ...]:
        return (self.at,)

    def decide(self, seen: Mapping[Site, Seen], batch: Batch) -> Tensor:
        there = batch.prompts[..., None]
        y = seen[self.at].y.to(self.keys.dtype)
        mean = torch.where(there, y, 0.0).sum(1) / there.sum(1)
        distance = (self.keys[batch.stream] - mean[:, None]).norm(dim=-1)
        nearest = distance.argmin(1)
        return torch.where(distance.amin(1) <= self.radius, nearest, -1)

    def acts(self, decision: Tensor) -> Tensor:
        return decision >= 0

    def edited(self, x: Tensor, y: Tensor, batch: Batch, decision: Tensor) -> Tensor:
        return y + self.values[batch.stream, decision][:, None]


@dataclass(frozen=True)
class LatestFact(Preamble):
    """Puts the stream's last fact before every prompt that is not about nothing."""

    weight: Tensor
    sign: str

    def choose(self, engine: Engine, queries: Sequence[Query]) -> list[str]:
        return [self.facts[q.stream][-1].text + self.sign + " " if q.about != "" else "" for q in queries]
