"""The generality–locality bound of an edit, beside what it does to irrelevant inputs (docs/analysis.md)."""

from __future__ import annotations

import pandas as pd

from baft.analysis.inputs import GENERAL, INPUT, IRRELEVANT, REPHRASING

EDIT = ["model", "benchmark", "method", "record_id"]


def bound_frame(bases: pd.DataFrame) -> pd.DataFrame:
    """Displacement and bounds of the irrelevant inputs at their last edited position, one row an edit and input.

    Beside :data:`~baft.results.schema.BASES`' columns of the position: ``bound`` = gap − slope · distance,
    ``bound_along`` = gap − tilt, and of the edit ``radius`` (the largest distance of its rephrasings) and ``spread``
    (the largest of theirs), NaN without rephrasings.
    """
    last = last_positions(bases)
    around = last[last["kind"].eq(REPHRASING)].groupby(EDIT).agg(radius=("distance", "max"), spread=("spread", "max"))
    shown = last[last["kind"].isin([IRRELEVANT, GENERAL])].drop(columns="spread")
    frame = shown.assign(
        bound=shown["gap"] - shown["slope"] * shown["distance"], bound_along=shown["gap"] - shown["tilt"]
    )
    return frame.join(around, on=EDIT).reset_index(drop=True)


def last_positions(bases: pd.DataFrame) -> pd.DataFrame:
    """One row an input: what the edit does at its last edited position."""
    columns = ["displacement", "size", "distance", "spread", "gap", "tilt", "slope"]
    edited = bases[bases["edited"] & bases["basis"].eq(0)].sort_values([*INPUT, "position"])
    return edited.groupby(INPUT, as_index=False)[columns].last()
