"""Rows of analysed edits, made up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from baft.results.schema import BASES


def position(
    kind: str, moves: Sequence[float], weights: Sequence[float] | None = None, **changes: Any
) -> list[dict[str, Any]]:
    """The rows of one position, a row a basis."""
    row: dict[str, Any] = {
        "model": "m",
        "benchmark": "b",
        "method": "reft" if weights is None else "baft",
        "record_id": "r",
        "kind": kind,
        "group": "",
        "index": 0,
        "prompt": f"a {kind}",
        "position": 0,
        "token": " x",
        "edited": True,
        "displacement": 1.0,
        "size": 2.0,
        "distance": 1.0,
        "spread": 0.5,
        "gap": 3.0,
        "tilt": 1.0,
        "slope": 4.0,
    }
    opened = [1.0] * len(moves) if weights is None else weights
    pairs = enumerate(zip(moves, opened, strict=True))
    return [row | changes | {"basis": k, "move": move, "weight": weight} for k, (move, weight) in pairs]


def bases(*positions: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A frame of positions with the columns of the schema."""
    frame = pd.DataFrame([row for rows in positions for row in rows])
    assert set(BASES.names) <= set(frame.columns)
    return frame
