"""The intervals of bounded means against exact laws and drawn weights, and how often they hold the true mean."""

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats

from baft.results import dirichlet

RATES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)


def test_chance_that_one_gamma_exceeds_another() -> None:
    # P(a G1 > b G2) with shapes j and k: G1 / (G1 + G2) is Beta(j, k).
    for a, b, j, k in ((1.0, 1.0, 1, 1), (0.3, 0.01, 2, 50), (1e-6, 1.0, 90, 1), (5.0, 4.0, 300, 400)):
        found = dirichlet.positive_chance(np.array([a, -b]), np.array([j, k], dtype=float))
        assert found == pytest.approx(stats.beta.sf(b / (a + b), j, k), rel=1e-7)


def test_chances_without_both_signs() -> None:
    ones = np.ones(2)
    assert dirichlet.positive_chance(np.array([-1.0, 0.0]), ones) == 0.0
    assert dirichlet.positive_chance(np.array([1.0, 0.0]), ones) == 1.0
    assert dirichlet.positive_chance(np.zeros(2), ones) == 0.0


def test_limits_are_quantiles_of_the_mean_under_drawn_weights() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 6, 12).astype(float)
    sums = sizes * rng.random(12)
    low, high = dirichlet.limits(sums, sizes, (0.0, 1.0), 0.9)
    weights = rng.exponential(size=(400_000, 12))
    unseen = rng.exponential(size=400_000) * (sizes**2).sum() / sizes.sum()
    total = weights @ sizes + unseen
    assert low == pytest.approx(np.quantile(weights @ sums / total, 0.05), abs=0.002)
    assert high == pytest.approx(np.quantile((weights @ sums + unseen) / total, 0.95), abs=0.002)


def covered(sums: np.ndarray, sizes: np.ndarray, mean: float) -> bool:
    """Whether the 95 % interval holds ``mean``: where the test of a mean of 0 of what is apart from it says nothing."""
    return dirichlet.no_difference_p(sums - mean * sizes, sizes, (-mean, 1 - mean)) > 0.05


def test_whether_a_mean_is_covered_is_whether_it_is_within_the_limits() -> None:
    rng = np.random.default_rng(2)
    found = set()
    for mean in np.linspace(0.3, 0.99, 24):
        sizes = rng.integers(1, 4, 8).astype(float)
        sums = sizes * rng.random(8)
        low, high = dirichlet.limits(sums, sizes, (0.0, 1.0), 0.95)
        assert covered(sums, sizes, mean) == (low <= mean <= high)
        found.add(covered(sums, sizes, mean))
    assert found == {True, False}


@pytest.mark.parametrize("records", [5, 10, 20, 100])
def test_coverage_of_yes_and_no(records: int) -> None:
    """Not drawn but summed: the chance of each number of successes whose interval holds the rate."""
    count, one = np.arange(records + 1), np.ones(records)
    limits = np.array([dirichlet.limits((np.arange(records) < k).astype(float), one, (0.0, 1.0), 0.95) for k in count])
    for rate in (*RATES, *np.linspace(0.5, 0.995, 60)):
        inside = (limits[:, 0] <= rate) & (rate <= limits[:, 1])
        assert stats.binom.pmf(count, records, rate)[inside].sum() >= 0.95


def forced(rng: np.random.Generator, rate: float, records: int) -> np.ndarray:
    """Scores like teacher-forced ones: mostly 1, else from 0 to 3 of 4 tokens."""
    failed = rng.random(records) < (1 - rate) / (1 - 0.375)
    return np.where(failed, rng.integers(0, 4, records) / 4, 1.0)


def stream_means(rng: np.random.Generator, rate: float, streams: int, shared: float) -> np.ndarray:
    """Means of ten yes/no scores of a stream, which have ``shared`` as their correlation."""
    odds = 1 / shared - 1
    return rng.binomial(10, rng.beta(rate * odds, (1 - rate) * odds, streams)) / 10


def cells() -> Iterator[tuple[str, int, float]]:
    for units in (10, 20, 100):
        yield from (("forced", units, rate) for rate in RATES)
    for units in (5, 10, 20):
        yield from ((f"streams {shared}", units, rate) for shared in (0.1, 0.5) for rate in RATES)


@pytest.mark.parametrize(("kind", "units", "rate"), cells())
def test_coverage_is_at_least_93_per_cent(kind: str, units: int, rate: float) -> None:
    rng, draws = np.random.default_rng([units, round(100 * rate)]), 300
    inside = 0
    for _ in range(draws):
        values = forced(rng, rate, units) if kind == "forced" else stream_means(rng, rate, units, float(kind[8:]))
        inside += covered(values, np.ones(units), rate)
    # The true coverage is 96 % or more (bench/coverage.py): three standard errors of 300 draws are 3 points.
    assert inside / draws >= 0.93


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.98])
def test_coverage_of_records_that_share_questions(rate: float) -> None:
    # Like 100 records of ZsRE: 42 questions, one of them asked eleven times, with one answer each.
    sizes = np.array([11, 9, 8, 7, 6, 5, 5, 4, 4, 3, 3, 2, 2, 2, 2, *[1] * 27], dtype=float)
    rng = np.random.default_rng(5)
    inside = [covered(sizes * (rng.random(len(sizes)) < rate), sizes, rate) for _ in range(300)]
    assert np.mean(inside) >= 0.93
