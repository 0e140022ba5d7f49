"""Weights of bases: how open each basis is for each kind of input, and how far the mean tells them apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from baft.analysis.inputs import EDITING, GENERAL, INPUT, IRRELEVANT, PORTABILITY, REPHRASING

RELEVANT = (EDITING, REPHRASING, PORTABILITY)
APART = (IRRELEVANT, GENERAL)

ALIKE = 0.05
"""Mean weights that differ by no more don't vary: their order says nothing."""

_EDIT = ["model", "benchmark", "method", "record_id"]


def auc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive score exceeds a negative one, ties counting half.

    The Mann–Whitney statistic over the number of pairs. NaN if either is empty.
    """
    high, low = np.asarray(positive, dtype=np.float64), np.asarray(negative, dtype=np.float64)
    if not len(high) or not len(low):
        return float("nan")
    ranks = stats.rankdata(np.concatenate([high, low]))[: len(high)]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def input_weights(bases: pd.DataFrame) -> pd.DataFrame:
    """The weight of each basis at each input, averaged over its edited positions: inputs by bases."""
    shown = bases[bases["edited"]]
    return shown.groupby([*INPUT, "basis"])["weight"].mean().unstack("basis")


def sorted_weights(bases: pd.DataFrame) -> pd.DataFrame:
    """Weights of each input sorted downwards, then averaged over a record's inputs of a kind.

    One row a model, benchmark, method, record, kind and ``place`` (1: the largest weight of each input), with ``weight``.
    """
    weights = input_weights(bases)
    falling = pd.DataFrame(-np.sort(-weights.to_numpy(), axis=1), index=weights.index)
    falling.columns = pd.RangeIndex(1, falling.shape[1] + 1, name="place")
    means = falling.groupby([*_EDIT, "kind"]).mean()
    return means.melt(ignore_index=False, var_name="place", value_name="weight").reset_index()


def separation(bases: pd.DataFrame) -> pd.DataFrame:
    """How far the mean weight of an input tells what an edit is about from what it is not, within each record.

    One row a model, benchmark, method, record, ``kind`` (editing, rephrasing, portability) and ``apart`` (irrelevant,
    general) that the record has both of, with the ``difference`` of the two kinds' mean weights and the ``auc``, NaN where
    no two of these inputs differ by more than :data:`ALIKE`: a perfect order of weights that are all but the same would
    mislead. Scores are compared within a record only, for each has weights of its own.
    """
    scores = input_weights(bases).mean(axis=1).reset_index(name="score")
    rows = []
    for keys, group in scores.groupby(_EDIT):
        found = {kind: own["score"].to_numpy() for kind, own in group.groupby("kind")}
        for kind in RELEVANT:
            for apart in APART:
                if kind in found and apart in found:
                    names = dict(zip(_EDIT, keys, strict=True)) | {"kind": kind, "apart": apart}
                    rows.append(names | _told_apart(found[kind], found[apart]))
    return pd.DataFrame(rows, columns=[*_EDIT, "kind", "apart", "difference", "auc"])


def _told_apart(own: NDArray[np.float64], other: NDArray[np.float64]) -> dict[str, float]:
    varies = float(np.ptp(np.concatenate([own, other]))) > ALIKE
    return {"difference": float(own.mean() - other.mean()), "auc": auc(own, other) if varies else float("nan")}
