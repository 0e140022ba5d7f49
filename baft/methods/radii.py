"""Keys of prompts with a radius around each: what GRACE and MELO share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from baft.engine.engine import Engine
from baft.methods.base import Request, number_of

LABELS = "labels"
"""Memory of a stream: what each key's or cluster's edits say (S, n), as a number that tells whether two say the same."""


def distances(queries: Tensor, keys: Tensor) -> Tensor:
    """Euclidean distances (q, n) of ``queries`` (q, d) from ``keys`` (n, d), exactly 0 for equal ones."""
    return torch.cdist(queries, keys, compute_mode="donot_use_mm_for_euclid_dist")


def nearest(query: Tensor, keys: Sequence[Tensor]) -> tuple[float, int]:
    """The distance of ``query`` (d,) from the nearest of ``keys``, (d,) each, and its place: the last of equal ones."""
    distance, back = (float(v) for v in distances(query[None], torch.stack(list(keys)))[0].flip(0).min(0))
    return distance, len(keys) - 1 - int(back)


def target_label(engine: Engine, request: Request) -> float:
    """The number that stands for the tokens of a request's target."""
    return number_of(*engine.text.answer(request.prompt, request.target))
