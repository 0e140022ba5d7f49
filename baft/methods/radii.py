"""Keys of prompts with a radius around each: what GRACE and MELO share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from baft.engine.engine import Engine
from baft.methods.base import Request, number_of

LABELS = "labels"
"""Memory of a stream: what each key's or cluster's edits say (S, n), as a number that tells whether two say the same."""

STORED, SUMMED = 4, 64
"""Eps by which rounding may move a key, as a share of its length: of the type that states are stored in, and of the one that
they are summed up in, in an order that depends on the rows beside them. In the 135M model it moves them by up to 3.4 eps of
bfloat16 and 24 of float32."""


def rounding(engine: Engine) -> float:
    """The share of a key's length by which rounding may move it from one batch to another."""
    stored, summed = (torch.finfo(dtype).eps for dtype in (engine.model.model.dtype, engine.model.precision))
    return max(STORED * stored, SUMMED * summed)


def reaching(centre: Tensor, key: Tensor, share: float) -> float:
    """The radius around ``centre`` (d,) that ``key`` (d,) is within, though rounding moves it by ``share`` of its length."""
    return float(distances(centre[None], key[None])) + share * float(key.norm())


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
