"""Trials of invented searches, as the job that tunes writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from baft.results.areas import pareto_front
from baft.results.schema import TRIALS
from baft.results.store import write_rows


def write_search(
    path: Path, method: str, objectives: Sequence[float | None], settings: Sequence[dict[str, Any]], trials: int = 0
) -> Path:
    """A search whose trials have these objectives, None for a failed one; editing is the objective, locality 1 less it."""
    rows = [
        {
            "trial": number,
            "settings": "{}",
            "searched": json.dumps(own),
            "state": "failed" if objective is None else "done",
            "objective": objective or 0.0,
            "editing": objective,
            "locality": None if objective is None else 1 - objective,
            "pareto": None,
            "scores": [],
            "edits": 4,
            "failed_edits": 0,
            "seconds": 1.0,
            "error": "layer is 99, but this model has fewer" if objective is None else None,
        }
        for number, (objective, own) in enumerate(zip(objectives, settings, strict=True))
    ]
    points = [[float("nan") if row[side] is None else row[side] for side in ("editing", "locality")] for row in rows]
    rows = [{**row, "pareto": bool(on)} for row, on in zip(rows, pareto_front(points), strict=True)]
    config = {"trials": trials or len(rows), "method": {"method": method}}
    write_rows(rows, TRIALS, path, {"digest": "0123456789abcdef", "config": config})
    return path
