"""Which points of a trade-off no other exceeds, and the area or volume that points dominate."""

from __future__ import annotations

import moocore
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def pareto_front(points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which rows of ``points`` (n, 2) no other row dominates; more is better in both columns.

    A row is dominated by another that is at least as good in both and better in one; equal rows are both on the front.
    A row with NaN is never on the front and dominates nothing.
    """
    table = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    as_good = (table[:, None, :] >= table[None, :, :]).all(axis=2)
    better = (table[:, None, :] > table[None, :, :]).any(axis=2)
    dominated = np.asarray((as_good & better).any(axis=0))
    return ~dominated & ~np.isnan(table).any(axis=1)


def hypervolume(x: npt.ArrayLike, y: npt.ArrayLike, reference: tuple[float, float] = (0.0, 0.0)) -> Floats:
    """Area that points dominate above ``reference``, more being better in both directions.

    ``x`` and ``y`` are (points, …): the area is taken over the first axis, for each of the rest. Points at or below the
    reference add nothing. Zitzler and Thiele (1999), in two dimensions.
    """
    right = np.maximum(np.asarray(x, dtype=np.float64) - reference[0], 0.0)
    up = np.maximum(np.asarray(y, dtype=np.float64) - reference[1], 0.0)
    order = np.argsort(-right, axis=0, kind="stable")
    right = np.take_along_axis(right, order, axis=0)
    height = np.maximum.accumulate(np.take_along_axis(up, order, axis=0), axis=0)
    width = right - np.concatenate([right[1:], np.zeros_like(right[:1])])
    area: Floats = (width * height).sum(axis=0)
    return area


def volumes(points: npt.ArrayLike) -> Floats:
    """Volume that points dominate above the origin, more being better in every measure.

    ``points`` are (points, measures, draws): a volume for each draw. Of a single point it is the product of its measures;
    of several it is computed by ``moocore`` (Fonseca, Paquete and López-Ibáñez, 2006). NaN where a measure is NaN.
    """
    given = np.maximum(np.asarray(points, dtype=np.float64), 0.0)
    if len(given) == 1:
        product: Floats = given[0].prod(axis=0)
        return product
    origin = np.zeros(given.shape[1])
    each = (given[:, :, n] for n in range(given.shape[2]))
    return np.array(
        [np.nan if np.isnan(one).any() else float(moocore.hypervolume(one, ref=origin, maximise=True)) for one in each]
    )
