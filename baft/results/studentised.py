"""Intervals and tests for means of values without an upper end, by the studentised bootstrap.

No interval keeps its level for every distribution without ends (Bahadur and Savage, 1956). This one assumes that the
skewness of the mean can be seen in the sample: docs/metrics.md has what it covers, of exponential and other values.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_DRAWS = 9999
# Draws times units held at once: 16 MiB of indices.
_BATCH_CELLS = 2_000_000


def limits_and_p(sums: Floats, sizes: Floats, level: float) -> tuple[float, float, float]:
    """Interval at ``level`` for the mean, and the two-sided p-value of a mean of 0.

    ``sums`` and ``sizes`` have one entry a unit. Efron's bootstrap-t (1981): units are drawn with replacement, and the
    mean's distance from the sample's in standard errors has the quantiles that the interval is made of. The draws are
    the same in every call. All three are NaN where too many units agree for the drawn means to have a standard error;
    p is 1 if all values are 0.
    """
    mean, error = _mean_and_error(sums, sizes)
    if not error > 0:
        return math.nan, math.nan, (1.0 if mean == 0 else math.nan)
    pivots = np.sort(_drawn_pivots(sums, sizes, mean))
    # Counting the sample itself among the draws keeps the p-value above 0.
    seen = mean / error
    p = 2 * min(_share(pivots >= seen), _share(pivots <= seen))
    least, most = np.quantile(pivots, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    if not (np.isfinite(least) and np.isfinite(most)):
        return math.nan, math.nan, min(1.0, p)
    return mean - most * error, mean - least * error, min(1.0, p)


def _share(which: npt.NDArray[np.bool_]) -> float:
    return float((1 + which.sum()) / (1 + len(which)))


def _mean_and_error(sums: Floats, sizes: Floats) -> tuple[float, float]:
    mean, error = _means_and_errors(sums[None], sizes[None])
    return float(mean[0]), float(error[0])


def _means_and_errors(sums: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """Ratio estimates of rows of units, and their standard errors by linearisation."""
    units, values = sums.shape[1], sizes.sum(axis=1)
    means = sums.sum(axis=1) / values
    apart = sums - means[:, None] * sizes
    # What is left of equal values after rounding is no spread.
    apart[np.abs(apart) <= 1e-12 * np.abs(sums)] = 0.0
    return means, np.sqrt((apart**2).sum(axis=1) * units / (units - 1)) / values


def _drawn_pivots(sums: Floats, sizes: Floats, mean: float) -> Floats:
    rng, units = np.random.default_rng(0), len(sums)
    batch = max(1, _BATCH_CELLS // units)
    pieces = []
    for start in range(0, _DRAWS, batch):
        drawn = rng.integers(0, units, (min(batch, _DRAWS - start), units))
        means, errors = _means_and_errors(sums[drawn], sizes[drawn])
        away = means - mean
        far = np.where(np.abs(away) > 1e-12 * abs(mean), np.copysign(math.inf, away), 0.0)
        pieces.append(np.divide(away, errors, out=far, where=errors > 0))
    return np.concatenate(pieces)
