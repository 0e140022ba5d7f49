"""Rows of estimates as the cells of a table: a mean, a difference, a volume and how it stands to others."""

from __future__ import annotations

from typing import Any

import pandas as pd

from baft.report.notes import significance_mark
from baft.report.rendering import HOLE, estimate, percent
from baft.results.metrics import measure_of

VOLUME_HEADS = ("Volume", "Above", "Below")

ABOVE_BELOW = (
    "Above, below: how many others have less volume, or more, by a paired difference whose interval leaves 0 out. Each by "
    "itself: among many methods a few are by chance."
)


def mean_text(row: Any) -> str:
    """A row's mean with its interval, in its metric's unit."""
    return estimate(row.mean, row.low, row.high, unit=measure_of(row.metric).unit)


def difference_text(row: Any, level: float) -> str:
    """A row's paired difference with its interval, signed, and the mark of what stays significant at ``level``."""
    text = estimate(row.mean, row.low, row.high, unit=measure_of(row.metric).unit, signed=True)
    return text + significance_mark(row.p_holm, level)


def volume_texts(volume: tuple[float, float, float] | None, others: pd.DataFrame) -> list[str]:
    """What stands under :data:`VOLUME_HEADS`: a volume with its interval, and how many it exceeds or is exceeded by.

    ``others`` are the rows of its paired differences, with ``low`` and ``high``.
    """
    if volume is None or pd.isna(volume[0]):
        return [HOLE] * len(VOLUME_HEADS)
    counts = [str(int(others["low"].gt(0).sum())), str(int(others["high"].lt(0).sum()))]
    return [percent(*volume), *(counts if others["low"].notna().any() else [HOLE, HOLE])]
