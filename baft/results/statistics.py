"""Intervals and paired comparisons: few functions, each with what it assumes.

What is independent is a *unit*: a stream of edits, or the records that share a question (:mod:`baft.results.units`). A
mean is over all values, so that a unit weighs by its values. Intervals of bounded values are those of
:mod:`baft.results.dirichlet`, of others those of :mod:`baft.results.studentised`. Fewer than :data:`LEAST_UNITS` units
give no interval and no test: their limits are NaN.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from baft.results import dirichlet, studentised
from baft.results.areas import hypervolume, volumes

Floats = npt.NDArray[np.float64]
Names = Sequence[str] | npt.NDArray[np.str_]

LEAST_UNITS = 5
"""From fewer independent units no interval is made: it would leave almost everything possible, or pretend."""

# Dirichlet weights drawn for a statistic of several means, the same in every call; and weights held at once (16 MiB).
_DRAWS = 4000
_BATCH_CELLS = 2_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its interval; ``low`` and ``high`` are NaN where there is none. ``records`` counts values."""

    mean: float
    low: float
    high: float
    records: int
    units: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of paired differences with its interval, and the p-value of no difference (NaN: untestable)."""

    mean: float
    low: float
    high: float
    p: float
    records: int
    units: int


def mean_interval(values: npt.ArrayLike, units: Names, ends: tuple[float, float], *, level: float) -> Interval:
    """Mean over values with its interval at ``level``. ``values`` and ``units`` have one entry a value.

    ``ends`` are the least and the greatest value possible. With two finite ends the interval keeps its level whatever
    the distribution; for yes/no values of independent records it is Clopper and Pearson's. With an infinite one it is the
    studentised bootstrap's, cut at a finite end. Several values of one unit, such as a record's with several seeds of
    the method, may depend on each other in any way; the interval is about further units. Raises ``ValueError`` without
    values, or if one is outside ``ends``.
    """
    sums, sizes = _by_unit(values, units, ends)
    low, high = _limits_of_mean(sums, sizes, ends, level) if len(sums) >= LEAST_UNITS else (math.nan, math.nan)
    return Interval(float(sums.sum() / sizes.sum()), low, high, int(sizes.sum()), len(sums))


# By digest, for the values of a large study would not fit into memory twice.
_FOUND: dict[bytes, tuple[float, float]] = {}


def _limits_of_mean(sums: Floats, sizes: Floats, ends: tuple[float, float], level: float) -> tuple[float, float]:
    """Worked out once in a process: the tables and figures of a report ask for many intervals again."""
    asked = hashlib.blake2b(repr((ends, level)).encode(), digest_size=16)
    asked.update(sums.tobytes())
    asked.update(sizes.tobytes())
    key = asked.digest()
    if key not in _FOUND:
        if math.isinf(ends[0]) or math.isinf(ends[1]):
            low, high, _ = studentised.limits_and_p(sums, sizes, level)
            _FOUND[key] = float(np.clip(low, *ends)), float(np.clip(high, *ends))
        else:
            _FOUND[key] = dirichlet.limits(sums, sizes, ends, level)
    return _FOUND[key]


def paired_difference(
    ours: npt.ArrayLike, reference: npt.ArrayLike, units: Names, ends: tuple[float, float], *, level: float
) -> Difference:
    """Mean of ``ours - reference``, values of the same records that lie between ``ends``, with interval and p-value.

    The interval is :func:`mean_interval`'s of the differences, and the p-value is its inversion: p < 1 - level where it
    leaves 0 out. So the hypothesis is that the mean difference is 0, whatever else differs between the two; no symmetry is
    assumed. For yes/no values of independent records this is McNemar's exact test. p is NaN where so few units could
    never give a p below 1 - level (:func:`testable`), or the bootstrap can't tell.
    """
    differences = np.asarray(ours, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    low, high = ends
    apart = (low - high, high - low)
    found = mean_interval(differences, units, apart, level=level)
    p = math.nan
    if testable(found.units, level):
        sums, sizes = _by_unit(differences, units, apart)
        if math.isinf(high - low):
            p = studentised.limits_and_p(sums, sizes, level)[2]
        else:
            p = dirichlet.no_difference_p(sums, sizes, apart)
    return Difference(found.mean, found.low, found.high, p, found.records, found.units)


def testable(units: int, level: float) -> bool:
    """Whether so many independent units can give a p-value below 1 - ``level``: if all differ as much as they can."""
    return units >= LEAST_UNITS and 2 * 0.5**units < 1 - level


def holm(p_values: npt.ArrayLike) -> Floats:
    """Holm's step-down adjusted p-values, in the order given: they control the chance of any false rejection.

    Holm, Scand. J. Statist. 6 (1979): the k-th smallest of m is multiplied by m - k + 1, made monotone, cut at 1.
    NaN (a test that could not be made) stays NaN and is not counted.
    """
    given = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full_like(given, np.nan)
    tested = np.flatnonzero(~np.isnan(given))
    order = tested[np.argsort(given[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1.0)
    return adjusted


def hypervolume_interval(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    units: Names,
    *,
    reference: tuple[float, float] = (0.0, 0.0),
    level: float,
) -> Interval:
    """:func:`~baft.results.areas.hypervolume` of points that are means over records of shares, with its interval.

    ``x`` and ``y`` are (points, records); where one is NaN, the mean is over the other records. Units get one weight for
    all points, so that their dependence is kept. The area of means is biased upwards by noise (a maximum is taken):
    compare areas only between sets of as many points on as many records.
    """
    coordinates = np.concatenate([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)])
    points = len(coordinates) // 2

    def area(means: Floats) -> Floats:
        return hypervolume(means[:points], means[points:], reference)

    value, low, high, count = _of_means(coordinates, units, area, level)
    return Interval(value, low, high, coordinates.shape[1], count)


def harmonic_interval(parts: npt.ArrayLike, units: Names, *, level: float) -> Interval:
    """Harmonic mean of the means over records of each row of ``parts``, shares, with its interval.

    ``parts`` are (parts, records); NaN where a record has no value of a part, which every part has of some record. It is 0
    if one mean is 0. The records counted are those with all parts. CounterFact's S (Meng et al., 2022) is that of
    efficacy, paraphrase and neighbourhood.
    """
    table = np.asarray(parts, dtype=np.float64)
    value, low, high, count = _of_means(table, units, _harmonic, level)
    return Interval(value, low, high, int((~np.isnan(table)).all(axis=0).sum()), count)


def _harmonic(means: Floats) -> Floats:
    # With a mean of 0 the reciprocals have no sum; the limit is 0.
    reciprocals = np.divide(1.0, means, out=np.ones_like(means), where=means > 0).sum(axis=0)
    harmonic: Floats = np.where((means > 0).all(axis=0), len(means) / reciprocals, 0.0)
    return harmonic


@dataclass(frozen=True, slots=True)
class Volumes:
    """Volumes that lines of points dominate, by line, and by (line, other) the one's less the other's."""

    own: Mapping[str, Interval]
    apart: Mapping[tuple[str, str], Interval]


def volume_intervals(lines: Mapping[str, npt.ArrayLike], units: Names, *, level: float) -> Volumes:
    """:func:`~baft.results.areas.volumes` of points that are means over records of shares, with intervals.

    Each of ``lines`` is (points, measures, records), of the same records; where it is NaN, the mean is over the other
    records. Units get one weight for all lines, so that a difference is paired. Its limits have the unseen unit at the
    end of the range that is worst for the one line and best for the other, as those of a paired difference of means have.
    """
    tables = {name: np.asarray(line, dtype=np.float64) for name, line in lines.items()}
    shapes = {name: table.shape for name, table in tables.items()}
    rows = np.concatenate([table.reshape(-1, table.shape[2]) for table in tables.values()])
    cuts = np.cumsum([shape[0] * shape[1] for shape in shapes.values()])[:-1]

    def each(means: Floats) -> Floats:
        parts = np.split(means, cuts)
        return np.stack(
            [volumes(part.reshape(*shapes[name][:2], -1)) for name, part in zip(shapes, parts, strict=True)]
        )

    point, low, high, count = _weighed(rows, units, each)
    tail, names, records = (1 - level) / 2, list(tables), rows.shape[1]
    own = {
        name: Interval(float(point[n]), *_limits(low[n], high[n], tail), records, count) for n, name in enumerate(names)
    }
    apart = {
        (name, other): Interval(
            float(point[n] - point[m]), *_limits(low[n] - high[m], high[n] - low[m], tail), records, count
        )
        for n, name in enumerate(names)
        for m, other in enumerate(names)
        if n != m
    }
    return Volumes(own, apart)


def _limits(low: Floats, high: Floats, tail: float) -> tuple[float, float]:
    if not low.size:
        return math.nan, math.nan
    return float(np.quantile(low, tail)), float(np.quantile(high, 1 - tail))


def _of_means(
    table: Floats, units: Names, statistic: Callable[[Floats], Floats], level: float
) -> tuple[float, float, float, int]:
    """``statistic`` of the rows' means over records, its interval, and the number of units."""
    point, low, high, count = _weighed(table, units, lambda means: statistic(means)[None])
    return float(point[0]), *_limits(low[0], high[0], (1 - level) / 2), count


def _weighed(table: Floats, units: Names, statistics: Callable[[Floats], Floats]) -> tuple[Floats, Floats, Floats, int]:
    """Statistics of the rows' means over records (K,), and (K, draws) of weighed means; and the number of units.

    As in :mod:`baft.results.dirichlet`, with one unseen unit that has 0 (the lower draws), or 1 (the upper), in every row
    at once; a statistic grows with every mean. NaN is left out of a mean, and a row of NaN alone has 0. There are no
    draws where the units are too few.
    """
    sums = np.array([_by_unit(np.nan_to_num(row), units, (0.0, 1.0))[0] for row in table])
    sizes = np.array([_by_unit(~np.isnan(row), units, (0.0, 1.0))[0] for row in table])
    count = sums.shape[1]

    def of(weighed: Floats, seen: Floats) -> Floats:
        return statistics(np.divide(weighed, seen, out=np.zeros_like(seen), where=seen > 0))

    point = of(sums.sum(axis=1)[:, None], sizes.sum(axis=1)[:, None])[:, 0]
    if count < LEAST_UNITS:
        none = np.empty((len(point), 0))
        return point, none, none, count
    unseen = np.array([dirichlet.unseen_size(row) if row.any() else 0.0 for row in sizes])[:, None]
    rng, batch = np.random.default_rng(0), max(1, _BATCH_CELLS // count)
    low, high = [], []
    for start in range(0, _DRAWS, batch):
        weights = rng.exponential(size=(count + 1, min(batch, _DRAWS - start)))
        weighed, seen = sums @ weights[1:], sizes @ weights[1:] + unseen * weights[0]
        low.append(of(weighed, seen))
        high.append(of(weighed + unseen * weights[0], seen))
    return point, np.concatenate(low, axis=1), np.concatenate(high, axis=1), count


def _by_unit(values: npt.ArrayLike, units: Names, ends: tuple[float, float]) -> tuple[Floats, Floats]:
    """Sum of the values, and number of values, of each unit, in an order that only the data decide."""
    given = np.asarray(values, dtype=np.float64)
    names = np.asarray(units)
    if given.shape != names.shape or given.ndim != 1:
        raise ValueError(f"one unit a value is needed, not {names.shape} for {given.shape}")
    if not len(given):
        raise ValueError("no values to take a mean of")
    # Means of shares may leave the range by a rounding.
    if not ((given >= ends[0] - 1e-9) & (given <= ends[1] + 1e-9)).all():
        raise ValueError(f"values between {ends[0]:g} and {ends[1]:g} are needed, not {given.min()} to {given.max()}")
    # Sorting by value within a unit fixes the order of summation, which decides the last bit.
    order = np.lexsort((given, names))
    _, start, sizes = np.unique(names[order], return_index=True, return_counts=True)
    return np.add.reduceat(given[order].clip(*ends), start), sizes.astype(np.float64)
