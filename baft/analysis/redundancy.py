"""Redundant dimensions: how many bases of an edit hardly move an input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import integrate

from baft.analysis.inputs import EDITING, GENERAL, INPUT, IRRELEVANT

FACTORS = (2, 5, 10, 20, 50, 100)
_SHOWN = {EDITING: EDITING, IRRELEVANT: IRRELEVANT, GENERAL: IRRELEVANT}


def redundant(updates: ArrayLike, factors: Sequence[float] = FACTORS) -> NDArray[np.int64]:
    """Redundant dimensions (n, factors) of updates (n, r): those at least M times smaller than the largest, for each M.

    Sizes are compared without their signs, M must be above 1. An update that is zero throughout is redundant throughout.
    """
    sizes = np.abs(np.asarray(updates, dtype=np.float64))
    smaller = sizes[:, None, :] * np.asarray(factors, dtype=np.float64)[:, None] <= sizes.max(1)[:, None, None]
    counts: NDArray[np.int64] = smaller.sum(2)
    return counts


def expected_redundant(rank: int, factor: float) -> float:
    """Redundant dimensions to be expected of ``rank`` independent normal numbers: what chance alone gives.

    r(r − 1) ∫ f(m) F(m)^(r−2) F(m/M) dm over the largest size m, with f and F of the half-normal distribution.
    """
    if rank < 2:
        return 0.0

    def density(m: float) -> float:
        others = math.erf(m / math.sqrt(2)) ** (rank - 2) * math.erf(m / factor / math.sqrt(2))
        return math.sqrt(2 / math.pi) * math.exp(-m * m / 2) * others

    return float(rank * (rank - 1) * integrate.quad(density, 0, 40, limit=200, points=[1, 2, 4])[0])


def redundancy_frame(bases: pd.DataFrame, factors: Sequence[float] = FACTORS) -> pd.DataFrame:
    """Redundant dimensions, one row a model, benchmark, method, ``inputs`` (editing, irrelevant) and ``factor``.

    ``bases`` are rows of :data:`~baft.results.schema.BASES` with ``model`` and ``benchmark``. Updates are those of bases of
    weight 1, their sizes averaged over an input's edited positions. ``mean`` is over the inputs of a record, then over
    records; ``low`` and ``high`` are the least and the most of any input; ``chance`` is :func:`expected_redundant`.
    """
    shown = bases[bases["edited"] & bases["kind"].isin(_SHOWN)]
    sizes = shown.assign(size=shown["move"].abs()).groupby([*INPUT, "basis"])["size"].mean().unstack("basis")
    counts = pd.DataFrame(redundant(sizes.to_numpy(), factors), index=sizes.index, columns=list(factors))
    long = counts.melt(ignore_index=False, var_name="factor", value_name="count").reset_index()
    long["inputs"] = long["kind"].map(_SHOWN)
    rows = []
    by = ["model", "benchmark", "method", "inputs", "factor"]
    for keys, group in long.groupby(by):
        row: dict[str, Any] = {**dict(zip(by, keys, strict=True)), "rank": sizes.shape[1]}
        row |= {"mean": group.groupby("record_id")["count"].mean().mean(), "chance": 0.0}
        row |= {"low": group["count"].min(), "high": group["count"].max()}
        rows.append(row | {"records": group["record_id"].nunique(), "tested": len(group)})
    frame = pd.DataFrame(rows)
    chance = {factor: expected_redundant(sizes.shape[1], factor) for factor in factors}
    return frame.assign(chance=frame["factor"].map(chance))
