"""Intervals, paired comparisons and trade-offs: few functions, each with what it assumes.

Records are the unit. Records of one stream share a model and are not independent, so resampling draws whole streams
(``clusters``); where each stream has one record this is the bootstrap over records. A seed gives the same answer
whatever order the records come in, because they are sorted by cluster first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]

# Resamples times clusters held at once by a bootstrap: 64 MiB of indices.
_BATCH_CELLS = 8_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its interval; ``low`` and ``high`` are NaN where fewer than two clusters leave it undefined."""

    mean: float
    low: float
    high: float
    records: int
    clusters: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of paired differences with its interval, and the p-value of no difference."""

    mean: float
    low: float
    high: float
    p: float
    records: int
    clusters: int


def mean_interval(
    values: npt.ArrayLike,
    clusters: Sequence[str] | npt.NDArray[np.str_],
    seeds: Sequence[str] | npt.NDArray[np.str_] | None = None,
    *,
    resamples: int,
    level: float,
    seed: int,
) -> Interval:
    """Mean over records with a percentile bootstrap interval at ``level``, drawing clusters with replacement.

    ``values`` and ``clusters`` have one entry a record. A replicate's mean is over the records drawn, so clusters of
    different sizes weigh by their records. The percentile interval is the one that rliable and most of the literature
    report; it needs some twenty clusters to have its level, and is of width 0 if all records agree.

    ``seeds`` says with which seed of the method each value was had. Seeds are a factor crossed with the clusters: where
    there are several, each replicate draws clusters and, independently, seeds, both with replacement, and takes the
    mean over all values of the drawn pairs (Owen and Eckles' pigeonhole bootstrap, Ann. Appl. Stat. 6, 2012). So the
    interval covers the choice of records and of seeds. With two or three seeds it is a coarse one for the latter.
    ``records`` then counts values. Raises ``ValueError`` without records.
    """
    if seeds is not None and len(set(seeds)) > 1:
        return _crossed_interval(values, clusters, seeds, resamples=resamples, level=level, seed=seed)
    sums, sizes = _by_cluster(values, clusters)
    mean = float(sums.sum() / sizes.sum())
    low, high = _percentiles(sums, sizes, resamples, level, seed)
    return Interval(mean, low, high, int(sizes.sum()), len(sums))


def paired_difference(
    ours: npt.ArrayLike,
    reference: npt.ArrayLike,
    clusters: Sequence[str] | npt.NDArray[np.str_],
    seeds: Sequence[str] | npt.NDArray[np.str_] | None = None,
    *,
    resamples: int,
    permutations: int,
    level: float,
    seed: int,
) -> Difference:
    """Mean of ``ours - reference`` on the same records, with interval and p-value.

    The interval is :func:`mean_interval`'s of the differences. The p-value is two-sided, from the permutation test that
    flips the signs of whole clusters, which is exact under the hypothesis that the two are exchangeable within each
    cluster; all flips are enumerated where there are no more than ``permutations`` of them, else that many are drawn,
    and the p-value is then at least 2 / (permutations + 1). A cluster's values of all ``seeds`` are flipped together: the
    p-value is about the seeds that were run.
    """
    differences = np.asarray(ours, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    found = mean_interval(differences, clusters, seeds, resamples=resamples, level=level, seed=seed)
    sums, _ = _by_cluster(differences, clusters)
    return Difference(
        found.mean, found.low, found.high, _sign_flip_p(sums, permutations, seed), found.records, found.clusters
    )


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


def hypervolume_interval(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    clusters: Sequence[str] | npt.NDArray[np.str_],
    *,
    reference: tuple[float, float] = (0.0, 0.0),
    resamples: int,
    level: float,
    seed: int,
) -> Interval:
    """:func:`hypervolume` of points that are means over records, with a percentile bootstrap interval.

    ``x`` and ``y`` are (points, records); where one is NaN, the mean is over the other records, and a point of which a
    replicate has no record adds nothing to its area. Each replicate draws clusters once for all points, so that their
    dependence is kept. The area of means is biased upwards by noise (a maximum is taken): compare areas only between
    sets of as many points on as many records.
    """
    coordinates = np.concatenate([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)])
    points = len(coordinates) // 2
    value, low, high, sizes = _of_means(
        coordinates,
        clusters,
        lambda means: hypervolume(means[:points], means[points:], reference),
        resamples=resamples,
        level=level,
        seed=seed,
    )
    return Interval(value, low, high, int(sizes.sum()), len(sizes))


def harmonic_interval(
    parts: npt.ArrayLike,
    clusters: Sequence[str] | npt.NDArray[np.str_],
    *,
    resamples: int,
    level: float,
    seed: int,
) -> Interval:
    """Harmonic mean of the means over records of each row of ``parts``, with a percentile bootstrap interval.

    ``parts`` are (parts, records), none negative; NaN where a record has no value of a part, which every part has of some
    record. It is 0 if one mean is 0, and a replicate without any record of a part counts that part as 0. The records
    counted are those with all parts. CounterFact's S (Meng et al., 2022) is that of efficacy, paraphrase and neighbourhood.
    """
    table = np.asarray(parts, dtype=np.float64)
    value, low, high, sizes = _of_means(table, clusters, _harmonic, resamples=resamples, level=level, seed=seed)
    return Interval(value, low, high, int((~np.isnan(table)).all(axis=0).sum()), len(sizes))


def _harmonic(means: Floats) -> Floats:
    # With a mean of 0 the reciprocals have no sum; the limit is 0.
    reciprocals = np.divide(1.0, means, out=np.ones_like(means), where=means > 0).sum(axis=0)
    harmonic: Floats = np.where((means > 0).all(axis=0), len(means) / reciprocals, 0.0)
    return harmonic


def _of_means(
    table: Floats,
    clusters: Sequence[str] | npt.NDArray[np.str_],
    statistic: Callable[[Floats], Floats],
    *,
    resamples: int,
    level: float,
    seed: int,
) -> tuple[float, float, float, Floats]:
    """``statistic`` of the rows' means over records, its percentile bootstrap interval, and the clusters' sizes.

    NaN is left out of a mean; a mean of no record is 0. Each replicate draws clusters once for all rows.
    """
    sizes = _by_cluster(np.zeros(len(clusters)), clusters)[1]
    sums = np.array([_by_cluster(np.nan_to_num(row), clusters)[0] for row in table])
    counts = np.array([_by_cluster(~np.isnan(row), clusters)[0] for row in table])

    def value(drawn: npt.NDArray[np.int64], axis: int = -1) -> Floats:
        found = counts[:, drawn].sum(axis=axis)
        return statistic(np.divide(sums[:, drawn].sum(axis=axis), found, out=np.zeros_like(found), where=found > 0))

    everything = np.arange(len(sizes))
    low, high = float("nan"), float("nan")
    if len(sizes) > 1:
        drawn = stats.bootstrap(
            (everything,),
            value,
            n_resamples=resamples,
            batch=max(1, _BATCH_CELLS // (2 * len(sizes) * len(sums))),
            vectorized=True,
            confidence_level=level,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
        low, high = (float(end) for end in drawn.confidence_interval)
    return float(value(everything)), low, high, sizes


def _by_cluster(values: npt.ArrayLike, clusters: Sequence[str] | npt.NDArray[np.str_]) -> tuple[Floats, Floats]:
    """Sum of the values, and number of records, of each cluster, in an order that only the data decide."""
    given = np.asarray(values, dtype=np.float64)
    names = np.asarray(clusters)
    if given.shape != names.shape or given.ndim != 1:
        raise ValueError(f"one cluster a value is needed, not {names.shape} for {given.shape}")
    if not len(given):
        raise ValueError("no records to take a mean of")
    # Sorting by value within a cluster fixes the order of summation, which decides the last bit.
    order = np.lexsort((given, names))
    _, start, sizes = np.unique(names[order], return_index=True, return_counts=True)
    return np.add.reduceat(given[order], start), sizes.astype(np.float64)


def _crossed_interval(
    values: npt.ArrayLike,
    clusters: Sequence[str] | npt.NDArray[np.str_],
    seeds: Sequence[str] | npt.NDArray[np.str_],
    *,
    resamples: int,
    level: float,
    seed: int,
) -> Interval:
    given = np.asarray(values, dtype=np.float64)
    names, rows = np.unique(np.asarray(clusters), return_inverse=True)
    runs, columns = np.unique(np.asarray(seeds), return_inverse=True)
    sums, sizes = np.zeros((len(names), len(runs))), np.zeros((len(names), len(runs)))
    order = np.lexsort((given, columns, rows))
    np.add.at(sums, (rows[order], columns[order]), given[order])
    np.add.at(sizes, (rows, columns), 1.0)
    mean, low, high = float(sums.sum() / sizes.sum()), float("nan"), float("nan")

    def drawn_mean(drawn: npt.NDArray[np.int64], run: npt.NDArray[np.int64], axis: int = -1) -> Floats:
        pairs = (drawn[..., :, None], run[..., None, :])
        found = sizes[pairs].sum(axis=(-2, -1))
        # A replicate of pairs that were all not measured says nothing: it has the mean of all.
        means: Floats = np.divide(sums[pairs].sum(axis=(-2, -1)), found, out=np.full_like(found, mean), where=found > 0)
        return means

    if len(names) > 1:
        found = stats.bootstrap(
            (np.arange(len(names)), np.arange(len(runs))),
            drawn_mean,
            n_resamples=resamples,
            batch=max(1, _BATCH_CELLS // (2 * sums.size)),
            vectorized=True,
            confidence_level=level,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
        low, high = (float(end) for end in found.confidence_interval)
    return Interval(mean, low, high, int(sizes.sum()), len(names))


def _percentiles(sums: Floats, sizes: Floats, resamples: int, level: float, seed: int) -> tuple[float, float]:
    if len(sums) < 2:
        return float("nan"), float("nan")
    found = stats.bootstrap(
        (sums, sizes),
        lambda total, size, axis=-1: total.sum(axis=axis) / size.sum(axis=axis),
        paired=True,
        n_resamples=resamples,
        batch=max(1, _BATCH_CELLS // len(sums)),
        vectorized=True,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _sign_flip_p(sums: Floats, permutations: int, seed: int) -> float:
    # Flipping a zero changes nothing: leaving zeros out gives the same p-value from far fewer clusters.
    moving = sums[sums != 0]
    if len(moving) < 2:
        return 1.0
    found = stats.permutation_test(
        (moving,),
        lambda total, axis=-1: total.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=permutations,
        batch=max(1, _BATCH_CELLS // len(moving)),
        alternative="two-sided",
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)
