"""Intervals for means of bounded values that keep their level however few the units and however skewed the values.

The units seen get random weights, drawn from a flat Dirichlet distribution, together with one unseen unit at an end of
the range: at the upper end for the upper limit, at the lower for the lower. A limit is a quantile of the mean under such
weights. The method is Gaffke's (2005; Learned-Miller and Thomas, "A new confidence interval for the mean of a bounded
random variable", 2019). For yes/no values it is Clopper and Pearson's exact interval; for others its coverage is a
conjecture that no simulation has contradicted (docs/metrics.md has ours). As a test that a mean difference is 0 it is, for
differences of yes/no values, McNemar's exact test.

Weights from a flat Dirichlet distribution are exponential variables divided by their sum, so that a tail of the weighted
mean is the chance that a weighted sum of exponential variables is positive. :func:`positive_chance` has it by
numerical integration: nothing is drawn at random.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import optimize

Floats = npt.NDArray[np.float64]

# The integrand falls as exp(-2 |v|) or faster. The tests hold the sum over these nodes to seven digits.
_STEP = 0.125
_NODES = _STEP * (np.arange(150) + 0.5)


def limits(sums: Floats, sizes: Floats, ends: tuple[float, float], level: float) -> tuple[float, float]:
    """Interval at ``level`` for the mean of values that lie between ``ends``.

    ``sums`` and ``sizes`` have one entry a unit: the sum and the number of its values. The unseen unit is as large as
    the unit of a value drawn at random, which keeps the level where units differ in size.
    """
    low, high = ends
    tail = (1 - level) / 2
    return -_upper(-sums, sizes, -low, tail), _upper(sums, sizes, high, tail)


def no_difference_p(sums: Floats, sizes: Floats, ends: tuple[float, float]) -> float:
    """Two-sided p-value of a mean of 0: the least 1 - level at which :func:`limits` leaves 0 out."""
    low, high = ends
    above = _chance_above(0.0, sums, sizes, high)
    below = _chance_above(0.0, -sums, sizes, -low)
    return min(1.0, 2 * min(above, below))


def unseen_size(sizes: Floats) -> float:
    """Size of the unit that a value drawn at random belongs to, on average."""
    return float((sizes**2).sum() / sizes.sum())


def _upper(sums: Floats, sizes: Floats, high: float, tail: float) -> float:
    least = float((sums / sizes).min())
    if least >= high:
        return high
    return float(optimize.brentq(lambda mean: _chance_above(mean, sums, sizes, high) - tail, least, high, xtol=1e-10))


def _chance_above(mean: float, sums: Floats, sizes: Floats, high: float) -> float:
    """Chance that the weighted mean of the units seen and an unseen one at ``high`` is above ``mean``."""
    terms, counts = np.unique(sums - mean * sizes, return_counts=True)
    unseen = unseen_size(sizes) * (high - mean)
    return positive_chance(np.append(terms, unseen), np.append(counts, 1).astype(np.float64))


def positive_chance(factors: Floats, shapes: Floats) -> float:
    """Chance that the sum of ``factors`` times independent gamma variables of these ``shapes`` is above 0.

    The inversion integral of the moment generating function (Gil-Pelaez, 1951), along the vertical line through the
    integrand's saddle point, where it does not oscillate and the trapezium rule converges exponentially.
    """
    there = factors != 0
    factors, shapes = factors[there], shapes[there]
    if not len(factors) or factors.max() < 0:
        return 0.0
    if factors.min() > 0:
        return 1.0
    factors = factors / factors.max()

    def slope(at: float) -> float:
        return float((shapes * factors / (1 - factors * at)).sum() - 1 / at)

    saddle = float(optimize.brentq(slope, 1e-300, 1 - 1e-16, xtol=1e-300, rtol=1e-12))
    curvature = float((shapes * (factors / (1 - factors * saddle)) ** 2).sum() + saddle**-2)
    width = 1 / math.sqrt(curvature)
    points = saddle + 1j * width * np.sinh(_NODES)
    logs = -(shapes * np.log(1 - np.multiply.outer(points, factors))).sum(axis=1) - np.log(points)
    integrand = np.exp(logs).real * width * np.cosh(_NODES)
    return float(np.clip(integrand.sum() * _STEP / math.pi, 0.0, 1.0))
